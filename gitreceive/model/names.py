"""Names and digests, each parsed once and whole: nothing is trimmed or folded. And values that must not be seen."""

import re
from typing import Self

from gitreceive.errors import UsageError

_APP_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
_USER_NAME = re.compile(r"[a-z][a-z0-9._-]{0,38}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


class AppName(str):
    """A DNS label (RFC 1123), at most 40 characters."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError unless ``text`` is an app name, as it is: nothing is trimmed or folded."""
        if not _APP_NAME.fullmatch(text):
            raise UsageError(
                f"{text[:60]!r} is not an app name",
                hint="use 1 to 40 lower-case letters, digits and hyphens, and no hyphen at either end",
            )
        return cls(text)


class UserName(str):
    """Starts with a letter; lower-case letters, digits, dot, underscore and hyphen; at most 39 characters."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError unless ``text`` is a user name."""
        if not _USER_NAME.fullmatch(text):
            raise UsageError(
                f"{text[:60]!r} is not a user name",
                hint="start with a lower-case letter, then up to 38 of a-z, 0-9, '.', '_' and '-'",
            )
        return cls(text)


class CommitId(str):
    """A full, resolved object id: 40 lower-case hexadecimal digits."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError unless ``text`` is a full object id."""
        if not _COMMIT.fullmatch(text):
            raise UsageError(f"{text[:60]!r} is not a full commit id", hint="use all 40 hexadecimal digits")
        return cls(text)

    @property
    def is_zero(self) -> bool:
        """Git's way of saying that there is no commit on this side: the ref is created or deleted."""
        return self == ZERO_COMMIT

    @property
    def short(self) -> str:
        return self[:7]


ZERO_COMMIT = CommitId("0" * 40)


class Digest(str):
    """``sha256:`` and 64 hexadecimal digits (OCI image spec, descriptor digests)."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError unless ``text`` is a sha256 digest."""
        if not _DIGEST.fullmatch(text):
            raise UsageError(f"{text[:90]!r} is not a sha256 digest")
        return cls(text)

    @property
    def short(self) -> str:
        return self[7:19]


class Secret:
    """A value that must not be seen: it prints as ``***``. ``reveal`` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)
