"""Which release is made the next one again, and whether that can be done. Nothing is changed here."""

from dataclasses import dataclass

from gitreceive.errors import ConflictError, NotFoundError, RegistryError
from gitreceive.model import AppName, Redeploy, Release, Rollback
from gitreceive.ports import Registry, ReleaseLedger


@dataclass(frozen=True)
class Return:
    """What is live, and what is to be live again; for a redeploy they are the same."""

    live: Release
    to: Release

    @property
    def description(self) -> str:
        """As it stands in the list of releases."""
        return f"Redeploy {self.to.label}" if self.live == self.to else f"Rollback to {self.to.label}"

    @property
    def saying(self) -> str:
        """As it stands in the log."""
        app, live, to = self.live.app, self.live.label, self.to.label
        return f"Redeploying {app} {live}" if live == to else f"Rolling back {app} {live} to {to}"


def plan_return(cause: Rollback | Redeploy, ledger: ReleaseLedger) -> Return:
    """Raises NotFoundError where nothing is live or there is no such release, ConflictError for a rollback to the live one."""
    live = live_release(cause.app, ledger)
    if isinstance(cause, Redeploy):
        return Return(live, live)
    if cause.to == live.number:
        raise ConflictError(
            f"{cause.app} {live.label} is live already",
            hint=f"to start it anew: gitreceive redeploy {cause.app}",
        )
    return Return(live, ledger.release(cause.app, cause.to))


def number_before(live: Release) -> int:
    """Where a rollback goes that names no release. Raises NotFoundError where there is none."""
    if live.number == 1:
        raise NotFoundError(
            f"there is no release of {live.app} before v1", hint=f"gitreceive releases {live.app} shows all"
        )
    return live.number - 1


def live_release(app: AppName, ledger: ReleaseLedger) -> Release:
    """Raises NotFoundError where nothing is live."""
    live = ledger.current_release(app)
    if live is None:
        raise NotFoundError(f"nothing of {app} is live", hint="push it first")
    return live


def require_image(release: Release, registry: Registry) -> None:
    """Raises RegistryError where the registry no longer has the release's image, whole."""
    if not registry.layers(release.image.ref):
        raise RegistryError(
            f"the registry no longer has the image of {release.app} {release.label}",
            hint=f"choose another (gitreceive releases {release.app}), or push its commit, {release.commit.short}, again",
        )
