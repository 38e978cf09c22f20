"""What the source of a release says about how it is to be run: its app.json, as far as each release has it anew."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class CheckKind(StrEnum):
    """When a check is asked, and what follows where it fails (Kubernetes: startup, liveness and readiness probes)."""

    STARTUP = "startup"  # until it passes once: the process is not there yet
    LIVENESS = "liveness"  # from then on: the process is started anew
    READINESS = "readiness"  # from then on: no request goes to it


@dataclass(frozen=True)
class HealthCheck:
    """One question to each process of a type, asked again and again. At most one of ``path``, ``command`` and ``listening`` is there;
    where none is, it is whether the process listens.
    """

    kind: CheckKind
    name: str = ""  # for people
    path: str = ""  # GET it over HTTP: 200 to 399 passes
    scheme: str = "http"  # or https, whose certificate is not looked at
    headers: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()  # run in the process's container: exit 0 passes
    listening: bool = False  # a TCP connection to the port passes
    port: int | None = None  # None: the one that the process is given, $PORT
    attempts: int = 3  # so many failures in a row count as one
    timeout: int = 5  # seconds for each answer
    wait: int = 5  # seconds between two
    initial_delay: int = 0  # seconds before the first


@dataclass(frozen=True)
class CronTask:
    """``command`` is run by a shell in the app's image, with its config. ``concurrency``, where an earlier run has not ended:
    allow, forbid or replace.
    """

    schedule: str
    command: str
    concurrency: str = "allow"


@dataclass(frozen=True)
class Scripts:
    """Commands that are run by a shell in the app's image, with its config; empty: none.

    ``before`` runs ahead of the roll-out, ``after`` behind each, ``first`` behind the app's first, ``farewell`` before a
    review app is removed.
    """

    before: str = ""
    after: str = ""
    first: str = ""
    farewell: str = ""


@dataclass(frozen=True)
class Declared:
    """``health`` is by process type."""

    health: Mapping[str, tuple[HealthCheck, ...]] = field(default_factory=dict)
    cron: tuple[CronTask, ...] = ()
    scripts: Scripts = field(default_factory=Scripts)
