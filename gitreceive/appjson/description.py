"""An app.json as a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from gitreceive.model import BuildpackRef, CronTask, Declared, HealthCheck, Scripts, Secret


@dataclass(frozen=True)
class Variable:
    """A variable that the app is to have from its first release on: with ``value``; with a new random one where ``generated``; else
    somebody has to set it, where ``required``.
    """

    name: str
    value: Secret | None = None
    generated: bool = False
    required: bool = True
    description: str = ""


@dataclass(frozen=True)
class Quantity:
    """How a process type begins: None where nothing is said. ``memory`` is in MiB."""

    count: int | None = None
    memory: int | None = None
    size: str = ""  # the word that it was said by


@dataclass(frozen=True)
class AppJson:
    """``said`` are the sections that there are, also where they are empty; ``notices`` what changes nothing, for the log."""

    name: str = ""
    description: str = ""
    env: Mapping[str, Variable] = field(default_factory=dict)
    scripts: Scripts = field(default_factory=Scripts)
    formation: Mapping[str, Quantity] = field(default_factory=dict)
    health: Mapping[str, tuple[HealthCheck, ...]] = field(default_factory=dict)
    cron: tuple[CronTask, ...] = ()
    buildpacks: tuple[BuildpackRef, ...] = ()
    environments: Mapping[str, "AppJson"] = field(default_factory=dict)
    said: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()

    @property
    def declared(self) -> Declared:
        """What each release has anew."""
        return Declared(self.health, self.cron, self.scripts)

    def within(self, environment: str) -> Self:
        """As it is there: variables and process types one by one, scripts too, every other section as a whole."""
        over = self.environments.get(environment)
        if over is None:
            return replace(self, environments={})
        scripts = {name: text for name, text in vars(over.scripts).items() if text}
        return replace(
            self,
            env={**self.env, **over.env},
            scripts=replace(self.scripts, **scripts),
            formation={**self.formation, **over.formation},
            health=over.health if "healthchecks" in over.said else self.health,
            cron=over.cron if "cron" in over.said else self.cron,
            buildpacks=over.buildpacks if "buildpacks" in over.said else self.buildpacks,
            environments={},
            notices=(*self.notices, *over.notices),
        )
