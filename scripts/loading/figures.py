"""What a scenario found: figures beside what is expected of them, and what went wrong. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_SHOWN = 3  # faults of one scenario; the JSON has all


@dataclass(frozen=True)
class Figure:
    """``most`` None: nothing is expected of it, it tells what the others mean."""

    name: str
    value: float
    unit: str
    most: float | None = None

    @property
    def missed(self) -> bool:
        return self.most is not None and not self.value <= self.most

    def __str__(self) -> str:
        expected = "" if self.most is None else f"  (expected at most {_rounded(self.most)} {self.unit})"
        return f"{self.name}: {_rounded(self.value)} {self.unit}{expected}"


@dataclass
class Outcome:
    """``faults`` are promises that were broken, in words: whatever the machine was doing, there may be none. ``load`` is how many processes
    wanted a core (1 min average) before and after.
    """

    scenario: str
    figures: list[Figure] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    load: tuple[float, float] = (0.0, 0.0)

    def add(self, name: str, value: float, unit: str, most: float | None = None) -> None:
        self.figures.append(Figure(name, value, unit, most))

    def expect(self, held: bool, otherwise: str) -> None:
        if not held:
            self.faults.append(otherwise)

    @property
    def missed(self) -> list[str]:
        return [f"{self.scenario}: {figure}" for figure in self.figures if figure.missed]

    def as_json(self) -> dict[str, Any]:
        figures = [
            {
                "name": figure.name,
                "value": round(figure.value, 3),
                "unit": figure.unit,
                "most": figure.most,
                "missed": figure.missed,
            }
            for figure in self.figures
        ]
        return {"scenario": self.scenario, "load": self.load, "figures": figures, "faults": self.faults}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that ``share`` of them (0 to 1) do not exceed; NaN where there are none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def unfairness(users: Sequence[str], waiting_from_the_start: int) -> int:
    """How far a queue was from taking turns: ``users`` are those whose jobs were begun, in order. The most that anybody was served more
    often than somebody who still waited, from the ``waiting_from_the_start``-th on, when all were there.
    """
    worst = 0
    served: dict[str, int] = dict.fromkeys(users, 0)
    for number, user in enumerate(users):
        if number >= waiting_from_the_start:
            waits = set(users[number:])
            worst = max(worst, served[user] - min(served[other] for other in waits))
            served[user] += 1
    return worst


def table(outcomes: Sequence[Outcome]) -> str:
    """What people read: a block for each scenario."""
    return "\n\n".join(_block(outcome) for outcome in outcomes)


def _block(outcome: Outcome) -> str:
    before, after = outcome.load
    lines = [f"{outcome.scenario}  (load {before:.1f} before, {after:.1f} after)"]
    lines += [f"  {'!' if figure.missed else ' '} {figure}" for figure in outcome.figures]
    more = [f"  ! and {len(outcome.faults) - _SHOWN} faults more"] if len(outcome.faults) > _SHOWN else []
    return "\n".join(lines + [f"  ! {fault}" for fault in outcome.faults[:_SHOWN]] + more)


def _rounded(value: float) -> str:
    return f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.2f}"
