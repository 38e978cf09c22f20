"""The chapters that the stories in ``deploy.py`` are told with. Each may run twice with the same end."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from gitreceive.buildpacks.choice import read_choice
from gitreceive.cancellation import Cancellation
from gitreceive.errors import (
    BrokenOffError,
    CanceledError,
    GitreceiveError,
    LeaseLostError,
    RolloutError,
    UnavailableError,
)
from gitreceive.joblogs import RELEASE_STEP
from gitreceive.model import (
    RELEASE_PROCESS,
    AppSettings,
    Blob,
    Build,
    BuildpackRef,
    CommitId,
    Declared,
    Digest,
    Image,
    Job,
    JobState,
    Layer,
    Push,
    Rebase,
    Redeploy,
    Release,
    Rollback,
    Secret,
    Source,
)
from gitreceive.ports import BuildRequest, Log, Platform
from gitreceive.stories.quota import require_room
from gitreceive.stories.rebase import Wish, plan_move
from gitreceive.voice import WhatCanBeSaid

_BUILDS = 3  # of one push, where Docker breaks them off
_BUILD_PAUSE = 1.0
_RECORDINGS, _RECORDING_PAUSE = 5, 1.0

T = TypeVar("T")


class UnrecordedError(Exception):
    """What is done and stays cannot be recorded for now. The job is left as it is, for whoever takes it up once its lease has run out."""


@dataclass
class Deployment:
    """One telling of the story. ``seconds`` gathers how long each phase took. ``begun`` is the release whose roll-out has begun, for as
    long as it is put back where the story breaks off. ``told_from`` is where the job stood when the telling began.
    """

    job: Job
    platform: Platform
    log: Log
    cancel: Cancellation
    seconds: dict[str, float] = field(default_factory=dict)
    begun: Release | None = None
    told_from: JobState = JobState.QUEUED

    @property
    def prepared(self) -> bool:
        """All that comes before a roll-out was done in a telling before."""
        return self.told_from is JobState.ROLLING_OUT


def receive(deployment: Deployment, push: Push) -> Source:
    """The branch must still be where this push can move it: a job that waited may find it elsewhere."""
    if not has_moved(deployment, push):
        deployment.cancel.raise_if_requested()
    deployment.platform.sources.check_move(push.repository, push.ref, push.old, push.new)
    return Source(push.app, push.new, push.came_to)


def has_moved(deployment: Deployment, push: Push) -> bool:
    """Whether a telling before has rolled the push out and moved the branch, and came no further. From there on it is accepted, and nothing puts
    it back. A push that another brought its commit before has a live release of it.
    """
    if not deployment.prepared:
        return False
    live = deployment.platform.ledger.current_release(push.app)
    at = deployment.platform.sources.head(push.repository, push.ref)
    return at == push.new and (live is None or live.commit != push.new)


def build_and_publish(
    deployment: Deployment, push: Push, source: Source, described: Sequence[BuildpackRef] = ()
) -> Image:
    """``described`` are the buildpacks that the source's app.json names."""
    log = deployment.log
    advance(deployment, JobState.BUILDING)
    with ExitStack() as kept_until_published:
        with phase(deployment, "build"):
            build = _built(deployment, push, source, described, kept_until_published)
        advance(deployment, JobState.PUBLISHING)
        log.step("Publishing")
        with phase(deployment, "publish"):
            return _publish(deployment, build)


def _built(
    deployment: Deployment, push: Push, source: Source, described: Sequence[BuildpackRef], kept: ExitStack
) -> Build:
    """A build that was broken off under it is begun again, as its result depends on nothing that the first one did."""
    job, platform, log, cancel = deployment.job, deployment.platform, deployment.log, deployment.cancel
    for left in reversed(range(_BUILDS)):
        with ExitStack() as attempt:
            finished = attempt.enter_context(platform.registry.sending(job.app, log, cancel))
            request = _request(deployment, push, source, described, finished)
            try:
                build = attempt.enter_context(platform.builder.build(request, log, cancel))
            except BrokenOffError as error:
                if not left:
                    raise
                log.warn(f"{error.message}; building again")
            else:
                kept.push(attempt.pop_all())
                return build
        cancel.wait(_BUILD_PAUSE)
    raise AssertionError("unreachable")


def rebase_and_publish(deployment: Deployment, rebase: Rebase) -> Image:
    """The live release's image on the stack's run image. Raises CanceledError where a job that came first has done it."""
    platform, log = deployment.platform, deployment.log
    wish = Wish(rebase.stack, rebase.version, rebase.force)
    move = plan_move(rebase.app, wish, platform.ledger, platform.registry)
    if not move.needed:
        raise CanceledError(f"nothing to do: {rebase.app} {move.release.label} is on {move.to.label} already")
    advance(deployment, JobState.PUBLISHING)
    log.step(f"Rebasing {rebase.app} {move.release.label} to {move.to.label}")
    old, registry = move.release.image, platform.registry
    with phase(deployment, "rebase"):
        run = move.to.run
        if move.packages:
            run = platform.run_images.run_image(move.to, move.packages, log, deployment.cancel)
        ref = registry.rebase(old.ref, run, rebase.app, log, deployment.cancel)
        return replace(old, ref=ref, size=registry.size(ref))


