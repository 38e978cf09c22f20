"""The server as a process of its own, all of it real but for the builds: its doors, its ledger, its repositories, its hooks.

A build prints what the pushed commit has in the file ``said``, as a program in a build would, and is live. Run as ``python -m tests.attacks.serving``;
the settings are those of ``gitreceive server``.
"""

import asyncio
import logging
import signal
import sys

from gitreceive import config
from gitreceive.engines.file_logbook import FileLogBook
from gitreceive.engines.git_store import GitStore
from gitreceive.engines.sql_ledger import open_ledger
from gitreceive.model import App, Job, Push, Source
from gitreceive.ports import Log
from gitreceive.receive.server import serve
from gitreceive.voice import Voice
from gitreceive.web.application import application
from gitreceive.web.git_door import GitDoor
from gitreceive.web.listener import HttpListener
from gitreceive.web.visitors import Attempts, Visitors
from tests.fake_receive import FakeRunner


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(_serve(config.load()))


async def _serve(settings: config.Settings) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    ledger, sources = open_ledger(settings), GitStore(settings)
    logbook = FileLogBook(settings.data_dir / "logs", 1 << 20)
    runner = FakeRunner(ledger, logbook, sources, run=lambda job, voice: _say(sources, job, voice))
    runner.start()
    receiver = await serve(settings, ledger=ledger, sources=sources, logbook=logbook, retire=_retire)
    door = GitDoor(settings, receiver.git, Visitors(ledger, Attempts()), receiver.port)
    http = HttpListener(settings, application(lambda: (), door))
    await http.open()
    sys.stdout.write(f"{receiver.port} {http.port}\n")
    sys.stdout.flush()
    await ended.wait()
    await receiver.close()
    await http.close()
    await asyncio.to_thread(runner.stop)
    ledger.close()


def _say(sources: GitStore, job: Job, voice: Voice) -> None:
    assert isinstance(job.cause, Push)
    source = Source(job.app, job.cause.new)
    voice.write(sources.read(source, "said") or b"")


def _retire(app: App, log: Log) -> None:
    raise NotImplementedError


if __name__ == "__main__":
    main()
