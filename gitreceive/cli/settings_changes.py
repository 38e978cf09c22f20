"""What commands do that change an app's settings: refuse at once what cannot be done, keep it for the first release, or have it done."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gitreceive import config, data_folder
from gitreceive.cli.common import print_json
from gitreceive.cli.rollback import who_may
from gitreceive.cli.watching import watched, write
from gitreceive.errors import NotFoundError
from gitreceive.model import (
    AppName,
    AppSettings,
    Job,
    JobState,
    Permission,
    ProcessType,
    Release,
    SettingsChange,
)
from gitreceive.stories.rollback import require_image
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Platform


@dataclass(frozen=True)
class Wish:
    """``title``: what it is, in a few words. ``patch``: a JSON merge patch of the settings."""

    title: str
    patch: Mapping[str, Any]


Plan = Callable[[AppSettings, Release | None], Wish]  # of the settings as they are, and of what is live


def change_settings(
    platform: "Platform",
    app: AppName,
    plan: Plan,
    *,
    as_json: bool,
    permission: Permission = Permission.CONFIGURE,
) -> None:
    """Exit 1 where it was not done. Raises as ``carry_out`` does."""
    done = carry_out(platform, app, plan, log=not as_json, permission=permission)
    if as_json:
        print_json(done.facts())
    done.tell()


@dataclass(frozen=True)
class Done:
    """What became of a wish. ``job``: None where it waits for the first release, or nothing had to be done. ``after``: the settings that
    were wished for.
    """

    app: AppName
    wish: Wish
    job: Job | None
    changed: bool
    after: AppSettings

    @property
    def well(self) -> bool:
        """It was done, or there is nothing more to do now."""
        return self.job is None or self.job.state is JobState.LIVE

    def facts(self) -> dict[str, Any]:
        """For programs."""
        job = self.job
        result = job.state if job else "kept" if self.changed else "unchanged"
        told = {"app": self.app, "result": result, "title": self.wish.title}
        return {
            **told,
            "release": job.release if job else None,
            "build": job.id if job else None,
            "reason": job.reason if job else "",
        }

    def tell(self) -> None:
        """On stderr, where no job's log has. Exit 1 where it was not done."""
        if self.job is None and self.changed:
            Voice(write).step(f"Kept for the first release of {self.app}: {self.wish.title}")
        elif self.job is None:
            Voice(write).step(f"Nothing to do: {self.app} is set so already")
        if not self.well:
            sys.exit(1)


def carry_out(
    platform: "Platform",
    app: AppName,
    plan: Plan,
    *,
    log: bool,
    permission: Permission = Permission.CONFIGURE,
) -> Done:
    """Raises what ``plan`` does, ConflictError where the app is locked, UsageError for what cannot be."""
    ledger = platform.ledger
    who = who_may(platform, app, permission)
    before, live = ledger.settings(app), ledger.current_release(app)
    wish = plan(before, live)
    after = before.patched(wish.patch)
    job = None
    if after != before and live is None:
        ledger.keep_settings(app, before, after)
    elif after != before and live is not None:
        if after.runtime != before.runtime:
            require_image(live, platform.registry)
        data_folder.require_server(config.load())
        change = SettingsChange(app, who.name, wish.title, wish.patch)
        job = watched(ledger.enqueue(change), platform, log=log)
    return Done(app, wish, job, after != before, after)


def known_process(release: Release | None, name: str, *, once: bool = False) -> str:
    """A process type of the app; before its first release, any that could be. ``once``: also what runs once, such as ``release``.

    Raises NotFoundError, which lists those that there are, and UsageError.
    """
    ProcessType.parse_name(name)
    if release is None:
        return name
    there = [process.name for process in (release.image.processes if once else release.services)]
    if name not in there:
        raise NotFoundError(
            f"{release.app} has no process type {name!r}",
            hint=f"it has {', '.join(there)}" if there else "it has none: name one in the Procfile",
        )
    return name
