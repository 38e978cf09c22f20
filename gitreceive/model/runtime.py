"""What each process is given: set by people, kept with each release, restored by a rollback. Another one means new processes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from gitreceive.errors import UsageError
from gitreceive.model.builds import ProcessType
from gitreceive.model.checks import checks_document, parse_checks
from gitreceive.model.declared import HealthCheck
from gitreceive.model.documents import table, text
from gitreceive.model.services import SecretKey, parse_secret_keys, parse_secrets
from gitreceive.model.volumes import Volume, parse_volumes

_MEMORY = re.compile(r"([1-9][0-9]{0,14})(Ki|Mi|Gi|Ti|k|M|G|T)?", re.ASCII)
_CPU = re.compile(r"(?:[0-9]{1,4}(?:\.[0-9]{1,3})?|[1-9][0-9]{0,6}m)", re.ASCII)
_BYTES = {
    None: 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
}  # fmt: skip
_PARTS = frozenset({"limits", "health", "volumes", "secrets", "secret_keys"})
_LEAST_MEMORY = 4 << 20  # bytes: with less, no container starts


@dataclass(frozen=True)
class Limits:
    """Of one process, as Kubernetes writes quantities: ``512Mi``, and ``0.5`` or ``500m`` of a CPU. None: the server's default."""

    memory: str | None = None
    cpu: str | None = None

    @classmethod
    def parse(cls, document: object, where: str) -> Self:
        """Raises UsageError."""
        found = table(document, where, frozenset({"memory", "cpu"}))
        limits = cls(
            *(text(found[name], f"{where}: {name}") if name in found else None for name in ("memory", "cpu"))
        )
        if limits.memory is not None and (limits.memory_bytes or 0) < _LEAST_MEMORY:
            raise UsageError(f"{where}: {limits.memory!r} is too little memory", hint="write at least 4Mi")
        if limits.cpu is not None and not limits.milli_cpu:
            raise UsageError(f"{where}: a process needs some CPU", hint="write 0.5 or 500m")
        return limits

    @property
    def memory_bytes(self) -> int | None:
        """Raises UsageError where it is no quantity."""
        if self.memory is None:
            return None
        found = _MEMORY.fullmatch(self.memory)
        if not found:
            raise UsageError(f"{self.memory[:40]!r} is no amount of memory", hint="write 512Mi, 1Gi or 500M")
        return int(found[1]) * _BYTES[found[2]]

    @property
    def milli_cpu(self) -> int | None:
        """Thousandths of a CPU. Raises UsageError where it is no quantity."""
        if self.cpu is None:
            return None
        if not _CPU.fullmatch(self.cpu):
            raise UsageError(f"{self.cpu[:40]!r} is no amount of CPU", hint="write 0.5, 2 or 500m")
        return int(self.cpu[:-1]) if self.cpu.endswith("m") else round(float(self.cpu) * 1000)

    def document(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Runtime:
    """``limits`` and ``health`` by process type, ``volumes`` by name; ``secrets``: prefixes of variables by the name of the Secret with them;
    ``secret_keys``: single values of Secrets by the name of the variable.
    """

    limits: Mapping[str, Limits] = field(default_factory=dict)
    health: Mapping[str, tuple[HealthCheck, ...]] = field(default_factory=dict)  # at most one of each kind
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    secret_keys: Mapping[str, SecretKey] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: object) -> Self:
        """What ``document`` wrote. Raises UsageError."""
        found = table(document, "runtime", _PARTS)
        limits = table(found.get("limits", {}), "runtime.limits")
        health = table(found.get("health", {}), "runtime.health")
        return cls(
            {
                ProcessType.parse_name(name): Limits.parse(asked, f"the limits of {name}")
                for name, asked in limits.items()
            },
            {ProcessType.parse_name(name): parse_checks(asked, name) for name, asked in health.items()},
            parse_volumes(found.get("volumes", {})),
            parse_secrets(found.get("secrets", {})),
            parse_secret_keys(found.get("secret_keys", {})),
        )

    def document(self) -> dict[str, Any]:
        return {
            "limits": {name: limits.document() for name, limits in self.limits.items()},
            "health": {name: checks_document(checks) for name, checks in self.health.items() if checks},
            "volumes": {name: volume.document() for name, volume in self.volumes.items()},
            "secrets": dict(self.secrets),
            "secret_keys": {name: key.document() for name, key in self.secret_keys.items()},
        }


def out_of_memory(process: str) -> str:
    """What to do where a process was killed for its memory."""
    return f"give it more (gitreceive ps limits {process} --memory 1Gi), or let the process use less"
