"""From where buildpacks may be fetched: ``build.buildpack_sources``. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

from gitreceive.errors import ConfigError, ForbiddenError

PUBLIC = "public"

_SCHEMES = ("https", "http", "docker")
_PORTS = {"https": 443, "http": 80}
_HUB = "docker.io"
_HINT = f"list {PUBLIC!r}, or the beginnings of addresses: https://HOST/PATH/, docker://HOST/REPOSITORY"


@dataclass(frozen=True)
class _Place:
    scheme: str
    host: str
    port: int | None
    path: tuple[str, ...]

    def holds(self, other: "_Place") -> bool:
        same = (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)
        return same and other.path[: len(self.path)] == self.path


@dataclass(frozen=True)
class Allowed:
    """``places`` may be fetched from wherever they are; with ``public`` also any HTTPS address of the public Internet."""

    places: tuple[_Place, ...] = ()
    public: bool = True

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """Raises ConfigError naming the entry that cannot be one."""
        found = list(entries)
        try:
            return cls(tuple(_place(entry) for entry in found if entry != PUBLIC), PUBLIC in found)
        except ValueError as error:
            raise ConfigError(f"build.buildpack_sources: {error}", hint=_HINT) from error

    def lists(self, address: str) -> bool:
        """Whether an entry names the address, which then may be private."""
        try:
            there = _place(address)
        except ValueError:
            return False
        return any(place.holds(there) for place in self.places)

    def check(self, address: str) -> bool:
        """Whether an entry names the address; if none does, it has to be public. Raises ForbiddenError where it may not be at all."""
        try:
            there = _place(address)
        except ValueError as error:
            raise ForbiddenError(f"buildpack {address[:200]!r}: {error}") from error
        if any(place.holds(there) for place in self.places):
            return True
        hint = "an administrator can list it in build.buildpack_sources"
        if not self.public:
            raise ForbiddenError(f"this server fetches no buildpacks from {there.host}", hint=hint)
        if there.scheme == "http":
            raise ForbiddenError(
                f"buildpack {address[:200]!r} would come over plain HTTP", hint=f"use https, or {hint}"
            )
        return False


def _place(address: str) -> _Place:
    """Raises ValueError for what is no beginning of an address, and for a path that could be read in two ways."""
    parts = urlsplit(address)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(f"{address[:200]!r} is no address")
    if parts.username is not None:
        raise ValueError("an address must hold no user and no password")
    host, port, path = parts.hostname.lower().rstrip("."), parts.port or _PORTS.get(parts.scheme), parts.path
    if parts.scheme == "docker":
        path = _repository(path)
        if port is None and "." not in host and host != "localhost":  # as Docker reads names
            host, path = _HUB, f"/{host}{path}"
    words = tuple(word for word in path.split("/") if word)
    if "\\" in path or any(unquote(word) in {".", ".."} or "/" in unquote(word) for word in words):
        raise ValueError("its path is not plain")
    return _Place(parts.scheme, host, port, words)


def _repository(path: str) -> str:
    """Without tag and digest."""
    head, slash, last = path.partition("@")[0].rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
