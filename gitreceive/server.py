"""The server: the doors, the job runner, log drains and the target's own life, in one process, until it is told to stop."""

import asyncio
import ctypes
import gc
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn

from gitreceive import __version__, config, data_folder, wiring
from gitreceive.background.chore import Chore
from gitreceive.background.collector import once
from gitreceive.background.cron import Clock
from gitreceive.background.custody import sweep
from gitreceive.background.readiness import Readiness
from gitreceive.background.readings import questions, readings
from gitreceive.jobs import JobRunner
from gitreceive.ports import Metrics, Observer, Platform, Reading
from gitreceive.receive.server import Receiver, serve
from gitreceive.room import Reserve
from gitreceive.stories.removal import remove, remove_overdue_reviews
from gitreceive.voice import Voice
from gitreceive.web.application import application
from gitreceive.web.git_door import GitDoor
from gitreceive.web.listener import HttpListener
from gitreceive.web.metrics import application as operators_application
from gitreceive.web.visitors import Attempts, Visitors

_CLOCK_SECONDS = 1.0
_CUSTODY_SECONDS = 2.0
_RESERVE_SECONDS = 1.0
_PACKING_SECONDS = 10.0
_MOST_DESCRIPTORS = 1 << 16
_REVIEWS_SECONDS = 30.0  # between two looks for review apps whose time is over
_COLLECT_FIRST_SECONDS = 900.0  # a server that has just come up has better things to do

_logger = logging.getLogger(__name__)


def run(
    settings: config.Settings,
    announce: Callable[[str], None],
    make_platform: Callable[[config.Settings, Observer], Platform] = wiring.platform,
) -> None:
    """Serve until SIGTERM or SIGINT, and end the process. Raises ConflictError where a server runs on the data folder, ConfigError, UnavailableError.

    Builds under way are not waited for: they are handed over to the next server. What a server before could not hand over, as it was killed,
    is taken over.
    """
    _keep_memory_small()
    take_descriptors()
    holder = _holder()
    with data_folder.held_by(settings, holder) as before:
        data_folder.keep_temporary_files(settings)
        metrics = wiring.metrics(settings)
        platform = make_platform(settings, metrics.observer)
        platform.target.start()
        if before:
            platform.ledger.hand_over(before)
        runner = JobRunner(platform, settings.build.concurrency, holder)
        runner.start()
        drains = wiring.drain_service(settings, platform)
        drains.start()
        chores = _chores(settings, platform)
        for chore in chores:
            chore.start()
        gc.freeze()  # what is there by now stays: it need not be looked through again and again
        try:
            asyncio.run(_serve(settings, platform, metrics, runner, announce))
        finally:
            runner.stop()
            for chore in chores:
                chore.stop()
            drains.stop()
            platform.target.stop()
            platform.ledger.close()
        _end_process()


