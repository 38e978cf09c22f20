"""The contract of ledgers, on the fake and on real databases, and what only databases can show.

PostgreSQL is tried where ``GITRECEIVE_TEST_POSTGRESQL`` names an empty database by URL.
"""

import itertools
import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from gitreceive.config import Settings
from gitreceive.engines.sql_ledger import SqlLedger, open_ledger
from gitreceive.engines.sql_ledger.migrations import scripts
from gitreceive.engines.sql_ledger.schema import REVISION, metadata
from gitreceive.errors import (
    ConfigError,
    ConflictError,
    LeaseLostError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from gitreceive.model import (
    ZERO_COMMIT,
    AppName,
    CommitId,
    Digest,
    Image,
    ImageRef,
    Job,
    JobId,
    JobState,
    ProcessType,
    Push,
    PushOptions,
    Stack,
    UserName,
)
from gitreceive.ports import Ledger
from tests.fake_ledger import FakeLedger

SHOP, BLOG = AppName("shop"), AppName("blog")
ANN, BOB = UserName("ann"), UserName("bob")
IMAGE = Image(
    ref=ImageRef("127.0.0.1:5000/shop", Digest("sha256:" + "1" * 64)),
    processes=(ProcessType("web", ("gunicorn", "app:app", "--name=ü ' \"")), ProcessType("worker")),
    port=8080,
    buildpacks=("gitreceive/python@1.0",),
    size=123_456_789_012,
)
LONG = 60.0
BLINK = 0.05


def push(app: AppName = SHOP, user: UserName = ANN, commit: str = "a" * 40) -> Push:
    options = PushOptions(nocache=True, buildpack="gitreceive/python")
    return Push(app, user, "refs/heads/main", ZERO_COMMIT, CommitId(commit), options)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def postgresql_url() -> str:
    url = os.environ.get("GITRECEIVE_TEST_POSTGRESQL")
    if not url:
        pytest.skip("GITRECEIVE_TEST_POSTGRESQL names no database")
    engine = create_engine(url)
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    engine.dispose()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    if request.param == "fake":
        yield FakeLedger()
        return
    ledger = SqlLedger(request.getfixturevalue(f"{request.param}_url"))
    yield ledger
    ledger.close()


@pytest.fixture
def ledger(empty: Ledger) -> Ledger:
    empty.create_app(SHOP, ANN, "main")
    empty.create_app(BLOG, BOB, "main")
    return empty


def claimed(ledger: Ledger, seconds: float = LONG) -> Job:
    job = ledger.claim("server-1", seconds)
    assert job
    return job


# --- apps -----------------------------------------------------------------------------------------------------------


def test_an_app_is_read_as_it_was_created(empty: Ledger) -> None:
    app = empty.create_app(SHOP, ANN, "trunk")
    assert (app.name, app.owner, app.branch) == (SHOP, ANN, "trunk")
    assert abs(app.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert empty.app(SHOP) == app
    assert isinstance(empty.app(SHOP).name, AppName)


def test_a_name_is_given_once(ledger: Ledger) -> None:
    with pytest.raises(ConflictError, match="shop"):
        ledger.create_app(SHOP, BOB, "main")
    assert ledger.app(SHOP).owner == ANN


def test_apps_are_listed_by_name(ledger: Ledger) -> None:
    ledger.create_app(AppName("a-b"), ANN, "main")
    ledger.create_app(AppName("ab"), ANN, "main")
    ledger.create_app(AppName("a1"), ANN, "main")
    assert [app.name for app in ledger.apps()] == ["a-b", "a1", "ab", "blog", "shop"]


def test_an_unknown_app_is_told(empty: Ledger) -> None:
    with pytest.raises(NotFoundError, match="shop"):
        empty.app(SHOP)
    with pytest.raises(NotFoundError, match="shop"):
        empty.delete_app(SHOP)
    with pytest.raises(NotFoundError, match="shop"):
        empty.enqueue(push())


def test_an_app_with_work_under_way_is_not_deleted(ledger: Ledger) -> None:
    job = ledger.enqueue(push())
    with pytest.raises(ConflictError, match=str(job.id)):
        ledger.delete_app(SHOP)
    assert ledger.job(job.id) == job


def test_a_deleted_app_takes_its_jobs_and_releases_along_and_ids_are_not_used_again(ledger: Ledger) -> None:
    last = go_live(ledger)
    ledger.delete_app(SHOP)
    with pytest.raises(NotFoundError):
        ledger.job(last.id)
    assert (ledger.jobs(SHOP), ledger.releases(SHOP), ledger.current_release(SHOP)) == ((), (), None)
    ledger.create_app(SHOP, BOB, "main")
    assert ledger.current_release(SHOP) is None
    assert ledger.enqueue(push()).id > last.id


# --- keys -----------------------------------------------------------------------------------------------------------


def test_a_key_leads_to_its_user(empty: Ledger) -> None:
    key = empty.add_key(ANN, "ssh-ed25519", "AAAAC3", "ann@laptop", "SHA256:one", admin=False)
    assert (key.user, key.algorithm, key.blob) == (ANN, "ssh-ed25519", "AAAAC3")
    assert (key.comment, key.fingerprint) == ("ann@laptop", "SHA256:one")
    found = empty.user_of_key("ssh-ed25519", "AAAAC3")
    assert found == empty.user(ANN)
    assert found
    assert found.admin is False


def test_a_part_of_a_key_or_another_algorithm_leads_to_nobody(empty: Ledger) -> None:
    empty.add_key(ANN, "ssh-ed25519", "AAAAC3", "", "SHA256:one", admin=False)
    for algorithm, blob in (
        ("ssh-ed25519", "AAAAC"),
        ("ssh-ed25519", "aaaac3"),
        ("ssh-ed25519", "%"),
        ("ssh-rsa", "AAAAC3"),
    ):
        assert empty.user_of_key(algorithm, blob) is None


def test_a_key_belongs_to_one_user(empty: Ledger) -> None:
    empty.add_key(ANN, "ssh-ed25519", "AAAAC3", "", "SHA256:one", admin=False)
    with pytest.raises(ConflictError, match="SHA256:one"):
        empty.add_key(BOB, "ssh-ed25519", "AAAAC3", "", "SHA256:one", admin=True)
    with pytest.raises(NotFoundError, match="bob"):
        empty.user(BOB)


def test_a_user_once_administrator_stays_it(empty: Ledger) -> None:
    empty.add_key(ANN, "ssh-ed25519", "A1", "", "SHA256:one", admin=False)
    assert not empty.user(ANN).admin
    empty.add_key(ANN, "ssh-ed25519", "A2", "", "SHA256:two", admin=True)
    empty.add_key(ANN, "ssh-ed25519", "A3", "", "SHA256:three", admin=False)
    assert empty.user(ANN).admin
    assert [key.fingerprint for key in empty.keys(ANN)] == ["SHA256:one", "SHA256:two", "SHA256:three"]


def test_a_removed_key_opens_nothing(empty: Ledger) -> None:
    key = empty.add_key(ANN, "ssh-ed25519", "A1", "", "SHA256:one", admin=False)
    other = empty.add_key(BOB, "ssh-ed25519", "B1", "", "SHA256:two", admin=False)
    assert empty.remove_key("SHA256:one") == key
    assert empty.user_of_key("ssh-ed25519", "A1") is None
    assert empty.keys() == (other,)
    with pytest.raises(NotFoundError, match="SHA256:one"):
        empty.remove_key("SHA256:one")


# --- jobs -----------------------------------------------------------------------------------------------------------


def test_a_job_is_read_as_it_was_enqueued(ledger: Ledger) -> None:
    job = ledger.enqueue(push())
    assert (job.push, job.state, job.fence) == (push(), JobState.QUEUED, 0)
    assert (job.started_at, job.ended_at, job.image, job.release) == (None, None, None, None)
    assert ledger.job(job.id) == job
    with pytest.raises(NotFoundError, match="999"):
        ledger.job(JobId(999))


def test_jobs_are_listed_newest_first(ledger: Ledger) -> None:
    ids = [ledger.enqueue(push(app)).id for app in (SHOP, BLOG, SHOP, SHOP)]
    assert [job.id for job in ledger.jobs()] == ids[::-1]
    assert [job.id for job in ledger.jobs(SHOP, limit=2)] == [ids[3], ids[2]]


def test_jobs_ahead_are_the_unended_ones_of_the_same_app(ledger: Ledger) -> None:
    first, _, second, third = (ledger.enqueue(push(app)) for app in (SHOP, BLOG, SHOP, SHOP))
    assert ledger.ahead(third.id) == (first, second)
    ledger.request_cancel(first.id, "ann")
    assert ledger.ahead(third.id) == (second,)
    assert ledger.ahead(first.id) == ()


def test_jobs_of_one_app_are_claimed_one_at_a_time_in_push_order(ledger: Ledger) -> None:
    first, second = ledger.enqueue(push()), ledger.enqueue(push())
    held = claimed(ledger)
    assert (held.id, held.fence) == (first.id, 1)
    assert held.started_at
    assert ledger.claim("server-2", LONG) is None
    ledger.end(held.id, held.fence, JobState.FAILED, "broken", {})
    assert claimed(ledger).id == second.id


def test_users_take_turns(ledger: Ledger) -> None:
    for name in ("a1", "a2", "a3"):
        ledger.create_app(AppName(name), ANN, "main")
    first, second, third = (ledger.enqueue(push(AppName(name))).id for name in ("a1", "a2", "a3"))
    bobs = ledger.enqueue(push(BLOG, BOB)).id
    assert [claimed(ledger).id for _ in range(4)] == [first, bobs, second, third]
    assert ledger.claim("server-1", LONG) is None


def test_what_a_dead_server_left_comes_first_and_with_a_new_fence(ledger: Ledger) -> None:
    ledger.create_app(AppName("a1"), BOB, "main")
    waiting = ledger.enqueue(push(AppName("a1"), BOB))
    ledger.end(waiting.id, claimed(ledger).fence, JobState.FAILED, "", {})
    left = ledger.enqueue(push())
    held = claimed(ledger, BLINK)
    ledger.advance(left.id, held.fence, JobState.BUILDING)
    ledger.enqueue(push(AppName("a1"), BOB))
    time.sleep(BLINK * 2)
    taken = claimed(ledger)
    assert (taken.id, taken.fence, taken.state) == (left.id, held.fence + 1, JobState.BUILDING)
    assert taken.started_at == held.started_at


def test_whoever_lost_the_lease_records_nothing_any_more(ledger: Ledger) -> None:
    job = ledger.enqueue(push())
    old = claimed(ledger, BLINK)
    time.sleep(BLINK * 2)
    new = claimed(ledger)
    with pytest.raises(LeaseLostError):
        ledger.renew(job.id, old.fence, LONG)
    with pytest.raises(LeaseLostError):
        ledger.advance(job.id, old.fence, JobState.PUBLISHING)
    with pytest.raises(LeaseLostError):
        ledger.end(job.id, old.fence, JobState.FAILED, "", {})
    with pytest.raises(LeaseLostError):
        ledger.intend_release(job.id, old.fence, IMAGE)
    with pytest.raises(LeaseLostError):
        ledger.go_live(job.id, old.fence, {})
    assert ledger.job(job.id) == new


def test_a_lease_that_ran_out_is_still_held_while_nobody_else_claimed_it(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger, BLINK)
    time.sleep(BLINK * 2)
    ledger.renew(job.id, job.fence, LONG)
    assert ledger.claim("server-2", LONG) is None


def test_a_renewal_shows_who_asked_to_cancel(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger)
    ledger.advance(job.id, job.fence, JobState.BUILDING)
    asked = ledger.request_cancel(job.id, "bob")
    assert (asked.state, asked.cancel_requested_by) == (JobState.BUILDING, "bob")
    ledger.request_cancel(job.id, "ann")
    assert ledger.renew(job.id, job.fence, LONG).cancel_requested_by == "bob"


def test_a_queued_job_is_canceled_at_once(ledger: Ledger) -> None:
    first, second = ledger.enqueue(push()), ledger.enqueue(push())
    canceled = ledger.request_cancel(first.id, "bob")
    assert (canceled.state, canceled.reason) == (JobState.CANCELED, "canceled by bob")
    assert canceled.ended_at
    assert claimed(ledger).id == second.id
    with pytest.raises(ConflictError, match="canceled"):
        ledger.request_cancel(first.id, "bob")


def test_a_job_canceled_before_its_first_step_is_lost_to_its_holder(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger)
    assert ledger.request_cancel(job.id, "bob").state is JobState.CANCELED
    with pytest.raises(LeaseLostError):
        ledger.advance(job.id, job.fence, JobState.BUILDING)


def test_advancing_keeps_the_image_once_it_is_known(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger)
    ledger.advance(job.id, job.fence, JobState.RELEASING, image=IMAGE)
    ledger.advance(job.id, job.fence, JobState.ROLLING_OUT)
    found = ledger.job(job.id)
    assert (found.state, found.image) == (JobState.ROLLING_OUT, IMAGE)


def test_an_ended_job_keeps_its_reason_and_seconds_and_cannot_go_on(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger)
    ended = ledger.end(job.id, job.fence, JobState.FAILED, "pip failed", {"build": 1.25})
    assert (ended.state, ended.reason, ended.seconds) == (JobState.FAILED, "pip failed", {"build": 1.25})
    assert ended.ended_at
    assert ledger.job(job.id) == ended
    with pytest.raises(LeaseLostError):
        ledger.advance(job.id, job.fence, JobState.BUILDING)
    with pytest.raises(LeaseLostError):
        ledger.renew(job.id, job.fence, LONG)


def test_only_going_live_makes_a_job_live(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger)
    with pytest.raises(UsageError):
        ledger.end(job.id, job.fence, JobState.LIVE, "", {})
    with pytest.raises(UsageError):
        ledger.advance(job.id, job.fence, JobState.LIVE)
    with pytest.raises(ConflictError):
        ledger.go_live(job.id, job.fence, {})
    assert ledger.job(job.id).state is JobState.QUEUED


# --- releases -------------------------------------------------------------------------------------------------------


def go_live(ledger: Ledger, app: AppName = SHOP) -> Job:
    ledger.enqueue(push(app))
    job = claimed(ledger)
    ledger.intend_release(job.id, job.fence, IMAGE)
    ledger.go_live(job.id, job.fence, {"rollout": 2.5})
    return ledger.job(job.id)


def test_a_release_is_read_as_it_was_intended_and_its_job_has_ended_live(ledger: Ledger) -> None:
    queued = ledger.enqueue(push(commit="b" * 40))
    job = claimed(ledger)
    intended = ledger.intend_release(job.id, job.fence, IMAGE)
    assert (intended.app, intended.number, intended.image) == (SHOP, 1, IMAGE)
    assert (intended.commit, intended.user, intended.description) == ("b" * 40, ANN, "Deploy bbbbbbb")
    assert (intended.config, intended.scale) == ({}, {})
    assert ledger.job(job.id).release == 1
    assert (ledger.current_release(SHOP), ledger.releases(SHOP)) == (None, ())
    assert ledger.go_live(job.id, job.fence, {"rollout": 2.5}) == intended
    assert (ledger.current_release(SHOP), ledger.releases(SHOP)) == (intended, (intended,))
    ended = ledger.job(queued.id)
    assert (ended.state, ended.release, ended.seconds) == (JobState.LIVE, 1, {"rollout": 2.5})
    assert ended.ended_at


def test_intending_twice_gives_the_same_release_also_after_a_restart(ledger: Ledger) -> None:
    ledger.enqueue(push())
    job = claimed(ledger, BLINK)
    intended = ledger.intend_release(job.id, job.fence, IMAGE)
    time.sleep(BLINK * 2)
    again = claimed(ledger)
    assert again.release == 1
    assert ledger.intend_release(again.id, again.fence, replace(IMAGE, size=1)) == intended


def test_a_release_goes_live_once(ledger: Ledger) -> None:
    job = go_live(ledger)
    with pytest.raises(LeaseLostError):
        ledger.go_live(job.id, job.fence, {})
    assert len(ledger.releases(SHOP)) == 1


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELED])
def test_a_release_that_did_not_go_live_leaves_no_gap(ledger: Ledger, state: JobState) -> None:
    go_live(ledger)
    ledger.enqueue(push())
    job = claimed(ledger)
    assert ledger.intend_release(job.id, job.fence, IMAGE).number == 2
    assert ledger.end(job.id, job.fence, state, "crashed", {}).release is None
    current = ledger.current_release(SHOP)
    assert current
    assert current.number == 1
    go_live(ledger)
    assert [release.number for release in ledger.releases(SHOP)] == [2, 1]


