import os
import re
import select
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from gitreceive.cli.attaching import ending_in_order
from gitreceive.cli.common import app_option, open_target, own_app
from gitreceive.cli.instances import chosen
from gitreceive.errors import ConfigError, GitreceiveError, UsageError
from gitreceive.model import AppName, Permission
from gitreceive.ports import Pipe

if TYPE_CHECKING:
    from gitreceive.ports import Target

_CHUNK = 65536
_PORTS = re.compile(r"(?:([0-9]{1,5}):)?([0-9]{1,5})", re.ASCII)
_BACKLOG = 64


@click.command("port-forward")
@app_option
@click.option(
    "--ps",
    "instance",
    metavar="NAME",
    default="web",
    show_default=True,
    help="web, web.2, or a name of ps or run list.",
)
@click.option("--stdio", is_flag=True, help="One connection, over standard input and output.")
@click.argument("ports", metavar="[LOCAL:]REMOTE")
def command(app: str | None, instance: str, stdio: bool, ports: str) -> None:
    """Bring a TCP port of a process to this machine's 127.0.0.1, until Ctrl-C.

    In a clone this becomes ssh -N -L; with nothing installed, write that yourself: the host is NAME.APP.

    \b
    Examples:
      gitreceive port-forward 8080
      gitreceive port-forward --app shop --ps worker.1 9000:9229
      ssh -N -L 9000:worker.1.shop:9229 -p 2222 git@HOST
    """
    local, remote = parse_ports(ports)
    with open_target() as (ledger, target), ending_in_order():
        found = own_app(ledger, app, Permission.CONFIGURE)
        if stdio:
            with target.connect(found.name, chosen(target, found.name, instance), remote) as pipe:
                _carry(pipe, 0, 1)
            return
        _serve(target, found.name, instance, local, remote)


def parse_ports(text: str) -> tuple[int, int]:
    """``9000:9229``, or ``9229`` for both. Raises UsageError."""
    found = _PORTS.fullmatch(text)
    local, remote = (int(found[1] or found[2]), int(found[2])) if found else (0, 0)
    if not (1 <= local <= 65535 and 1 <= remote <= 65535):
        raise UsageError(f"{text[:60]!r} names no ports", hint="write LOCAL:REMOTE, or one number for both")
    return local, remote


def _serve(target: "Target", app: AppName, instance: str, local: int, remote: int) -> None:
    """Each connection goes to the instance that is meant at that moment: one that was replaced is followed on."""
    chosen(target, app, instance)
    try:
        listening = socket.create_server(("127.0.0.1", local), backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"127.0.0.1:{local} cannot be listened on: {error.strerror}",
            hint=f"choose another port: {local + 1}:{remote}",
        ) from error
    with listening:
        click.echo(f"127.0.0.1:{local} is port {remote} of {instance} of {app}; Ctrl-C ends it", err=True)
        while True:
            client, _ = listening.accept()
            threading.Thread(target=_one, args=(target, app, instance, remote, client), daemon=True).start()


def _one(target: "Target", app: AppName, instance: str, remote: int, client: socket.socket) -> None:
    with client:
        try:
            with target.connect(app, chosen(target, app, instance), remote) as pipe:
                _carry(pipe, client.fileno(), client.fileno())
        except GitreceiveError as error:
            click.echo(f" !     {error.message}", err=True)


def _carry(pipe: Pipe, reading: int, writing: int) -> None:
    """Until the process closes its side."""
    thread = threading.Thread(target=_send, args=(pipe, reading, writing), daemon=True)
    thread.start()
    with suppress(OSError):
        while chunk := pipe.read():
            while chunk:
                chunk = chunk[os.write(writing, chunk) :]


def _send(pipe: Pipe, reading: int, writing: int) -> None:
    """What comes; and where its reader goes without a word, leave too."""
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    if writing != reading:
        poll.register(writing, 0)
    with suppress(OSError):
        while True:
            events = dict(poll.poll())
            if events.get(writing, 0) & select.POLLERR and writing != reading:
                os._exit(1)
            if not (chunk := os.read(reading, _CHUNK)):
                pipe.end()
                return
            pipe.write(chunk)
