"""What is no longer kept of an app: for any history, whatever is still needed stays."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gitreceive.config import RetentionSettings
from gitreceive.model import (
    AppName,
    Cause,
    CommitId,
    Digest,
    Image,
    ImageRef,
    Job,
    JobId,
    JobState,
    Promotion,
    Push,
    PushOptions,
    Redeploy,
    Release,
    Rollback,
    UserName,
)
from gitreceive.stories.retention import named, old_logs, what_goes

SHOP, PROD, ADA = AppName("shop"), AppName("prod"), UserName("ada")
COMMIT = CommitId("c" * 40)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def image(number: int) -> Image:
    return Image(ImageRef("registry.test/shop", Digest(f"sha256:{number:064x}")), (), None, ("x@1",), 1)


def push(app: AppName = SHOP) -> Push:
    return Push(app, ADA, "refs/heads/main", COMMIT, COMMIT, PushOptions())


@dataclass(frozen=True)
class History:
    """Newest first, as a ledger has it."""

    releases: tuple[Release, ...]
    jobs: tuple[Job, ...]
    unended: tuple[Job, ...]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Pushes and rollbacks, few images so that they come again, some builds that failed, some releases that went before."""
    releases: list[Release] = []
    jobs: list[Job] = []
    for _ in range(draw(st.integers(0, 12))):
        cause: Cause = push() if draw(st.booleans()) else Redeploy(SHOP, ADA)
        made = image(draw(st.integers(0, 5)))
        live = draw(st.booleans())
        state = JobState.LIVE if live else JobState.FAILED
        forgotten = draw(st.booleans()) and not live
        jobs.append(Job(JobId(len(jobs) + 1), cause, state, NOW, fence=1, image=None if forgotten else made))
        if live:
            number = len(releases) + 1
            releases.append(Release(SHOP, number, made, COMMIT, {}, ADA, "", NOW))
    gone = draw(st.integers(0, max(0, len(releases) - 1)))
    numbers = st.integers(1, max(1, len(releases)))
    unended = []
    for n in range(draw(st.integers(0, 2))):
        asked: tuple[Cause, ...] = (
            Rollback(SHOP, ADA, draw(numbers)),
            Rollback(PROD, ADA, draw(numbers)),
            Promotion(PROD, ADA, SHOP, draw(numbers), image(0).ref.digest),
            push(),
        )
        unended.append(Job(JobId(100 + n), draw(st.sampled_from(asked)), JobState.QUEUED, NOW, fence=0))
    kept = tuple(
        Release(r.app, r.number, r.image, r.commit, {}, r.user, "", r.created_at, kept=r.number > gone)
        for r in releases
    )
    own = [*jobs, *(job for job in unended if job.app == SHOP)]
    return History(kept[::-1], tuple(reversed(own)), tuple(unended))


@given(histories(), st.integers(1, 8))
def test_what_is_needed_stays_and_the_rest_goes(history: History, keep: int) -> None:
    going = what_goes(SHOP, history.releases, history.jobs, history.unended, RetentionSettings(releases=keep))
    assert going is not None
    kept = [release for release in history.releases if release.kept]
    staying = [release for release in kept if release.number not in going.releases]
    gone_images = {ref.digest for ref in going.images}

    assert staying[: min(keep, len(kept))] == kept[:keep], "the newest stay, the live one among them"
    assert not named(SHOP, history.unended) & set(going.releases), "what is asked for stays"
    assert not {release.image.ref.digest for release in staying} & gone_images
    made = [job.image for job in history.jobs if isinstance(job.cause, Push) and job.image]
    assert not made or made[0].ref.digest not in gone_images, "the next build takes layers of it"
    assert len(staying) <= keep + len(named(SHOP, history.unended)), "no more stays than is asked for"
    for release in kept:
        if release.number in going.releases:
            digest = release.image.ref.digest
            assert (
                digest in gone_images
                or any(digest == s.image.ref.digest for s in staying)
                or (made and made[0].ref.digest == digest)
            )


@given(histories())
def test_while_a_job_is_under_way_nothing_goes(history: History) -> None:
    working = Job(JobId(999), push(), JobState.BUILDING, NOW, fence=1)
    jobs = (working, *history.jobs)
    assert what_goes(SHOP, history.releases, jobs, (working,), RetentionSettings(releases=1)) is None


@given(histories(), st.integers(1, 5))
def test_once_it_is_done_nothing_more_goes(history: History, keep: int) -> None:
    settings = RetentionSettings(releases=keep)
    going = what_goes(SHOP, history.releases, history.jobs, history.unended, settings)
    assert going is not None
    after = tuple(
        Release(
            r.app,
            r.number,
            r.image,
            r.commit,
            {},
            r.user,
            "",
            NOW,
            kept=r.kept and r.number not in going.releases,
        )
        for r in history.releases
    )
    jobs = tuple(
        Job(
            j.id,
            j.cause,
            j.state,
            NOW,
            fence=j.fence,
            image=None if j.image and j.image.ref in going.images else j.image,
        )
        for j in history.jobs
    )
    again = what_goes(SHOP, after, jobs, history.unended, settings)
    assert again is not None
    assert (again.releases, again.images) == ((), ())


def test_logs_go_by_age_and_those_of_no_job_at_once() -> None:
    def job(number: int, days: float | None) -> Job:
        ended = None if days is None else NOW - timedelta(days=days)
        state = JobState.BUILDING if ended is None else JobState.LIVE
        return Job(JobId(number), push(), state, NOW - timedelta(days=400), ended_at=ended)

    jobs = [job(1, 91), job(2, 89), job(3, None), job(4, 400)]
    logs = [JobId(n) for n in (1, 2, 3, 7)]
    assert old_logs(logs, jobs, NOW, RetentionSettings(log_days=90)) == (1, 7)
