"""npm's version ranges (node-semver), over releases. Pre-releases are never chosen by a range."""

import re
from collections.abc import Iterable

from nodepack.cnb import Refusal

Version = tuple[int, int, int]
_Bounds = list[tuple[str, Version]]

_PARTIAL = r"[v=\s]*(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:[-+][0-9A-Za-z.+-]*)?"
_COMPARATOR = re.compile(rf"(>=|<=|>|<|=|\^|~>?|)\s*{_PARTIAL}")
_HYPHEN = re.compile(rf"\s*({_PARTIAL})\s+-\s+({_PARTIAL})\s*")
_RELEASE = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


def parse_release(text: str) -> Version | None:
    """``1.2.3`` as numbers; None for anything else, pre-releases included."""
    match = _RELEASE.fullmatch(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def newest(versions: Iterable[str], expression: str) -> str | None:
    """The newest release within a range, or None. Raises Refusal on a range that is malformed."""
    alternatives = [_alternative(part) for part in expression.split("||")]
    fitting = [
        (version, text)
        for text in versions
        if (version := parse_release(text)) and any(_within(version, bounds) for bounds in alternatives)
    ]
    return max(fitting)[1] if fitting else None


def _alternative(text: str) -> _Bounds:
    hyphen = _HYPHEN.fullmatch(text)
    if hyphen:
        low, high = hyphen[1], hyphen[5]
        return [*_comparator(">=" + low), *_comparator("<=" + high)]
    bounds: _Bounds = []
    rest = text.strip()
    if rest in ("", "latest", "current", "node"):
        return bounds
    while rest:
        match = _COMPARATOR.match(rest)
        if not match or not match[0].strip():
            raise Refusal(f"{text.strip()[:60]!r} is no version range", "such as 22.x, ^22.11.0 or >=20 <23")
        bounds += _comparator(match[0])
        rest = rest[match.end() :].lstrip(" ,\t")
    return bounds


def _comparator(text: str) -> _Bounds:
    match = _COMPARATOR.fullmatch(text.strip())
    if not match:
        raise Refusal(f"{text.strip()[:60]!r} is no version range", "such as 22.x, ^22.11.0 or >=20 <23")
    operator, parts = match[1], [int(part) for part in match.groups()[1:] if part and part not in "xX*"]
    if not parts:
        return []  # *
    low: Version = (parts[0], *([*parts[1:], 0, 0][:2]))  # type: ignore[assignment]
    after = _next(parts)
    if operator in (">=", ">"):
        return [(">=", low if operator == ">=" or len(parts) == 3 else after), *_strict(operator, low, parts)]
    if operator == "<":
        return [("<", low)]
    if operator == "<=":
        return [("<", after)]
    return [(">=", low), ("<", _upper(operator, parts, after))]


def _strict(operator: str, low: Version, parts: list[int]) -> _Bounds:
    return [("!=", low)] if operator == ">" and len(parts) == 3 else []


def _upper(operator: str, parts: list[int], after: Version) -> Version:
    """The first version past ``^``, ``~`` or a plain, perhaps partial, version."""
    if operator == "^":
        significant = next((i for i, number in enumerate(parts) if number), len(parts) - 1)
        return _next(parts[: significant + 1])
    if operator.startswith("~"):
        return _next(parts[:2])
    return after


def _next(parts: list[int]) -> Version:
    bumped = [*parts[:-1], parts[-1] + 1, 0, 0]
    return (bumped[0], bumped[1], bumped[2])


def _within(version: Version, bounds: _Bounds) -> bool:
    checks = {">=": version.__ge__, "<": version.__lt__, "!=": version.__ne__}
    return all(checks[operator](bound) for operator, bound in bounds)