def _end_process() -> NoReturn:
    """While the data folder is still held: no thread of a job may do anything more once it can be another server's."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


async def _serve(
    settings: config.Settings,
    platform: Platform,
    metrics: Metrics,
    runner: JobRunner,
    announce: Callable[[str], None],
) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    receiver = await serve(
        settings,
        ledger=platform.ledger,
        sources=platform.sources,
        logbook=platform.logbook,
        retire=partial(remove, platform),
        enqueued=runner.wake,
        observer=platform.observer,
    )
    readiness = Readiness(questions(settings, platform))
    http = _http(settings, platform, receiver, readiness)
    doors = _doors(settings, receiver, http)
    metrics.watch(platform.ledger, (*readings(settings, platform.ledger, readiness), *doors))
    listeners = [http, *_for_operators(settings, metrics, readiness)]
    try:
        for listener in listeners:
            await listener.open()
        announce(f"gitreceive {__version__}: SSH on {settings.ssh_listen}, HTTP on {settings.http_listen}")
        if settings.metrics.enabled:
            announce(f"metrics on {settings.metrics.http_listen}")
        announce(f"target {settings.target}, registry {settings.registry}, data in {settings.data_dir}")
        stopped = asyncio.create_task(stopping.wait())
        ended = [asyncio.create_task(listener.ended()) for listener in listeners]
        await asyncio.wait({stopped, *ended}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        announce("stopping")
    finally:
        await receiver.close()
        await asyncio.gather(*(listener.close() for listener in listeners))
    for failure in await asyncio.gather(*ended, return_exceptions=True):
        if isinstance(failure, Exception):
            raise failure


def _http(
    settings: config.Settings, platform: Platform, receiver: Receiver, readiness: Readiness
) -> HttpListener:
    door = GitDoor(settings, receiver.git, Visitors(platform.ledger, Attempts()), receiver.port)
    return HttpListener(settings, application(readiness.findings, door))


def _for_operators(
    settings: config.Settings, metrics: Metrics, readiness: Readiness
) -> Iterator[HttpListener]:
    """The listener for metrics: plain HTTP, whatever the HTTP door speaks, and behind no proxy."""
    if settings.metrics.enabled:
        own = replace(
            settings, http_listen=settings.metrics.http_listen, public_url="", http=config.HttpSettings()
        )
        app = operators_application(metrics.exposition, readiness.findings)
        yield HttpListener(own, app, name="GITRECEIVE_METRICS_HTTP_LISTEN")


def _doors(settings: config.Settings, receiver: Receiver, http: HttpListener) -> Iterator[Reading]:
    """What is open at the doors."""
    kinds = dict.fromkeys(("push", "fetch", "command", "follow"), 0)
    yield Reading(
        "connections",
        "Open connections, by door.",
        lambda: {"ssh": len(receiver.door.connections), "http": http.connections},
        "door",
    )
    yield Reading(
        "connections_limit",
        "The most that each door takes: limits.connections.",
        lambda: {"": settings.limits.connections},
    )
    yield Reading(
        "sessions",
        "Open sessions of git and of commands, by kind; `follow` shows a log.",
        lambda: {**kinds, **receiver.git.sessions.kinds()},
        "kind",
    )


def _chores(settings: config.Settings, platform: Platform) -> tuple[Chore, ...]:
    """What the server sees to by itself."""
    log = Voice(lambda chunk: _logger.info("%s", chunk.decode(errors="replace").strip()))
    chores = [
        Chore(
            "reviews",
            lambda: remove_overdue_reviews(platform, datetime.now(UTC), log),
            every=_REVIEWS_SECONDS,
        ),
        Chore(
            "one-off processes",
            lambda: sweep(settings.data_dir, platform.target, time.time()),
            every=_CUSTODY_SECONDS,
        ),
    ]
    chores.append(Chore("packing", platform.sources.compact, every=_PACKING_SECONDS))
    reserve = Reserve(settings.data_dir, settings.reserved_bytes)
    chores.append(Chore("the reserve on the disk", reserve.see, every=_RESERVE_SECONDS, first=0.0))
    if not platform.target.has_clock:
        clock = Clock(settings.data_dir, platform.ledger, platform.target, log)
        chores.append(Chore("cron", lambda: clock.tick(datetime.now(UTC)), every=_CLOCK_SECONDS))
    if settings.retention.automatic:
        collect = partial(once, platform, settings.retention, _holder())
        every = settings.retention.every_hours * 3600.0
        chores.append(Chore("collecting", collect, every=every, first=_COLLECT_FIRST_SECONDS))
    return tuple(chores)


def _holder() -> str:
    """New for each start, so that a restarted server never mistakes its predecessor's lease for its own."""
    return f"{os.uname().nodename}:{os.getpid()}:{time.time_ns()}"


def take_descriptors() -> None:
    """As many as may be had: a push that is under way takes half a dozen, and many systems give 1,024 where nobody asks (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _keep_memory_small() -> None:
    """With one arena for all threads, and freed memory given back, glibc holds a tenth less after a few builds (mallopt(3))."""
    arena_max, trim_threshold = -8, -1
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(arena_max, 1)
        libc.mallopt(trim_threshold, 64 << 10)