def copy_image(deployment: Deployment, release: Release) -> Image:
    """Into the app's own repository: what becomes of the other app, and of its images, does not touch this one."""
    advance(deployment, JobState.PUBLISHING)
    registry = deployment.platform.registry
    with phase(deployment, "publish"):
        old = release.image
        ref = registry.copy(str(old.ref), deployment.job.app, deployment.log, deployment.cancel)
        if deployment.platform.attestor is not None:
            registry.copy_referrers(old.ref, ref, deployment.cancel)
        return replace(old, ref=ref)


def intend(
    deployment: Deployment,
    image: Image,
    commit: CommitId,
    description: str,
    config: Mapping[str, Secret] | None = None,
    settings: AppSettings | None = None,
    declared: Declared | None = None,
) -> Release:
    """``config`` and ``declared`` None: the live release's; ``settings`` None: the app's. Raises ConflictError where a quota of memory or
    replicas has no room for it: what was live comes back, or stays, in any case. Raises UsageError where more processes would run than may have
    a volume of it.
    """
    if not deployment.prepared:
        advance(deployment, JobState.RELEASING, image=image)
    job, ledger = deployment.job, deployment.platform.ledger
    release = ledger.intend_release(job.id, job.fence, image, commit, description, config, settings, declared)
    if deployment.prepared:
        return release  # it had room before its roll-out, which may have moved the branch by now
    release.settings.require_possible()
    if not isinstance(job.cause, Rollback | Redeploy | Rebase):
        require_room(release, ledger, deployment.platform.default_memory)
    return release


def run_release_command(deployment: Deployment, release: Release) -> None:
    """The ``release:`` process runs to its end before anything is replaced; if it fails, nothing is. It does not run again for a roll-out that was
    broken off.
    """
    command = next((p for p in release.image.processes if p.name == RELEASE_PROCESS), None)
    if command is None or deployment.prepared:
        return
    deployment.log.step(f"{RELEASE_STEP}{release.label}")
    with phase(deployment, "release"):
        code = deployment.platform.target.run_once(release, command, deployment.log, deployment.cancel)
    if code != 0:
        raise RolloutError(
            f"the release command failed (exit {code})", hint="nothing was rolled out; its output is above"
        )


def roll_out(deployment: Deployment, release: Release) -> None:
    advance(deployment, JobState.ROLLING_OUT)
    processes = ", ".join(f"{p.name}={release.replicas(p.name)}" for p in release.services)
    deployment.log.step(f"Rolling out {release.label}: {processes or 'no process types'}")
    deployment.begun = release
    with phase(deployment, "roll out"):
        deployment.platform.target.roll_out(release, deployment.log, deployment.cancel)


def adjust(deployment: Deployment, release: Release, settings: AppSettings) -> Release:
    """The live release under other settings that are no part of it: what runs stays, and what is missing or too much comes and goes."""
    adjusted = replace(release, settings=settings)
    require_room(adjusted, deployment.platform.ledger, deployment.platform.default_memory)
    advance(deployment, JobState.ROLLING_OUT)
    platform, log = deployment.platform, deployment.log
    try:
        with phase(deployment, "adjust"):
            platform.target.roll_out(adjusted, log, deployment.cancel)
        recorded(lambda: _settle(deployment, adjusted))
    except LeaseLostError:
        raise
    except BaseException:
        _hold_lease(deployment)
        spoken = WhatCanBeSaid(log)
        spoken.step("Going back to the settings as they were")
        try:
            platform.target.roll_out(release, spoken, Cancellation())
        except GitreceiveError as error:
            spoken.error(f"going back failed too: {error.message}", error.hint)
        raise
    return adjusted


def _settle(deployment: Deployment, adjusted: Release) -> None:
    job, platform = deployment.job, deployment.platform
    deployment.log.step(
        f"Done after {sum(deployment.seconds.values()):.1f} s; {adjusted.label} serves as before"
    )
    platform.logbook.close(job.id)
    platform.ledger.settle(job.id, job.fence, adjusted.settings, deployment.seconds)


def move_branch(deployment: Deployment, push: Push) -> None:
    """Only now, when the release is healthy: a push that is accepted is live. Nothing is put back from here on."""
    deployment.platform.sources.move(push.repository, push.ref, push.old, push.new)
    deployment.begun = None


