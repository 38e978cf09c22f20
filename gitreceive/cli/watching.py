"""What commands do that ask for a job and wait for its end."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitreceive.model import Job
from gitreceive.receive.follow import follow
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.ports import Platform


def watched(job: Job, platform: "Platform", *, log: bool) -> Job:
    """Say on stderr which build it is, and with ``log`` its log as it grows; the ended job. Ctrl-C leaves it alone."""
    voice = Voice(write)
    voice.step(f"Build {job.id} of {job.app}: {job.title}")
    audience = _Audience(write if log else lambda _output: None)
    return follow(job, platform.ledger, platform.logbook, voice, audience)


def write(chunk: bytes) -> None:
    sys.stderr.buffer.write(chunk)
    sys.stderr.buffer.flush()


@dataclass(frozen=True)
class _Audience:
    """A terminal."""

    show: Callable[[bytes], None]

    def say(self, output: bytes) -> None:
        self.show(output)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)
