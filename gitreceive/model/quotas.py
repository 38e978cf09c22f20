"""How much an app, a user or a team may have at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from gitreceive.errors import ConflictError

_UNITS = (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10))


class QuotaKind(StrEnum):
    APP = "app"
    USER = "user"
    TEAM = "team"


@dataclass(frozen=True)
class Quota:
    """None is no limit. ``builds``: pushes that are worked on at once; ``memory``: bytes, of all processes together."""

    kind: QuotaKind
    name: str
    builds: int | None = None
    memory: int | None = None
    replicas: int | None = None

    @property
    def label(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def empty(self) -> bool:
        return (self.builds, self.memory, self.replicas) == (None, None, None)


@dataclass(frozen=True)
class Use:
    """What some apps have, or would have: all their processes together. ``memory`` in bytes, as far as it is limited."""

    memory: int = 0
    replicas: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(self.memory + other.memory, self.replicas + other.replicas)


def require_within_quota(wanted: Use, before: Use, quotas: Iterable[tuple[Quota, Use]]) -> None:
    """Raise ConflictError where an app may not have ``wanted`` in place of ``before``.

    ``quotas``: each that holds for the app, and what the others under the same one have. To have less is always allowed, so that a quota that
    was lowered can be met step by step.
    """
    for quota, others in quotas:
        total = wanted + others
        if (
            quota.replicas is not None
            and total.replicas > quota.replicas
            and wanted.replicas > before.replicas
        ):
            raise _reached(
                quota,
                _replicas(quota.replicas),
                f"{wanted.replicas} here",
                others.replicas,
                others.replicas,
            )
        if quota.memory is not None and total.memory > quota.memory and wanted.memory > before.memory:
            raise _reached(
                quota,
                f"{shown_bytes(quota.memory)} of memory",
                f"{shown_bytes(wanted.memory)} here",
                others.memory,
                shown_bytes(others.memory),
            )


def shown_bytes(size: int) -> str:
    """In binary units where nothing is lost by it: 512Mi."""
    return next((f"{size // unit}{name}" for name, unit in _UNITS if size and size % unit == 0), str(size))


def _replicas(number: int) -> str:
    return f"{number} replica{'' if number == 1 else 's'}"


def _reached(quota: Quota, limit: str, wanted: str, others: int, shown_others: object) -> ConflictError:
    elsewhere = f", and its other apps have {shown_others}" if others else ""
    return ConflictError(
        f"the quota of {quota.label} is {limit}: that would be {wanted}{elsewhere}",
        hint=f"take less, or ask an administrator: quotas set --{quota.kind} {quota.name}",
    )
