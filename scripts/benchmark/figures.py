"""Samples, their medians and ratios, and what is expected of them. Pure."""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

PLAIN = "plain"
OURS = "gitreceive"
EXPECTED_RATIOS = {"cold": 0.7, "change": 1.1, "dependency": 0.5}
EXPECTED_MEMORY = 120.0  # MB, of the idle server

_SUMMARY = re.compile(r"is live after (?P<total>\d+(?:\.\d+)?) s \((?P<phases>[^)]*)\)")
_PHASE = re.compile(r"(?P<name>[a-z][a-z ]*) (?P<seconds>\d+(?:\.\d+)?) s")


@dataclass(frozen=True)
class Sample:
    """One deployment. ``total`` is the seconds to the first answer of the new version.

    ``phases`` are the seconds of each step in order. They can exceed ``total``: the new version may answer while the last
    command still waits for the verdict. ``lines`` is what was printed, each with the seconds since the start.
    """

    total: float
    phases: Mapping[str, float]
    lines: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class Spread:
    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}..{self.most:.2f})"


@dataclass
class Results:
    """All that one run measured. ``samples`` is case → side → rounds in order; ``memory`` is moment → MB."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    ground: dict[str, str] = field(default_factory=dict)

    def add(self, case: str, side: str, sample: Sample) -> None:
        self.samples.setdefault(case, {}).setdefault(side, []).append(sample)

    def ratio(self, case: str) -> float:
        """The median of gitreceive over the median of the plain way."""
        sides = self.samples[case]
        return _median_total(sides[OURS]) / _median_total(sides[PLAIN])

    def best_ratio(self, case: str) -> float:
        """The same of each side's quickest round: what a busy machine disturbs least."""
        sides = self.samples[case]
        return _least_total(sides[OURS]) / _least_total(sides[PLAIN])

    def missed(self) -> list[str]:
        """Every expectation that was not met, in words."""
        found = []
        for case in self.samples:
            ratio, expected = self.ratio(case), EXPECTED_RATIOS[case]
            if ratio > expected:
                found.append(f"{case}: {ratio:.2f} times the plain way, expected at most {expected:.2f}")
        for moment, megabytes in self.memory.items():
            if megabytes >= EXPECTED_MEMORY:
                found.append(
                    f"server memory {moment}: {megabytes:.0f} MB, expected under {EXPECTED_MEMORY:.0f} MB"
                )
        return found

    def as_json(self) -> dict[str, Any]:
        return {
            "ground": self.ground,
            "cases": {case: self._case_as_json(case) for case in self.samples},
            "memory_mb": {moment: round(value, 1) for moment, value in self.memory.items()},
        }

    def _case_as_json(self, case: str) -> dict[str, Any]:
        sides = self.samples[case]
        return {
            "ratio": round(self.ratio(case), 3),
            "best_ratio": round(self.best_ratio(case), 3),
            "expected_ratio": EXPECTED_RATIOS[case],
            "sides": {
                side: {
                    "total": asdict(Spread.of([sample.total for sample in rounds])),
                    "phases": {name: asdict(spread) for name, spread in phase_spreads(rounds).items()},
                    "rounds": [asdict(sample) for sample in rounds],
                }
                for side, rounds in sides.items()
            },
        }


def parse_summary(line: str) -> tuple[float, dict[str, float]] | None:
    """Total and phases of ``… is live after 4.2 s (build 1.2 s, publish 0.3 s, roll out 2.7 s)``; None for other lines.

    Raises ValueError where it is that line, and a phase in it cannot be read.
    """
    found = _SUMMARY.search(line)
    if not found:
        return None
    phases = {}
    for word in filter(None, (part.strip() for part in found["phases"].split(","))):
        phase = _PHASE.fullmatch(word)
        if not phase:
            raise ValueError(f"{word!r} is no phase, in: {line.strip()}")
        phases[phase["name"]] = float(phase["seconds"])
    return float(found["total"]), phases


def phase_spreads(rounds: Sequence[Sample]) -> dict[str, Spread]:
    """Each phase over all rounds, in the order of the first sample that has it; a round without it counts 0 s."""
    names = list(dict.fromkeys(name for sample in rounds for name in sample.phases))
    return {name: Spread.of([sample.phases.get(name, 0.0) for sample in rounds]) for name in names}


def table(results: Results) -> str:
    """What people read: a block for each case, then the memory."""
    blocks = [_case_block(results, case) for case in results.samples]
    memory = ", ".join(f"{value:.0f} MB {moment}" for moment, value in results.memory.items())
    if memory:
        blocks.append(f"server memory (RSS): {memory}  (expected under {EXPECTED_MEMORY:.0f} MB)")
    return "\n\n".join(blocks)


def _case_block(results: Results, case: str) -> str:
    sides = results.samples[case]
    lines = [f"{case}: seconds to the first answer, median (least..most) of {len(sides[PLAIN])}"]
    for side, rounds in sides.items():
        phases = ", ".join(f"{name} {spread}" for name, spread in phase_spreads(rounds).items())
        lines.append(f"  {side:<10} {Spread.of([sample.total for sample in rounds])!s:<22} {phases}")
    lines.append(
        f"  {OURS} / {PLAIN}: {results.ratio(case):.2f}  (expected at most {EXPECTED_RATIOS[case]:.2f};"
        f" of the quickest rounds: {results.best_ratio(case):.2f})"
    )
    return "\n".join(lines)


def _median_total(rounds: Sequence[Sample]) -> float:
    return statistics.median(sample.total for sample in rounds)


def _least_total(rounds: Sequence[Sample]) -> float:
    return min(sample.total for sample in rounds)
