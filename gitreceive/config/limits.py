"""How much the server takes on at once: the section ``limits`` of the settings."""

from dataclasses import dataclass

from gitreceive.config.declaring import setting


@dataclass(frozen=True)
class LimitSettings:
    """How much is taken on at once. What comes on top is refused with the reason and loses nothing; pushes wait for a while first."""

    connections: int = setting(512, "Open connections, of SSH and of HTTP each.")
    address_connections: int = setting(
        256,
        "Of these, from one address. An IPv6 network of 64 bits counts as one; proxies in `http.trusted_proxies` are not counted.",
    )
    sessions: int = setting(
        400, "Pushes, fetches and commands at once, followers of logs among them, over all doors."
    )
    user_sessions: int = setting(250, "Of these, of one user.")
    receiving: int = setting(
        32, "Pushes whose objects are being received; more wait for a minute. Each may take some memory."
    )
    user_receiving: int = setting(16, "Of these, of one user.")
    app_receiving: int = setting(16, "Of these, to one app.")
    queue: int = setting(
        2000, "Builds, and all else that makes releases, that have been asked for and have not ended."
    )
    user_queue: int = setting(500, "Of these, asked for by one user.")
    app_queue: int = setting(50, "Of these, of one app.")
