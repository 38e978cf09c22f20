"""Settings: how much the server takes on at once. ``config.py`` reads them and says how; they are declared here."""

from dataclasses import dataclass, field


def _most(number: int, doc: str) -> int:
    found: int = field(default=number, metadata={"doc": doc, "choices": ()})
    return found


@dataclass(frozen=True)
class LimitSettings:
    """How much is taken on at once. What comes on top is refused with the reason and loses nothing; pushes wait for a while first."""

    connections: int = _most(512, "Open connections, of SSH and of HTTP each.")
    address_connections: int = _most(
        256,
        "Of these, from one address. An IPv6 network of 64 bits counts as one; proxies in `http.trusted_proxies` are not counted.",
    )
    sessions: int = _most(
        400, "Pushes, fetches and commands at once, followers of logs among them, over all doors."
    )
    user_sessions: int = _most(250, "Of these, of one user.")
    receiving: int = _most(
        32, "Pushes whose objects are being received; more wait for a minute. Each may take some memory."
    )
    user_receiving: int = _most(16, "Of these, of one user.")
    app_receiving: int = _most(16, "Of these, to one app.")
    queue: int = _most(
        2000, "Builds, and all else that makes releases, that have been asked for and have not ended."
    )
    user_queue: int = _most(500, "Of these, asked for by one user.")
    app_queue: int = _most(50, "Of these, of one app.")