def go_live(deployment: Deployment, release: Release) -> Release:
    """The log is whole, the summary at its end, before the ledger says live, so that nobody misses any of it. Raises UnrecordedError where
    that cannot be written and the branch has moved.
    """
    job, ledger = deployment.job, deployment.platform.ledger
    try:
        recorded(lambda: _sum_up(deployment, release))
        live = recorded(lambda: ledger.go_live(job.id, job.fence, deployment.seconds))
    except UnavailableError as error:
        if deployment.begun is None:
            raise UnrecordedError(error.message) from error
        raise
    deployment.begun = None
    return live


def _sum_up(deployment: Deployment, release: Release) -> None:
    platform, log = deployment.platform, deployment.log
    total = sum(deployment.seconds.values())
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in deployment.seconds.items())
    log.step(f"{release.app} {release.label} is live after {total:.1f} s ({phases})")
    log.detail(platform.target.url(release.app) or "it has no web process, so no address")
    if domains := release.settings.routing.domains:
        log.detail(f"and at {', '.join(domains)}")
    for note in _unseen(release):
        log.warn(note)
    platform.logbook.close(deployment.job.id)


def _unseen(release: Release) -> Iterator[str]:
    """Why nobody sees it, though it is live."""
    if release.settings.formation.stopped:
        yield f"{release.app} is stopped, so nothing of it runs: gitreceive ps start {release.app}"
    if release.settings.maintenance.on:
        yield f"maintenance is on, so visitors see its page: gitreceive maintenance off {release.app}"


def _request(
    deployment: Deployment,
    push: Push,
    source: Source,
    described: Sequence[BuildpackRef],
    finished: Callable[[Layer], None],
) -> BuildRequest:
    """Raises SourceError and DetectError for a choice of buildpacks that cannot be followed."""
    job, platform = deployment.job, deployment.platform

    def read(path: str, limit: int) -> bytes | None:
        return platform.sources.read(source, path, limit)

    app = platform.ledger.app(job.app)
    of_app = app.buildpacks or (platform.ledger.app(app.review.of).buildpacks if app.review else ())
    choice, project = read_choice(read, push.options, of_app, described)
    return BuildRequest(
        job=job.id,
        source=source,
        options=push.options,
        stack=platform.ledger.stack(platform.stack),
        previous=_previous_layers(deployment, push),
        archive=platform.sources.archive(source),
        root=platform.sources.entries(source),
        tree=lambda: platform.sources.tree(source),
        read=read,
        choice=choice,
        project=project,
        finished=finished,
    )


def _previous_layers(deployment: Deployment, push: Push) -> Mapping[Digest, Blob]:
    """What the registry holds of the image that was made last for the app, live or not."""
    job, platform = deployment.job, deployment.platform
    if push.options.nocache:
        return {}
    made = (earlier for earlier in platform.ledger.jobs(job.app) if isinstance(earlier.cause, Push | Rebase))
    newest = next((earlier.image for earlier in made if earlier.image is not None), None)
    return platform.registry.layers(newest.ref) if newest else {}


def _publish(deployment: Deployment, build: Build) -> Image:
    registry = deployment.platform.registry
    ref = registry.publish(build, deployment.job.app, deployment.log, deployment.cancel)
    return Image(ref, build.processes, build.port, build.buildpacks, registry.size(ref), build.bases)


def put_back(deployment: Deployment, release: Release) -> None:
    """What was live before serves again. What goes wrong with that is told. Raises LeaseLostError where another server rolls out by now:
    then nothing is ours to put back.
    """
    _hold_lease(deployment)
    previous = deployment.platform.ledger.current_release(release.app)
    log = WhatCanBeSaid(deployment.log)
    log.step(
        f"Putting {previous.label} back"
        if previous
        else "Removing what was begun: there is no earlier release"
    )
    try:
        deployment.platform.target.put_back(release, previous, log)
    except GitreceiveError as error:
        log.error(f"putting back failed too: {error.message}", error.hint)


def _hold_lease(deployment: Deployment) -> None:
    job, ledger = deployment.job, deployment.platform.ledger
    recorded(lambda: ledger.advance(job.id, job.fence, JobState.ROLLING_OUT))


def recorded(record: Callable[[], T]) -> T:
    """What it returns; tried again where the disk is full, as there is room in a moment (``room.Reserve``). Raises UnavailableError."""
    for _ in range(_RECORDINGS - 1):
        try:
            return record()
        except UnavailableError:
            time.sleep(_RECORDING_PAUSE)
    return record()


def advance(deployment: Deployment, state: JobState, image: Image | None = None) -> None:
    job = deployment.job
    deployment.cancel.raise_if_requested()
    deployment.job = deployment.platform.ledger.advance(job.id, job.fence, state, image=image)


@contextmanager
def phase(deployment: Deployment, name: str) -> Iterator[None]:
    since = time.monotonic()
    try:
        yield
    finally:
        deployment.seconds[name] = round(time.monotonic() - since, 3)
