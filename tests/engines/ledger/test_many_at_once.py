"""Threads and processes on one ledger at once."""

import itertools
import multiprocessing
import threading
import time

from gitreceive.model import (
    AppName,
    Job,
    JobState,
    UserName,
)
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, LONG, SHOP, intend, opened, push

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
        intend(ledger, job)
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
    ledger = opened(url)
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
    ledger = opened(url)
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