def test_each_app_counts_its_own_releases_newest_first(ledger: Ledger) -> None:
    for app in (SHOP, BLOG, SHOP, SHOP):
        go_live(ledger, app)
    assert [release.number for release in ledger.releases(SHOP)] == [3, 2, 1]
    assert [release.number for release in ledger.releases(SHOP, limit=2)] == [3, 2]
    assert [release.number for release in ledger.releases(BLOG)] == [1]


# --- stacks ---------------------------------------------------------------------------------------------------------


def test_a_stack_replaces_one_of_the_same_name(empty: Ledger) -> None:
    stack = Stack(
        name="bookworm",
        build=ImageRef("127.0.0.1:5000/stack/build", Digest("sha256:" + "2" * 64)),
        run=ImageRef("127.0.0.1:5000/stack/run", Digest("sha256:" + "3" * 64)),
        build_bytes=5_000_000_000,
        run_bytes=30_000_000,
        packages={"build": ("gcc=12", "make=4"), "run": ("libc6=2.36",)},
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    )
    empty.put_stack(stack)
    assert (empty.stack("bookworm"), empty.stack("trixie")) == (stack, None)
    newer = replace(stack, run_bytes=29_000_000)
    older = replace(stack, name="bullseye")
    empty.put_stack(newer)
    empty.put_stack(older)
    assert empty.stacks() == (newer, older)


