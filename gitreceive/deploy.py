"""The stories of a job, top to bottom. A push: receive → detect → build → publish → release command → roll out → live. Where nothing
is to be built, the story begins later: a rebase publishes, rolls out and is live; a rollback rolls out and is live. What is asked for
decides which chapters it has.

Each step's intent is in the ledger before its effect begins, and each may run twice with the same end; so a job that a dead
server left is told again from its last committed step. Any error before the last line leaves the app as it was: the ref where
it stood, the previous release serving.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from gitreceive.buildpacks.choice import read_choice
from gitreceive.cancellation import Cancellation
from gitreceive.errors import CanceledError, GitreceiveError, LeaseLostError, RolloutError
from gitreceive.model import (
    RELEASE_PROCESS,
    Blob,
    Build,
    CommitId,
    ConfigChange,
    Digest,
    Image,
    Job,
    JobState,
    Layer,
    Promotion,
    Push,
    Rebase,
    Redeploy,
    Release,
    Rollback,
    Secret,
    Source,
    require_config_fits,
)
from gitreceive.ports import BuildRequest, Log, Platform
from gitreceive.promote import plan_promotion
from gitreceive.rebase import Wish, plan_move
from gitreceive.rollback import live_release, plan_return, require_image


@dataclass
class Deployment:
    """One telling of the story. ``seconds`` gathers how long each phase took."""

    job: Job
    platform: Platform
    log: Log
    cancel: Cancellation
    seconds: dict[str, float] = field(default_factory=dict)


def deploy(deployment: Deployment) -> Release:
    """Bring what the job asks for live and return its release.

    Raises any GitreceiveError; the job has then to be ended by the caller. Raises LeaseLostError when another server has
    taken the job over; nothing is put back then.
    """
    match deployment.job.cause:
        case Push() as push:
            return deploy_push(deployment, push)
        case Rebase() as rebase:
            return deploy_rebase(deployment, rebase)
        case Rollback() | Redeploy() as again:
            return deploy_again(deployment, again)
        case Promotion() as promotion:
            return deploy_promotion(deployment, promotion)
        case ConfigChange() as change:
            return deploy_config(deployment, change)


def deploy_push(deployment: Deployment, push: Push) -> Release:
    source = receive(deployment, push)
    image = deployment.job.image or build_and_publish(deployment, push, source)
    release = intend(deployment, image, push.new, f"Deploy {push.new.short}")
    run_release_command(deployment, release)
    roll_out(deployment, release)
    move_branch(deployment, push)
    return go_live(deployment, release)


def deploy_rebase(deployment: Deployment, rebase: Rebase) -> Release:
    """The code and its config stay, so the release command does not run again, and the branch stays where it is."""
    # no other job of the app can change it meanwhile
    live = live_release(rebase.app, deployment.platform.ledger)
    image = deployment.job.image or rebase_and_publish(deployment, rebase)
    release = intend(deployment, image, live.commit, f"Rebase to {rebase.stack} {rebase.version}")
    roll_out(deployment, release)
    return go_live(deployment, release)


def deploy_again(deployment: Deployment, cause: Rollback | Redeploy) -> Release:
    """A release that was live, or the live one, as the next: its image with its process types, its commit and its config.

    Its release command has run already and does not run again, and the branch stays where it is.
    """
    plan = plan_return(cause, deployment.platform.ledger)
    deployment.log.step(plan.saying)
    if deployment.job.image is None:
        # else its roll-out may have begun: what is wrong with it must show there, to be put back
        require_image(plan.to, deployment.platform.registry)
    release = intend(deployment, plan.to.image, plan.to.commit, plan.description, plan.to.config)
    roll_out(deployment, release)
    return go_live(deployment, release)


def deploy_promotion(deployment: Deployment, promotion: Promotion) -> Release:
    """Another app's image with this app's config. The release command runs, with that config; the branch stays where it is."""
    wanted = plan_promotion(promotion, deployment.platform.ledger)
    if wanted.there:
        raise CanceledError(f"nothing to do: {promotion.app} has {wanted.release.title} already")
    deployment.log.step(f"Promoting {wanted.release.title} to {promotion.app}")
    image = deployment.job.image or copy_image(deployment, wanted.release)
    release = intend(deployment, image, wanted.release.commit, f"Promote {wanted.release.title}")
    run_release_command(deployment, release)
    roll_out(deployment, release)
    return go_live(deployment, release)


def deploy_config(deployment: Deployment, change: ConfigChange) -> Release:
    """The live release with another config. The release command runs: it has not seen that one."""
    live = live_release(change.app, deployment.platform.ledger)
    config = change.applied(live.config)
    require_config_fits(config)
    if config == live.config:
        raise CanceledError(f"nothing to do: the config of {change.app} is that already")
    deployment.log.step(f"Config of {change.app}: {change.title}")
    if deployment.job.image is None:
        require_image(live, deployment.platform.registry)
    description = change.title[:1].upper() + change.title[1:]
    release = intend(deployment, live.image, live.commit, description, config)
    run_release_command(deployment, release)
    roll_out(deployment, release)
    return go_live(deployment, release)


def receive(deployment: Deployment, push: Push) -> Source:
    """The branch must still be where this push can move it: a job that waited may find it elsewhere."""
    deployment.cancel.raise_if_requested()
    deployment.platform.sources.check_move(push.app, push.ref, push.old, push.new)
    return Source(push.app, push.new)


def build_and_publish(deployment: Deployment, push: Push, source: Source) -> Image:
    job, platform, log = deployment.job, deployment.platform, deployment.log
    _advance(deployment, JobState.BUILDING)
    with ExitStack() as kept_until_published:
        sending = platform.registry.sending(job.app, log, deployment.cancel)
        request = _request(deployment, push, source, kept_until_published.enter_context(sending))
        with _phase(deployment, "build"):
            build = kept_until_published.enter_context(
                platform.builder.build(request, log, deployment.cancel)
            )
        _advance(deployment, JobState.PUBLISHING)
        log.step("Publishing")
        with _phase(deployment, "publish"):
            return _publish(deployment, build)


def rebase_and_publish(deployment: Deployment, rebase: Rebase) -> Image:
    """The live release's image on the stack's run image. Raises CanceledError where a job that came first has done it."""
    platform, log = deployment.platform, deployment.log
    wish = Wish(rebase.stack, rebase.version, rebase.force)
    move = plan_move(rebase.app, wish, platform.ledger, platform.registry)
    if not move.needed:
        raise CanceledError(f"nothing to do: {rebase.app} {move.release.label} is on {move.to.label} already")
    _advance(deployment, JobState.PUBLISHING)
    log.step(f"Rebasing {rebase.app} {move.release.label} to {move.to.label}")
    old, registry = move.release.image, platform.registry
    with _phase(deployment, "rebase"):
        run = move.to.run
        if move.packages:
            run = platform.run_images.run_image(move.to, move.packages, log, deployment.cancel)
        ref = registry.rebase(old.ref, run, rebase.app, log, deployment.cancel)
        return replace(old, ref=ref, size=registry.size(ref))


def copy_image(deployment: Deployment, release: Release) -> Image:
    """Into the app's own repository: what becomes of the other app, and of its images, does not touch this one."""
    _advance(deployment, JobState.PUBLISHING)
    registry = deployment.platform.registry
    with _phase(deployment, "publish"):
        old = release.image
        ref = registry.copy(str(old.ref), deployment.job.app, deployment.log, deployment.cancel)
        return replace(old, ref=ref)


