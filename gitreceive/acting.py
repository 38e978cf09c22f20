"""On whose behalf something is done: said once at the door or by the command line, and read where it is recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from gitreceive.model import AppName, Permission, UserName


@dataclass(frozen=True)
class Actor:
    """Who acts, by what they came in, and from where. Neither key nor token: on the server's own host."""

    user: UserName
    key: str = ""  # its fingerprint
    token: str = ""  # its id
    address: str = ""

    @property
    def via(self) -> str:
        """For people: ``key SHA256:…``, ``token 3xk0…``, ``host``."""
        if self.key:
            return f"key {self.key}"
        return f"token {self.token}" if self.token else "host"


@dataclass
class Act:
    """One thing that somebody does, as far as it is known yet."""

    actor: Actor
    verb: str = ""  # as it is typed: config set. Empty: what is done gives it its name
    app: AppName | None = None
    needs: list[tuple[AppName, Permission]] = field(default_factory=list)  # what was asked for, and given
    recorded: bool = False  # some of it is in the ledger's events already


SERVER = Actor(UserName("server"))  # what nobody asked for
_act: ContextVar[Act | None] = ContextVar("act", default=None)


def current() -> Act:
    """What is being done here; the server's own doing where nobody has said."""
    return _act.get() or Act(SERVER)


@contextmanager
def acting(actor: Actor, verb: str = "") -> Iterator[Act]:
    """Inside, in this thread and in those that asyncio starts from here, ``actor`` does ``verb``."""
    act = Act(actor, verb)
    token = _act.set(act)
    try:
        yield act
    finally:
        _act.reset(token)
