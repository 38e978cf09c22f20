"""A runner that lets a test say what a build does, over any ledger and log book."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from gitreceive.errors import StaleError
from gitreceive.model import Digest, Image, ImageRef, Job, JobState, Push
from gitreceive.ports import Ledger, LogBook, SourceStore
from gitreceive.voice import Voice

Run = Callable[[Job, Voice], None]
_IMAGE = Image(ImageRef("registry.test/app", Digest("sha256:" + "a" * 64)), (), None, ())


class BuildFailed(Exception):
    """Raised by what a test has a build do."""


def _nothing(job: Job, voice: Voice) -> None:
    voice.step("Nothing to build")


@dataclass
class FakeRunner:
    """Takes jobs up one at a time, as the real one does: ``run``, then the ref moves, then the job is live."""

    ledger: Ledger
    logbook: LogBook
    sources: SourceStore
    run: Run = _nothing
    paused: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _loop(self) -> None:
        while not self._stop.wait(0.005):
            job = None if self.paused.is_set() else self.ledger.claim("runner", 600)
            if job:
                self._work(self.ledger.advance(job.id, job.fence, JobState.BUILDING))

    def _work(self, job: Job) -> None:
        voice = Voice(lambda chunk: self.logbook.append(job.id, chunk))
        push = job.cause
        assert isinstance(push, Push)
        try:
            self.run(job, voice)
            self.sources.move(push.repository, push.ref, push.old, push.new)
        except (BuildFailed, StaleError) as error:
            voice.error(str(error))
            self.logbook.close(job.id)
            self.ledger.end(job.id, job.fence, JobState.FAILED, str(error), {})
            return
        voice.step(f"v{job.id} is live")
        self.logbook.close(job.id)
        self.ledger.intend_release(job.id, job.fence, _IMAGE, push.new, "Deploy")
        self.ledger.go_live(job.id, job.fence, {})
