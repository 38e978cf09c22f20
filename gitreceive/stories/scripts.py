"""The scripts of app.json around a roll-out. Those before it stop the release where they fail; those behind it say so, and it stays live."""

from gitreceive.cancellation import Cancellation
from gitreceive.errors import CanceledError, GitreceiveError, LeaseLostError, RolloutError
from gitreceive.model import (
    POSTDEPLOY_PROCESS,
    PREDEPLOY_PROCESS,
    PREDESTROY_PROCESS,
    Release,
    script_process,
)
from gitreceive.ports import Log, Target
from gitreceive.stories.chapters import Deployment, phase
from gitreceive.voice import WhatCanBeSaid

_BEFORE, _AFTER, _FIRST, _FAREWELL = (
    "scripts.dokku.predeploy",
    "scripts.dokku.postdeploy",
    "scripts.postdeploy",
    "scripts.pr-predestroy",
)


def run_before(deployment: Deployment, release: Release) -> None:
    """Raises RolloutError where it fails: nothing is rolled out then. It does not run again for a roll-out that was broken off."""
    command = release.declared.scripts.before
    if not command or deployment.prepared:
        return
    deployment.log.step(f"Running {_BEFORE} of {release.label}")
    with phase(deployment, "predeploy"):
        process = script_process(release.image, PREDEPLOY_PROCESS, command)
        code = deployment.platform.target.run_once(release, process, deployment.log, deployment.cancel)
    if code != 0:
        raise RolloutError(
            f"{_BEFORE} of app.json failed (exit {code})",
            hint="nothing was rolled out; its output is above",
        )


def run_after(deployment: Deployment, release: Release, *, first: bool) -> None:
    """What runs serves already: whatever happens, it is told, and the release goes live."""
    scripts, log = release.declared.scripts, WhatCanBeSaid(deployment.log)
    for name, command in ((_FIRST, scripts.first if first else ""), (_AFTER, scripts.after)):
        if command:
            log.step(f"Running {name} of {release.label}")
            with phase(deployment, "postdeploy"):
                _run_after(deployment, release, log, name, command)


def say_farewell(target: Target, release: Release, log: Log) -> None:
    """Before a review app is removed, which goes whatever happens here."""
    command = release.declared.scripts.farewell
    if not command:
        return
    log.step(f"Running {_FAREWELL} of {release.label}")
    try:
        process = script_process(release.image, PREDESTROY_PROCESS, command)
        code = target.run_once(release, process, log, Cancellation())
    except GitreceiveError as error:
        log.error(f"{_FAREWELL} of app.json could not be run: {error.message}", error.hint)
    else:
        if code != 0:
            log.error(f"{_FAREWELL} of app.json failed (exit {code})")


def _run_after(deployment: Deployment, release: Release, log: Log, name: str, command: str) -> None:
    stays = f"{release.label} stays live all the same"
    try:
        process = script_process(release.image, POSTDEPLOY_PROCESS, command)
        code = deployment.platform.target.run_once(release, process, log, deployment.cancel)
    except LeaseLostError:
        raise
    except CanceledError:
        log.error(f"{name} of app.json was stopped", stays)
    except GitreceiveError as error:
        log.error(
            f"{name} of app.json could not be run: {error.message}",
            "; ".join(filter(None, (error.hint, stays))),
        )
    else:
        if code != 0:
            log.error(f"{name} of app.json failed (exit {code})", stays)