def test_a_sound_ledger_passes_its_checks(ledger: Ledger) -> None:
    assert all(check.ok for check in ledger.check())


# --- many at once ---------------------------------------------------------------------------------------------------

STRESS_APPS = tuple(AppName(f"app-{number}") for number in range(6))
PUSHES_PER_THREAD = 5


def produce(ledger: Ledger, seed: int) -> None:
    for number in range(PUSHES_PER_THREAD):
        app = STRESS_APPS[(seed + number) % len(STRESS_APPS)]
        ledger.enqueue(push(app, UserName(f"user-{seed % 3}")))


def work(ledger: Ledger, stop: threading.Event, seen: list[tuple[str, int, str]]) -> None:
    """Take jobs on until all have ended; each third fails."""
    while not stop.is_set():
        job = ledger.claim("somebody", LONG)
        if job is None:
            if all(job.state.ended for job in ledger.jobs(limit=10_000)):
                return
            time.sleep(0.005)
            continue
        seen.append((job.app, job.id, "begins"))
        ledger.advance(job.id, job.fence, JobState.BUILDING)
        ledger.intend_release(job.id, job.fence, IMAGE)
        ledger.renew(job.id, job.fence, LONG)
        seen.append((job.app, job.id, "ends"))
        if job.id % 3 == 0:
            ledger.end(job.id, job.fence, JobState.FAILED, "", {})
        else:
            ledger.go_live(job.id, job.fence, {})


