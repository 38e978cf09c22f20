"""What people set for an app apart from its config, in sections. Each is parsed once, from JSON, and writes itself back."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

from gitreceive.model.cron import Schedule
from gitreceive.model.documents import merged, table
from gitreceive.model.formation import Formation
from gitreceive.model.maintenance import Maintenance
from gitreceive.model.routing import Routing
from gitreceive.model.runtime import Runtime
from gitreceive.model.services import Services
from gitreceive.model.volumes import require_single


class _Section(Protocol):
    @classmethod
    def parse(cls, document: object) -> Self: ...

    def document(self) -> dict[str, Any]: ...


_SECTIONS: Mapping[str, type[_Section]] = {
    "runtime": Runtime,
    "formation": Formation,
    "maintenance": Maintenance,
    "routing": Routing,
    "schedule": Schedule,
    "services": Services,
}


@dataclass(frozen=True)
class AppSettings:
    """``runtime`` belongs to a release: another one is another release, and a rollback brings the old one back. All other sections
    are the app's own, as they are now, whichever release is live; another one restarts nothing.
    """

    runtime: Runtime = field(default_factory=Runtime)
    formation: Formation = field(default_factory=Formation)
    maintenance: Maintenance = field(default_factory=Maintenance)
    routing: Routing = field(default_factory=Routing)
    schedule: Schedule = field(default_factory=Schedule)
    services: Services = field(default_factory=Services)

    @classmethod
    def parse(cls, document: object) -> Self:
        """What ``document`` wrote; a section that is not there is as if nothing was set. Raises UsageError, naming what is wrong."""
        found = table(document, "the settings", frozenset(_SECTIONS))
        sections: dict[str, Any] = {name: _SECTIONS[name].parse(found[name]) for name in found}
        return cls(**sections)

    def document(self) -> dict[str, Any]:
        return {name: getattr(self, name).document() for name in _SECTIONS}

    def patched(self, patch: Mapping[str, Any]) -> Self:
        """With a JSON merge patch of the document applied (RFC 7386). Raises UsageError where the result cannot be."""
        made = type(self).parse(merged(self.document(), patch))
        made.require_possible()
        return made

    def require_possible(self) -> None:
        """Raise UsageError where sections do not go together: a release that is brought back may find others than it had."""
        require_single(self.runtime.volumes, self.formation)

    def running(self, runtime: Runtime) -> Self:
        """The same with a release's runtime."""
        return replace(self, runtime=runtime)
