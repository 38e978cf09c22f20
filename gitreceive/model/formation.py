"""How many of each process run: what people set for an app, whichever release is live. Changing it restarts nothing but what it names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from gitreceive.errors import UsageError
from gitreceive.model.builds import ProcessType
from gitreceive.model.documents import flag, number, table, text

MOST_REPLICAS = 1000
_LONGEST_STAMP = 40
_LOWEST_CPU, _HIGHEST_CPU = 1, 1000  # percent of what was asked for: more than 100 where there is no limit


@dataclass(frozen=True)
class Autoscale:
    """Between ``least`` and ``most`` replicas, so that they use about ``cpu`` percent of the CPU that they ask for."""

    least: int
    most: int
    cpu: int

    @classmethod
    def parse(cls, document: object, where: str) -> Self:
        """Raises UsageError."""
        found = table(document, where, frozenset({"least", "most", "cpu"}))
        scale = cls(
            number(found.get("least"), f"{where}: least", 1, MOST_REPLICAS),
            number(found.get("most"), f"{where}: most", 1, MOST_REPLICAS),
            number(found.get("cpu"), f"{where}: cpu", _LOWEST_CPU, _HIGHEST_CPU),
        )
        if scale.least > scale.most:
            raise UsageError(
                f"{where}: {scale.least} at least and {scale.most} at most cannot be", hint="swap the two"
            )
        return scale


@dataclass(frozen=True)
class Formation:
    """By process type. ``stopped``: nothing of the app runs, and how many there were is kept. ``restarted``: when its processes were
    asked to start anew, as people write times; what runs has begun after it.
    """

    scale: Mapping[str, int] = field(default_factory=dict)
    autoscale: Mapping[str, Autoscale] = field(default_factory=dict)
    stopped: bool = False
    restarted: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: object) -> Self:
        """What ``document`` wrote. Raises UsageError."""
        found = table(document, "formation", frozenset({"scale", "autoscale", "stopped", "restarted"}))
        scale = table(found.get("scale", {}), "formation.scale")
        autoscale = table(found.get("autoscale", {}), "formation.autoscale")
        restarted = table(found.get("restarted", {}), "formation.restarted")
        return cls(
            {
                ProcessType.parse_name(name): number(count, f"the scale of {name}", 0, MOST_REPLICAS)
                for name, count in scale.items()
            },
            {
                ProcessType.parse_name(name): Autoscale.parse(asked, f"the autoscaling of {name}")
                for name, asked in autoscale.items()
            },
            flag(found.get("stopped", False), "formation.stopped"),
            {
                ProcessType.parse_name(name): text(at, f"the restart of {name}", _LONGEST_STAMP)
                for name, at in restarted.items()
            },
        )

    def document(self) -> dict[str, Any]:
        return {
            "scale": dict(self.scale),
            "autoscale": {
                name: {"least": a.least, "most": a.most, "cpu": a.cpu} for name, a in self.autoscale.items()
            },
            "stopped": self.stopped,
            "restarted": dict(self.restarted),
        }

    def replicas(self, process: str) -> int:
        """How many of it are to run: one where nothing was said; under an autoscaler, with how many it begins."""
        if self.stopped:
            return 0
        autoscale = self.autoscale.get(process)
        count = self.scale.get(process, 1)
        return min(max(count, autoscale.least), autoscale.most) if autoscale else count