def run_threads(ledger: Ledger, seeds: range) -> list[tuple[str, int, str]]:
    seen: list[tuple[str, int, str]] = []
    failed: list[BaseException] = []
    stop = threading.Event()

    def run(seed: int) -> None:
        try:
            produce(ledger, seed)
            work(ledger, stop, seen)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failed.append(error)
            stop.set()

    threads = [threading.Thread(target=run, args=(seed,)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    return seen


def run_process(url: str, seeds: range) -> None:
    ledger = SqlLedger(url)
    run_threads(ledger, seeds)
    ledger.close()


def assert_sound(ledger: Ledger, pushes: int) -> None:
    jobs = ledger.jobs(limit=10_000)
    assert len(jobs) == pushes
    assert {job.fence for job in jobs} == {1}
    for app in STRESS_APPS:
        mine = sorted((job for job in jobs if job.app == app), key=lambda job: job.id)
        live = [job for job in mine if job.state is JobState.LIVE]
        assert [job.release for job in live] == list(range(1, len(live) + 1))
        assert [release.number for release in ledger.releases(app, 10_000)] == list(range(len(live), 0, -1))
        for before, after in itertools.pairwise(mine):
            assert before.ended_at
            assert after.started_at
            assert before.ended_at <= after.started_at


def test_sixteen_threads_keep_one_job_at_work_an_app_and_no_gap(empty: Ledger) -> None:
    for app in STRESS_APPS:
        empty.create_app(app, ANN, "main")
    seen = run_threads(empty, range(16))
    assert_sound(empty, 16 * PUSHES_PER_THREAD)
    for app in STRESS_APPS:
        mine = [(job, what) for name, job, what in seen if name == app]
        assert mine == [pair for job, _ in mine[::2] for pair in ((job, "begins"), (job, "ends"))]


def test_two_processes_share_a_ledger(url: str) -> None:
    ledger = SqlLedger(url)
    for app in STRESS_APPS:
        ledger.create_app(app, ANN, "main")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=run_process, args=(url, range(n, n + 8))) for n in (0, 8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    assert_sound(ledger, 16 * PUSHES_PER_THREAD)
    ledger.close()


def test_a_claim_has_one_winner(empty: Ledger) -> None:
    empty.create_app(SHOP, ANN, "main")
    for _ in range(10):
        empty.enqueue(push())
        won: list[Job | None] = []
        gate = threading.Barrier(8)

        def claim(gate: threading.Barrier = gate, won: list[Job | None] = won) -> None:
            gate.wait()
            won.append(empty.claim("somebody", LONG))

        threads = [threading.Thread(target=claim) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = [job for job in won if job]
        empty.end(winner.id, winner.fence, JobState.FAILED, "", {})


# --- databases ------------------------------------------------------------------------------------------------------


def open_and_close(url: str) -> None:
    SqlLedger(url).close()


def test_processes_may_open_a_new_ledger_all_at_once(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=open_and_close, args=(url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4


def test_the_migrations_make_the_tables_of_the_schema(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    ledger = SqlLedger(url)
    with ledger._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    ledger.close()


def test_the_schema_names_the_newest_migration() -> None:
    assert scripts().get_current_head() == REVISION


def test_a_ledger_keeps_what_it_was_told(url: str) -> None:
    first = SqlLedger(url)
    first.create_app(SHOP, ANN, "main")
    job = first.enqueue(push())
    first.close()
    second = SqlLedger(url)
    assert second.job(job.id) == job
    second.close()


def test_a_ledger_of_a_newer_gitreceive_is_left_alone(url: str) -> None:
    ledger = SqlLedger(url)
    with ledger._database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match=r"newer gitreceive.*9999"):
        SqlLedger(url)
    (check, *_) = ledger.check()
    assert not check.ok
    ledger.close()


def test_the_ledger_lies_in_the_data_folder_and_is_for_its_owner_only(tmp_path: Path) -> None:
    ledger = open_ledger(Settings(data_dir=tmp_path / "deep" / "50% of it"))
    ledger.create_app(SHOP, ANN, "main")
    files = sorted((tmp_path / "deep" / "50% of it").iterdir())
    assert [file.name for file in files] == ["ledger.db", "ledger.db-shm", "ledger.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    ledger.close()


def test_a_commit_waits_for_the_disk(sqlite_url: str) -> None:
    ledger = SqlLedger(sqlite_url)
    with ledger._database.reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    ledger.close()


def test_what_failed_half_way_is_undone(url: str) -> None:
    ledger = SqlLedger(url)

    def fail_half_way() -> None:
        with ledger._database.writing() as connection:
            connection.execute(text("INSERT INTO users (name, admin) VALUES ('ann', true)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    with pytest.raises(NotFoundError):
        ledger.user(ANN)
    ledger.close()


def test_a_reader_does_not_wait_for_a_change(url: str) -> None:
    ledger = SqlLedger(url)
    with ledger._database.writing() as connection:
        connection.execute(text("INSERT INTO users (name, admin) VALUES ('ann', true)"))
        with pytest.raises(NotFoundError):
            ledger.user(ANN)
    assert ledger.user(ANN).admin
    ledger.close()


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://host/name", "sqlite://", "postgresql+nothing://host/name"]
)
def test_a_database_that_cannot_be_is_a_mistake_in_the_settings(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SqlLedger(url)
    assert "postgresql+psycopg://" in caught.value.hint


def test_a_file_that_is_no_ledger_is_told_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    file.write_text("my shopping list\n" * 100)
    with pytest.raises(UnavailableError, match=r"ledger\.db") as caught:
        SqlLedger(f"sqlite:///{file}")
    assert "move it away" in caught.value.hint
    assert file.read_text() == "my shopping list\n" * 100


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"file/ledger\.db"):
        SqlLedger(f"sqlite:///{tmp_path / 'file' / 'ledger.db'}")


def test_a_full_disk_is_told_and_what_was_there_stays(sqlite_url: str) -> None:
    ledger = SqlLedger(sqlite_url)
    ledger.create_app(SHOP, ANN, "main")
    with ledger._database.reading() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(UnavailableError, match="full") as caught:
        ledger.add_key(ANN, "ssh-rsa", "A" * 100_000, "", "SHA256:one", admin=False)
    assert "space" in caught.value.hint
    assert ledger.app(SHOP).owner == ANN
    ledger.close()


def test_damage_is_found_by_the_checks(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    ledger = SqlLedger(f"sqlite:///{file}")
    for number in range(200):
        ledger.create_app(AppName(f"app-{number}"), ANN, "main")
    ledger.close()
    with sqlite3.connect(file) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'apps'").fetchone()[0]
    connection.close()
    content = bytearray(file.read_bytes())
    content[(page - 1) * size : page * size] = b"\xaa" * size
    file.write_bytes(content)
    damaged = SqlLedger(f"sqlite:///{file}")
    checks = {check.name: check for check in damaged.check()}
    assert not checks["ledger integrity"].ok
    assert "backup" in checks["ledger integrity"].fix
    with pytest.raises(UnavailableError, match="malformed"):
        damaged.apps()
    damaged.close()


def test_opening_a_ledger_that_is_up_to_date_does_not_import_alembic(sqlite_url: str) -> None:
    SqlLedger(sqlite_url).close()
    program = (
        "import sys; from gitreceive.engines.sql_ledger import SqlLedger; "
        "SqlLedger(sys.argv[1]).close(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, sqlite_url], check=False).returncode == 0
