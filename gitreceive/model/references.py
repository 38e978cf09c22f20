"""How people name a buildpack: an id that the server knows, a folder of the source, a registry image, an archive."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Self

from gitreceive.errors import UsageError

_MOST_CHARACTERS = 1000
_KNOWN = re.compile(
    r"(?P<id>[A-Za-z0-9][A-Za-z0-9._/-]{0,127})(?:@(?P<version>[A-Za-z0-9][A-Za-z0-9._+-]{0,63}))?", re.ASCII
)
_IMAGE = re.compile(
    r"docker://(?P<host>[A-Za-z0-9.-]+(?::\d{1,5})?|\[[0-9a-f:]+\](?::\d{1,5})?)/(?P<path>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_ARCHIVE = re.compile(
    r"https?://(?P<place>[^/?#\s]+)/[^#\s]*(?P<fragment>#sha256=[0-9a-f]{64})?", re.ASCII | re.IGNORECASE
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:", re.ASCII)
_OF_BUILDER = ("urn:cnb:builder:", "urn:buildpack:")  # the project descriptor's and pack's words for an id
_FORMS = (
    "write an id (python, gitreceive/python@0.1.0), a folder of the source (./ci/buildpack), "
    "docker://HOST/REPOSITORY@sha256:DIGEST or https://HOST/FILE.tgz#sha256=DIGEST"
)


class RefKind(StrEnum):
    KNOWN = "known"  # an id, or the last part of one, that the server has
    FOLDER = "folder"
    IMAGE = "image"
    ARCHIVE = "archive"


@dataclass(frozen=True)
class BuildpackRef:
    """``text`` is the whole, as it is said to people and kept. ``id`` and ``version`` (empty: whichever there is) belong to
    what is known; ``path``, relative to the source's root, to a folder.
    """

    kind: RefKind
    text: str
    id: str = ""
    version: str = ""
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError unless ``text`` is a reference, as it is: nothing is trimmed or folded."""
        _check_characters(text)
        if text.startswith(("./", "../", "/")) or text in {".", ".."}:
            return cls._folder(text)
        known = next((text.removeprefix(urn) for urn in _OF_BUILDER if text.startswith(urn)), text)
        if known == text and _SCHEME.match(text):
            return cls._remote(text)
        match = _KNOWN.fullmatch(known)
        if match is None:
            raise UsageError(f"{text[:80]!r} names no buildpack", hint=_FORMS)
        version = match["version"] or ""
        return cls(RefKind.KNOWN, known, id=match["id"], version="" if version == "latest" else version)

    @classmethod
    def parse_uri(cls, text: str) -> Self:
        """As a ``uri`` of project.toml is read: what has no scheme is a path. Raises UsageError."""
        _check_characters(text)
        return cls.parse(text) if _SCHEME.match(text) else cls._folder(text)

    @property
    def pinned(self) -> bool:
        """Whether it names the same bytes for ever, as far as it names any of elsewhere."""
        match self.kind:
            case RefKind.IMAGE:
                return "@sha256:" in self.text
            case RefKind.ARCHIVE:
                return "#sha256=" in self.text.lower()
            case _:
                return True

    def __str__(self) -> str:
        return self.text

    @classmethod
    def _folder(cls, text: str) -> Self:
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts or "\\" in text:
            raise UsageError(
                f"buildpack {text[:80]!r} lies outside the source",
                hint="name a folder below the source's root: ./ci/buildpack",
            )
        inside = "" if str(path) == "." else str(path)
        return cls(RefKind.FOLDER, f"./{inside}", path=inside)

    @classmethod
    def _remote(cls, text: str) -> Self:
        if text.startswith("docker://"):
            if not _IMAGE.fullmatch(text):
                raise UsageError(
                    f"{text[:160]!r} names no image", hint="write docker://HOST/REPOSITORY@sha256:DIGEST"
                )
            return cls(RefKind.IMAGE, text)
        match = _ARCHIVE.fullmatch(text)
        if match is None:
            raise UsageError(f"buildpack {text[:160]!r} is not understood", hint=_FORMS)
        if "@" in match["place"]:
            raise UsageError(
                "a buildpack's address must hold no user and no password",
                hint="it is kept and shown in logs: put the archive where it can be read without",
            )
        return cls(RefKind.ARCHIVE, text)


def _check_characters(text: str) -> None:
    if not text or len(text) > _MOST_CHARACTERS or text != text.strip() or not text.isprintable():
        raise UsageError(f"{text[:80]!r} names no buildpack", hint=_FORMS)