def intend(
    deployment: Deployment,
    image: Image,
    commit: CommitId,
    description: str,
    config: Mapping[str, Secret] | None = None,
) -> Release:
    """``config`` None: the live release's."""
    _advance(deployment, JobState.RELEASING, image=image)
    job = deployment.job
    return deployment.platform.ledger.intend_release(job.id, job.fence, image, commit, description, config)


def run_release_command(deployment: Deployment, release: Release) -> None:
    """The ``release:`` process runs to its end before anything is replaced; if it fails, nothing is."""
    command = next((p for p in release.image.processes if p.name == RELEASE_PROCESS), None)
    if command is None:
        return
    deployment.log.step(f"Running the release command of {release.label}")
    with _phase(deployment, "release"):
        code = deployment.platform.target.run_once(release, command, deployment.log, deployment.cancel)
    if code != 0:
        raise RolloutError(
            f"the release command failed (exit {code})", hint="nothing was rolled out; its output is above"
        )


def roll_out(deployment: Deployment, release: Release) -> None:
    _advance(deployment, JobState.ROLLING_OUT)
    processes = ", ".join(f"{p.name}={release.replicas(p.name)}" for p in release.services)
    deployment.log.step(f"Rolling out {release.label}: {processes or 'no process types'}")
    try:
        with _phase(deployment, "roll out"):
            deployment.platform.target.roll_out(release, deployment.log, deployment.cancel)
    except LeaseLostError:
        raise
    except BaseException:
        _put_back(deployment, release)
        raise


def move_branch(deployment: Deployment, push: Push) -> None:
    """Only now, when the release is healthy: a push that is accepted is live."""
    deployment.platform.sources.move(push.app, push.ref, push.old, push.new)


def go_live(deployment: Deployment, release: Release) -> Release:
    """The summary stands in the log before the ledger says live, so that nobody misses it."""
    job, platform, log = deployment.job, deployment.platform, deployment.log
    total = sum(deployment.seconds.values())
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in deployment.seconds.items())
    log.step(f"{release.app} {release.label} is live after {total:.1f} s ({phases})")
    log.detail(platform.target.url(release.app) or "it has no web process, so no address")
    return platform.ledger.go_live(job.id, job.fence, deployment.seconds)


def _request(
    deployment: Deployment, push: Push, source: Source, finished: Callable[[Layer], None]
) -> BuildRequest:
    """Raises SourceError and DetectError for a choice of buildpacks that cannot be followed."""
    job, platform = deployment.job, deployment.platform

    def read(path: str, limit: int) -> bytes | None:
        return platform.sources.read(source, path, limit)

    choice, project = read_choice(read, push.options, platform.ledger.app(job.app).buildpacks)
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
    return Image(ref, build.processes, build.port, build.buildpacks, registry.size(ref))


def _put_back(deployment: Deployment, release: Release) -> None:
    _hold_lease(deployment)
    previous = deployment.platform.ledger.current_release(release.app)
    deployment.log.step(
        f"Putting {previous.label} back"
        if previous
        else "Removing what was begun: there is no earlier release"
    )
    try:
        deployment.platform.target.put_back(release, previous, deployment.log)
    except GitreceiveError as error:
        deployment.log.error(f"putting back failed too: {error.message}", error.hint)


def _hold_lease(deployment: Deployment) -> None:
    """Raises LeaseLostError where another server rolls out by now: then nothing is ours to put back."""
    job = deployment.job
    deployment.platform.ledger.advance(job.id, job.fence, JobState.ROLLING_OUT)


def _advance(deployment: Deployment, state: JobState, image: Image | None = None) -> None:
    job = deployment.job
    deployment.cancel.raise_if_requested()
    deployment.job = deployment.platform.ledger.advance(job.id, job.fence, state, image=image)


@contextmanager
def _phase(deployment: Deployment, name: str) -> Iterator[None]:
    since = time.monotonic()
    try:
        yield
    finally:
        deployment.seconds[name] = round(time.monotonic() - since, 3)
