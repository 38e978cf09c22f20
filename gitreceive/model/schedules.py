"""When a cron task is due, as text: whether it can be understood."""

import re
from collections.abc import Sequence

from gitreceive.errors import UsageError

_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DAYS_OF_WEEK = 4  # its place among the fields
_FIELDS = (  # crontab(5)
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("day of the week", 0, 7, ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
)
_PART = re.compile(
    r"(?:\*|(?P<first>[0-9]{1,2}|[a-z]{3})(?:-(?P<last>[0-9]{1,2}|[a-z]{3}))?)(?:/(?P<step>[0-9]{1,2}))?",
    re.ASCII,
)
_HINT = "write five fields, minute, hour, day, month, day of the week (0 3 * * *), or @daily, @hourly, …"


def parse_schedule(text: str) -> str:
    """The schedule with one blank between its fields. Raises UsageError unless it is one as in crontab(5): five fields, or a nickname."""
    words = text.split()
    if len(words) == 1 and words[0] in _NICKNAMES:
        return words[0]
    if len(words) != len(_FIELDS) or not text.isprintable():
        raise UsageError(f"{text[:60]!r} is not a schedule", hint=_HINT)
    for word, (name, least, most, names) in zip(words, _FIELDS, strict=True):
        for part in word.lower().split(","):
            _check_part(part, name, least, most, names)
    return " ".join(words)


def five_fields(schedule: str) -> str:
    """A schedule that was parsed, as all clocks understand it alike: without nicknames, with steps counted out where they do not begin
    at a star, and with 0 for Sunday, as Kubernetes knows no 7.
    """
    words = _NICKNAMES.get(schedule, schedule).split()
    return " ".join(
        ",".join(_counted_out(part, place) for part in word.lower().split(","))
        for place, word in enumerate(words)
    )


def _counted_out(part: str, place: int) -> str:
    match = _PART.fullmatch(part)
    assert match is not None
    _, least, most, names = _FIELDS[place]
    first, last = (_number(match[group], least, names) for group in ("first", "last"))
    of_week = place == _DAYS_OF_WEEK
    if first is None or not (of_week or match["step"]):
        return part
    if last is None:  # 5/15 is from 5 to the end; a week ends with Saturday
        last = max(first, most - of_week) if match["step"] else first
    counted = range(first, last + 1, int(match["step"] or 1))
    return ",".join(str(number) for number in sorted({n % 7 if of_week else n for n in counted}))


def _check_part(part: str, name: str, least: int, most: int, names: Sequence[str]) -> None:
    match = _PART.fullmatch(part)
    if match is None:
        raise UsageError(f"{part[:30]!r} is not understood as the {name} of a schedule", hint=_HINT)
    first, last = (_number(match[group], least, names) for group in ("first", "last"))
    outside = [number for number in (first, last) if number is not None and not least <= number <= most]
    if outside or match["step"] in {"0", "00"} or (first is not None and last is not None and first > last):
        raise UsageError(f"{part[:30]!r} is outside of what the {name} can be, {least} to {most}", hint=_HINT)


def _number(text: str | None, least: int, names: Sequence[str]) -> int | None:
    """-1 for a name that there is not."""
    if text is None:
        return None
    if text.isdigit():
        return int(text)
    return names.index(text) + least if text in names else -1
