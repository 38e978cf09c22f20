"""What a run found, for people: kills by victim and stage, how soon jobs went on, and what was lost."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from scripts.survival.stages import IDLE, STAGES


def table(kills: Mapping[tuple[str, str], int]) -> str:
    """A line for each victim, a column for each stage; each kill counts once."""
    stages = [*STAGES, *([IDLE] if any(stage == IDLE for _, stage in kills) else [])]
    rows = [["", *stages, "all"]]
    for victim in dict.fromkeys(victim for victim, _ in kills):
        counts = [kills.get((victim, stage), 0) for stage in stages]
        rows.append([victim, *map(_count, counts), str(sum(counts))])
    sums = [sum(number for (_, one), number in kills.items() if one == stage) for stage in stages]
    rows.append(["all", *map(_count, sums), str(sum(sums))])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(_line(row, widths) for row in rows)


def by(kills: Mapping[tuple[str, str], int], part: int) -> dict[str, int]:
    """Summed by victim (0) or by stage (1)."""
    found: Counter[str] = Counter()
    for key, number in kills.items():
        found[key[part]] += number
    return dict(found)


def seconds(values: Sequence[float]) -> dict[str, float | int | None]:
    """How often, in the middle, and at worst."""
    ordered = sorted(values)
    return {
        "times": len(ordered),
        "median": round(ordered[len(ordered) // 2], 2) if ordered else None,
        "longest": round(ordered[-1], 2) if ordered else None,
    }


def summary(facts: Mapping[str, object]) -> Iterator[str]:
    """What there is beside the table, a line each."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield f"{name}: " + ", ".join(f"{key} {one}" for key, one in value.items())
        elif not isinstance(value, list):
            yield f"{name}: {value}"


def _count(number: int) -> str:
    return str(number) if number else "·"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if not column else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()
