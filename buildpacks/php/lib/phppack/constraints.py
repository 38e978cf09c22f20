"""Version constraints as Composer writes them (getcomposer.org, "Versions and constraints"), for plain versions."""

import re

Version = tuple[int, int, int]

_PART = re.compile(
    r"(\^|~|>=|<=|!=|<>|==|=|>|<)?\s*v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.0)?(\.[*xX])?(?:[-@](?:dev|stable|RC\d*))?"
)
_HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")


def satisfies(version: Version, constraint: str) -> bool:
    """Whether the version is one that the constraint allows. Raises ValueError for one that is not understood."""
    choices = re.split(r"\s*\|\|?\s*", constraint.strip())
    return any(all(_allows(part, version) for part in _parts(choice)) for choice in choices)


def parse(text: str) -> Version:
    """``8.2.36``, missing parts being 0. Raises ValueError."""
    parts = [int(part) for part in text.split(".")][:3]
    major, minor, patch = (*parts, 0, 0, 0)[:3]
    return major, minor, patch


def _parts(choice: str) -> list[str]:
    hyphen = _HYPHEN.fullmatch(choice.strip())
    if hyphen:
        # an upper end that is not whole covers all that begins so
        upper = f"<={hyphen[2]}" if hyphen[2].count(".") > 1 else f"<{_next(hyphen[2])}"
        return [f">={hyphen[1]}", upper]
    spaced = re.sub(r"(\^|~|>=|<=|!=|<>|==|=|>|<)\s+", r"\1", choice.strip())
    return re.split(r"\s*,\s*|\s+", spaced)


def _next(text: str) -> str:
    parts = [int(part) for part in text.split(".")]
    return ".".join(map(str, [*parts[:-1], parts[-1] + 1]))


def _allows(part: str, version: Version) -> bool:
    if part in {"*", "x", "X"}:
        return True
    match = _PART.fullmatch(part)
    if not match:
        raise ValueError(f"{part[:60]!r} is not understood")
    operator, wildcard = match[1] or "=", match[5]
    given = [int(number) for number in match.group(2, 3, 4) if number is not None]
    low = parse(".".join(map(str, given)))
    if wildcard:
        inside = version[: len(given)] == tuple(given)
        return not inside if operator in {"!=", "<>"} else inside
    if operator in {"^", "~"}:
        return low <= version < _above(operator, given)
    return {
        "=": version == low,
        "==": version == low,
        "!=": version != low,
        "<>": version != low,
        ">=": version >= low,
        "<=": version <= low,
        ">": version > low,
        "<": version < low,
    }[operator]


def _above(operator: str, given: list[int]) -> Version:
    """The first version that is no longer allowed: ^ keeps the first part that is not 0, ~ all but the last given."""
    if operator == "~":
        keep = max(len(given) - 1, 1)
    else:
        keep = next((at + 1 for at, number in enumerate(given) if number), len(given))
    kept = given[:keep]
    return parse(".".join(map(str, [*kept[:-1], kept[-1] + 1])))
