"""Samples, their medians and ratios, and what is expected of them. Pure."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

PLAIN = "plain"
OURS = "gitreceive"
EXPECTED_RATIOS = {"cold": 0.6, "change": 0.9, "dependency": 0.4}
EXPECTED_ON_TOP = {"change": 0.35}  # seconds beside the cluster's own roll-out
EXPECTED_MEMORY = 120.0  # MB, of the idle server
EXPECTED_GROWTH = (
    20.0  # MB that the server may hold more at its peak for any size of source than for the smallest
)

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


@dataclass(frozen=True)
class Growth:
    """One size of source. ``samples`` by what was pushed; ``server`` and ``programs`` are peaks of memory in MB."""

    size: str
    samples: Mapping[str, Sample]
    server: float
    programs: float


@dataclass
class Results:
    """All that one run measured. ``samples`` is case → side → rounds in order; ``memory`` is moment → MB; ``growth`` begins with
    the smallest size.
    """

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    ground: dict[str, str] = field(default_factory=dict)
    growth: list[Growth] = field(default_factory=list)

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

    def on_top(self, case: str) -> float:
        """The median seconds of gitreceive's pushes, to git's return, in which the cluster was not rolling out."""
        rounds = self.samples[case][OURS]
        own = [
            sum(seconds for phase, seconds in sample.phases.items() if phase not in {"roll out", "answer"})
            for sample in rounds
        ]
        return statistics.median(own)

    def missed(self) -> list[str]:
        """Every expectation that was not met, in words."""
        found = []
        for case in self.samples:
            ratio, expected = self.ratio(case), EXPECTED_RATIOS[case]
            if ratio > expected:
                found.append(f"{case}: {ratio:.2f} times the plain way, expected at most {expected:.2f}")
            on_top, most = self.on_top(case), EXPECTED_ON_TOP.get(case, math.inf)
            if on_top > most:
                found.append(f"{case}: {on_top:.2f} s on top of the roll-out, expected at most {most:.2f} s")
        for moment, megabytes in self.memory.items():
            if megabytes >= EXPECTED_MEMORY:
                found.append(
                    f"server memory {moment}: {megabytes:.0f} MB, expected under {EXPECTED_MEMORY:.0f} MB"
                )
        return found + [
            f"{grown.size}: the server held {grown.server:.0f} MB, expected at most {EXPECTED_GROWTH:.0f} MB more than the"
            f" {self.growth[0].server:.0f} MB for {self.growth[0].size}"
            for grown in self.growth
            if grown.server > self.growth[0].server + EXPECTED_GROWTH
        ]

    def as_json(self) -> dict[str, Any]:
        return {
            "ground": self.ground,
            "cases": {case: self._case_as_json(case) for case in self.samples},
            "growth": [asdict(grown) for grown in self.growth],
            "memory_mb": {moment: round(value, 1) for moment, value in self.memory.items()},
        }

    def _case_as_json(self, case: str) -> dict[str, Any]:
        sides = self.samples[case]
        return {
            "ratio": round(self.ratio(case), 3),
            "best_ratio": round(self.best_ratio(case), 3),
            "on_top": round(self.on_top(case), 3),
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
    if results.growth:
        blocks.append(_growth_block(results.growth))
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
        f" of the quickest rounds: {results.best_ratio(case):.2f});"
        f" {results.on_top(case):.2f} s on top of the roll-out"
    )
    return "\n".join(lines)


def _growth_block(growth: Sequence[Growth]) -> str:
    lines = [
        "sizes: seconds to the first answer, and peaks of memory of the server and of the programs that it runs"
    ]
    for grown in growth:
        seconds = ", ".join(f"{case} {sample.total:.2f}" for case, sample in grown.samples.items())
        lines.append(f"  {grown.size:<24} {seconds:<44} {grown.server:.0f} MB, {grown.programs:.0f} MB")
    smallest = growth[0]
    for grown in growth[1:]:
        added = ", ".join(
            f"{case} {sample.total - smallest.samples[case].total:+.2f}"
            for case, sample in grown.samples.items()
        )
        lines.append(
            f"  from {smallest.size} to {grown.size}: {added} s, server {grown.server - smallest.server:+.0f} MB"
        )
    return "\n".join(lines)


def _median_total(rounds: Sequence[Sample]) -> float:
    return statistics.median(sample.total for sample in rounds)


def _least_total(rounds: Sequence[Sample]) -> float:
    return min(sample.total for sample in rounds)
