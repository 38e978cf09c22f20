"""The stories of a job, top to bottom. A push: receive → detect → build → publish → release command → roll out → live, and app.json's scripts around the roll-out. Where nothing
is to be built, the story begins later: a rebase publishes, rolls out and is live; a rollback rolls out and is live. What is asked for
decides which chapters it has.

Each step's intent is in the ledger before its effect begins, and each may run twice with the same end; so a job that a dead
server left is told again from its last committed step. Any error before the last line leaves the app as it was: the ref where
it stood, the previous release serving.
"""

from gitreceive.errors import CanceledError, LeaseLostError
from gitreceive.model import (
    ConfigChange,
    Promotion,
    Push,
    Rebase,
    Redeploy,
    Release,
    Rollback,
    SettingsChange,
    require_config_fits,
)
from gitreceive.stories.attesting import attested, signed
from gitreceive.stories.chapters import (
    Deployment,
    adjust,
    build_and_publish,
    copy_image,
    go_live,
    has_moved,
    intend,
    move_branch,
    put_back,
    rebase_and_publish,
    receive,
    roll_out,
    run_release_command,
)
from gitreceive.stories.promote import plan_promotion
from gitreceive.stories.rollback import live_release, plan_return, require_image
from gitreceive.stories.scripts import run_after, run_before
from gitreceive.stories.wishes import read_wishes


def deploy(deployment: Deployment) -> Release:
    """Bring what the job asks for live and return its release.

    Raises any GitreceiveError; the job has then to be ended by the caller. Raises LeaseLostError when another server has
    taken the job over, and UnrecordedError where it is live and that cannot be recorded; nothing is put back then.
    """
    deployment.told_from = deployment.job.state
    try:
        return _told(deployment)
    except LeaseLostError:
        raise
    except BaseException:
        begun, deployment.begun = deployment.begun, None
        if begun is not None:
            put_back(deployment, begun)
        raise


def _told(deployment: Deployment) -> Release:
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
        case SettingsChange() as change:
            return deploy_settings(deployment, change)


def deploy_push(deployment: Deployment, push: Push) -> Release:
    source = receive(deployment, push)
    wishes = read_wishes(deployment, push, source)
    image = deployment.job.image or build_and_publish(deployment, push, source, wishes.asked.buildpacks)
    description = f"Deploy {push.new.short}"
    begun = (wishes.config, wishes.settings, wishes.asked.declared)
    release = intend(deployment, image, push.new, description, *begun)
    if not has_moved(deployment, push):
        with attested(deployment, release, made=True):
            run_before(deployment, release)
            run_release_command(deployment, release)
            roll_out(deployment, release)
        move_branch(deployment, push)
    run_after(deployment, release, first=wishes.first)
    return go_live(deployment, release)


def deploy_rebase(deployment: Deployment, rebase: Rebase) -> Release:
    """The code and its config stay, so the release command does not run again, and the branch stays where it is."""
    # no other job of the app can change it meanwhile
    live = live_release(rebase.app, deployment.platform.ledger)
    image = deployment.job.image or rebase_and_publish(deployment, rebase)
    release = intend(deployment, image, live.commit, f"Rebase to {rebase.stack} {rebase.version}")
    with attested(deployment, release, made=True, before=live.image.ref):
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
    settings = plan.live.settings.running(plan.to.settings.runtime)
    again = (plan.to.config, settings, plan.to.declared)
    release = intend(deployment, plan.to.image, plan.to.commit, plan.description, *again)
    signed(deployment, release)
    roll_out(deployment, release)
    return go_live(deployment, release)


def deploy_promotion(deployment: Deployment, promotion: Promotion) -> Release:
    """Another app's image with this app's config. The release command runs, with that config; the branch stays where it is."""
    wanted = plan_promotion(promotion, deployment.platform.ledger)
    if wanted.there:
        raise CanceledError(f"nothing to do: {promotion.app} has {wanted.release.title} already")
    deployment.log.step(f"Promoting {wanted.release.title} to {promotion.app}")
    image = deployment.job.image or copy_image(deployment, wanted.release)
    first = deployment.platform.ledger.current_release(promotion.app) is None
    declared = wanted.release.declared
    description = f"Promote {wanted.release.title}"
    release = intend(deployment, image, wanted.release.commit, description, declared=declared)
    with attested(deployment, release, made=False):
        run_before(deployment, release)
        run_release_command(deployment, release)
        roll_out(deployment, release)
    run_after(deployment, release, first=first)
    return go_live(deployment, release)


def deploy_config(deployment: Deployment, change: ConfigChange) -> Release:
    """The live release with another config. The release command and the scripts around a roll-out run: they have not seen that one."""
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
    signed(deployment, release)
    run_before(deployment, release)
    run_release_command(deployment, release)
    roll_out(deployment, release)
    run_after(deployment, release, first=False)
    return go_live(deployment, release)


def deploy_settings(deployment: Deployment, change: SettingsChange) -> Release:
    """The live release with other settings: as the next one where its processes are given something else, else as it is. No release
    command runs: neither the code nor its config is another.
    """
    live = live_release(change.app, deployment.platform.ledger)
    settings = live.settings.patched(change.patch)
    if settings == live.settings:
        raise CanceledError(f"nothing to do: {change.app} is set so already")
    deployment.log.step(f"Settings of {change.app}: {change.title}")
    if settings.runtime == live.settings.runtime:
        return adjust(deployment, live, settings)
    if deployment.job.image is None:
        require_image(live, deployment.platform.registry)
    description = change.title[:1].upper() + change.title[1:]
    release = intend(deployment, live.image, live.commit, description, live.config, settings)
    signed(deployment, release)
    roll_out(deployment, release)
    return go_live(deployment, release)
