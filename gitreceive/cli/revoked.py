"""What a command does on behalf of somebody ends when they may do it no longer."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from gitreceive import acting, config
from gitreceive.acting import Act
from gitreceive.errors import GitreceiveError
from gitreceive.stories.revocation import withdrawn

if TYPE_CHECKING:
    from gitreceive.ports import Ledger

_SECONDS = 0.5  # between two looks
_GRACE = 1.0  # seconds to end by oneself: a command may be the one that has taken its own right away


@contextmanager
def ending_when_revoked(ledger: "Ledger") -> Iterator[None]:
    """Inside, the process is ended as by SIGTERM within a second or two of what it stands on being taken away. On the server's own host
    nothing is.
    """
    if config.acting_user() is None:
        yield
        return
    leaving, act = threading.Event(), acting.current()
    watch = threading.Thread(target=_watch, args=(ledger, act, leaving), name="revoked", daemon=True)
    watch.start()
    try:
        yield
    finally:
        leaving.set()
        watch.join()


def _watch(ledger: "Ledger", act: Act, leaving: threading.Event) -> None:
    seen = -1
    while not leaving.wait(_SECONDS):
        try:
            newest = ledger.newest_event()
            if newest == seen and not act.actor.token:  # only a token ends with nobody doing anything
                continue
            reason, seen = withdrawn(act.actor, tuple(act.needs), ledger), newest
        except GitreceiveError:
            continue  # the command itself says what is wrong with the ledger; what could not be looked at is looked at again
        if reason and not leaving.wait(_GRACE):
            with suppress(OSError):  # nobody reads it any more
                click.echo(f" !     {reason}: this is ended", err=True)
            os.kill(os.getpid(), signal.SIGTERM)
            return
