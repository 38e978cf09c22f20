"""How a hook's connection is waited with."""

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from gitreceive.receive.hook_socket import HookConnection, HookGoneError, ServerStoppingError

_FAR = 3000  # select(2) knows no descriptor from 1024 on


@pytest.fixture
def many() -> Iterator[None]:
    """As many descriptors as a busy server has."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2 * _FAR), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many")
def test_a_hook_is_waited_with_whatever_number_its_descriptor_has() -> None:
    ours, theirs = socket.socketpair()
    server, stop = socket.socketpair()
    with closing(socket.socket(fileno=os.dup2(ours.fileno(), _FAR))) as far, ours, server:
        hook = HookConnection(far, server)
        began = time.monotonic()
        hook.wait(0.2)
        assert time.monotonic() - began >= 0.19
        stop.close()
        with pytest.raises(ServerStoppingError):
            hook.wait(10)
        theirs.close()
        with pytest.raises(HookGoneError):
            hook.wait(10)
