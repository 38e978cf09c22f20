"""By which buildpacks a source is to be built, and what its project.toml says."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gitreceive.model.references import BuildpackRef

MOST_BUILDPACKS = 50  # that a group may name


@dataclass(frozen=True)
class InlineBuildpack:
    """One that a project.toml holds whole: it takes every source, and its build is ``script``, run by ``shell``."""

    id: str
    version: str
    api: str
    shell: str
    script: str


Wanted = BuildpackRef | InlineBuildpack


@dataclass(frozen=True)
class Choice:
    """``by`` says in words who made it, and is empty where nobody did: then the server's order is tried, with ``before`` and
    ``after`` around each of its groups. ``instead_of`` are those whose wish counts less.
    """

    by: str = ""
    group: tuple[Wanted, ...] = ()
    before: tuple[Wanted, ...] = ()
    after: tuple[Wanted, ...] = ()
    instead_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Project:
    """A project.toml, as far as it concerns a build. At most one of ``include`` and ``exclude``, which are lines as in a
    .gitignore, is there. ``warnings`` are for the log.
    """

    group: tuple[Wanted, ...] = ()
    before: tuple[Wanted, ...] = ()
    after: tuple[Wanted, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
