"""Reading what was kept, or typed, as JSON: each look says where it found something else than it must be."""

from collections.abc import Mapping
from typing import Any

from gitreceive.errors import UsageError


def table(document: object, where: str, known: frozenset[str] | None = None) -> Mapping[str, Any]:
    """An object of JSON, with no names but ``known`` where these are given. Raises UsageError."""
    if not isinstance(document, dict):
        raise UsageError(f"{where} must be an object", hint=_SHAPE)
    for name in document:
        if known is not None and name not in known:
            raise UsageError(
                f"{where} has no {str(name)[:60]!r}", hint=f"there are: {', '.join(sorted(known))}"
            )
    return document


def number(document: object, where: str, least: int, most: int) -> int:
    """Raises UsageError unless it is a whole number within the bounds."""
    if isinstance(document, bool) or not isinstance(document, int) or not least <= document <= most:
        raise UsageError(f"{where} must be a number from {least} to {most}", hint=_SHAPE)
    return document


def text(document: object, where: str, most: int = 1000) -> str:
    """Raises UsageError unless it is text of at most so many characters."""
    if not isinstance(document, str) or len(document) > most:
        raise UsageError(f"{where} must be text of at most {most} characters", hint=_SHAPE)
    return document


def flag(document: object, where: str) -> bool:
    """Raises UsageError unless it is true or false."""
    if not isinstance(document, bool):
        raise UsageError(f"{where} must be true or false", hint=_SHAPE)
    return document


def merged(document: Any, patch: Any) -> Any:
    """The document with a JSON merge patch applied (RFC 7386): null removes a member, all else replaces it."""
    if not isinstance(patch, Mapping):
        return patch
    kept = dict(document) if isinstance(document, Mapping) else {}
    for name, change in patch.items():
        if change is None:
            kept.pop(name, None)
        else:
            kept[name] = merged(kept.get(name), change)
    return kept


_SHAPE = "see `gitreceive help` for how it is set"
