"""Whether an app's live release can be put on another version of its run image, and on which. Nothing is changed here.

The rules are those of the Cloud Native Buildpacks' Platform API, "Rebaser": the image is one that buildpacks made and does not
call itself unsafe to rebase, and both run images are for the same operating system, architecture, distribution and stack.
"""

from dataclasses import dataclass
from typing import Protocol

from gitreceive.errors import NotFoundError, RebaseError
from gitreceive.model import AppName, ImageFacts, ImageRef, Release, Stack
from gitreceive.ports import Registry, ReleaseLedger, StackLedger

_REBASABLE = "io.buildpacks.rebasable"
_SAME = {
    "io.buildpacks.base.distro.name": "the distribution",
    "io.buildpacks.base.distro.version": "the distribution's version",
    "io.buildpacks.stack.id": "the stack's id",
}


class Records(ReleaseLedger, StackLedger, Protocol):
    """What of a ledger is asked here."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants: this stack (None: the one that the app is on), this version (None: its newest), whatever differs."""

    stack: str | None = None
    version: int | None = None
    force: bool = False


@dataclass(frozen=True)
class Move:
    """A live release, the stack's version that it runs on, and the one that it can be put on.

    ``origin`` is None where its run image is of no stack that the ledger knows.
    """

    release: Release
    origin: Stack | None
    to: Stack
    packages: tuple[str, ...] = ()  # the system packages that go with it

    @property
    def needed(self) -> bool:
        """False where the release is on that run image, or on one of a later version."""
        if self.origin is None or self.origin.name != self.to.name:
            return True
        return self.origin.version < self.to.version and self.origin.run != self.to.run


def plan_move(app: AppName, wish: Wish, ledger: Records, registry: Registry) -> Move:
    """Where the app's live release would go. Raises NotFoundError where nothing is live or there is no such stack, RebaseError where the
    release cannot be rebased, or not without force; RegistryError.
    """
    release = ledger.current_release(app)
    if release is None:
        raise NotFoundError(f"nothing of {app} is live", hint="push it: it is built on the newest stack")
    if not is_of_buildpacks(release):
        raise RebaseError(
            f"{app} was built by its Dockerfile, which names its own base image",
            hint="build it again: git commit --allow-empty -m 'Newer base image' && git push -o nocache",
        )
    facts = registry.facts(release.image.ref)
    base = facts.stack_image if facts.run_image else None
    if base is None:
        raise RebaseError(
            f"the image of {app} {release.label} does not say which layers are its run image's",
            hint="push it again with -o nocache; later releases can then be rebased",
        )
    origin = next((known for known in ledger.stack_versions() if known.run == base), None)
    to = _destination(app, base, origin, wish, ledger)
    move = Move(release, origin, to, facts.packages)
    if move.needed and not wish.force:
        _require_safe(app, facts, to, registry)
    return move


def is_of_buildpacks(release: Release | None) -> bool:
    """Whether there is anything that could be rebased: a Dockerfile's image says nothing of what lies below it."""
    return release is not None and release.image.buildpacks != ("dockerfile",)


def _destination(
    app: AppName, base: ImageRef, origin: Stack | None, wish: Wish, ledger: StackLedger
) -> Stack:
    if origin is None and not (wish.stack and wish.force):
        raise RebaseError(
            f"{app} runs on {base.repository}@{base.digest.short}, which is the run image of no stack here",
            hint=f"push {app} again to build it on a stack, or put it on one: --stack NAME --force",
        )
    name = wish.stack or (origin.name if origin else "")
    found = ledger.stack(name, wish.version)
    if found is None:
        raise NotFoundError(f"there is no stack {name[:60]!r}", hint="gitreceive stack list shows them")
    return found


def _require_safe(app: AppName, before: ImageFacts, to: Stack, registry: Registry) -> None:
    # with system packages it is not for those who know nothing of them; here they are installed on the new run image too
    if before.labels.get(_REBASABLE) == "false" and not before.packages:
        raise RebaseError(
            f"the image of {app} says that it is not safe to rebase ({_REBASABLE})",
            hint=f"push {app} again: it is then built on {to.label}",
        )
    after = registry.facts(to.run)
    pairs = {
        "the operating system": (before.os, after.os),
        "the architecture": (before.architecture, after.architecture),
        "the architecture's variant": (before.variant, after.variant),
        **{text: (before.labels.get(name), after.labels.get(name)) for name, text in _SAME.items()},
    }
    for what, (old, new) in pairs.items():
        if old and old != new:
            raise RebaseError(
                f"{app} cannot simply be put on {to.label}: {what} was {old}, and there it is {new or 'not told'}",
                hint=f"push {app} again to build it on that, or add --force to try it all the same",
            )
