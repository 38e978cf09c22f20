"""Processes that somebody runs by hand: like those of the app, and gone with whoever asked for them."""

import hashlib
import os
import pty
import random
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import contextmanager
from fcntl import ioctl
from typing import Any

import pytest

from tests.e2e.world import Clone, fetch, free_ports, run, wait_until

pytestmark = pytest.mark.e2e


def test_a_one_off_process_is_like_those_of_the_app_and_goes_with_its_client(
    new_app: Callable[[str], Clone],
) -> None:
    shop = new_app("procfile-worker")
    shop.owner.ssh("config", "set", shop.app, "GREETING=hello").ok()
    shop.push().ok()
    _environment_output_and_exit_code(shop)
    _input_to_the_byte(shop)
    _a_terminal(shop)
    _inside_a_process(shop)
    _a_port_of_a_process(shop)
    _left_to_itself(shop)
    _gone_with_its_client(shop)


def _environment_output_and_exit_code(shop: Clone) -> None:
    server, alice = shop.owner.server, shop.owner
    said = alice.ssh(
        "run", "--app", shop.app, "--env", "MORE=1", "--", "'echo $GREETING $MORE; echo no >&2; exit 42'"
    )
    assert (said.code, said.out, said.err) == (42, "hello 1\n", "no\n")
    words = ("run", "--app", shop.app, "--", "python3", "-c", "import os; print(os.environ['PATH'], '$HOME')")
    here = server.cli(*words).ok()
    assert here.out.endswith(" $HOME\n")
    assert "/layers/" in here.out
    nothing = alice.ssh("run", "--app", shop.app, "--", "no-such-program")
    assert nothing.code == 127
    assert "no-such-program" in nothing.err
    alice.server.developer("bob").ssh("run", "--app", shop.app, "id").failed().says("bob may not")
    assert _running(shop) == []


def _input_to_the_byte(shop: Clone) -> None:
    content = random.Random(0).randbytes(6 << 20)
    told = subprocess.run(
        _ssh(shop, "run", "--app", shop.app, "--", "sha256sum"),
        input=content,
        capture_output=True,
        check=True,
    )
    assert told.stdout.split()[0].decode() == hashlib.sha256(content).hexdigest()
    back = subprocess.run(
        _ssh(shop, "run", "--app", shop.app, "--", "cat"), input=content, capture_output=True, check=True
    )
    assert back.stdout == content


def _a_terminal(shop: Clone) -> None:
    with _terminal(
        _ssh(shop, "run", "--app", shop.app, "bash", flags=("-tt",)), rows=30, columns=100
    ) as screen:
        screen.types("stty size; echo $TERM; tty\n").until("30 100", "vt220", "/dev/pts/")
        screen.resize(41, 121)
        screen.types("stty size\n").until("41 121")
        screen.types("sleep 600; echo ended=$?\n").until("sleep 600")
        time.sleep(0.5)
        screen.types("\x03").until("^C")
        screen.types("echo after=$((40+2)); exit 7\n").until("after=42")
        assert screen.ends() == 7
    assert _running(shop) == []


def _inside_a_process(shop: Clone) -> None:
    alice = shop.owner
    inside = ("exec", "--app", shop.app)
    said = alice.ssh(
        *inside, "--", "'tr a-z A-Z; echo $GITRECEIVE_RELEASE >&2; exit 9'", stdin="input ends\n"
    )
    assert (said.code, said.out, said.err) == (9, "INPUT ENDS\n", "v1\n")
    assert "serve" in alice.ssh(*inside, "--", "'cat /proc/[0-9]*/cmdline'").ok().out
    with _terminal(_ssh(shop, *inside, "--ps", "worker.1", "bash", flags=("-tt",))) as screen:
        screen.types("echo here=$((1+1)); exec sleep 987654\n").until("here=2")
    still = "'grep -lx sleep /proc/[0-9]*/comm'"
    wait_until(
        lambda: alice.ssh(*inside, "--ps", "worker", "--", still).code == 1,
        "what ran inside has gone with its client",
    )
    alice.ssh(*inside, "--ps", "web.9", "id").failed().says("no web.9 that runs", "there are: ")


def _a_port_of_a_process(shop: Clone) -> None:
    here, there = free_ports(2)
    server, port = shop.owner.server, 8080
    forwards = [
        _ssh(shop, flags=("-N", "-L", f"{here}:web.{shop.app}:{port}")),
        [sys.executable, "-m", "gitreceive", "port-forward", "--app", shop.app, f"{there}:{port}"],
    ]
    clients = [subprocess.Popen(command, env=server.env, stderr=subprocess.DEVNULL) for command in forwards]
    try:
        for local in (here, there):
            assert fetch(f"http://127.0.0.1:{local}/", patience=30) == shop.get("/")
    finally:
        for client in clients:
            client.terminate()
            client.wait()
    bob = shop.owner.server.developer("bob")
    refused = run(
        [*bob.ssh_command, "-W", f"web.{shop.app}:{port}", "-p", str(server.ssh_port), "git@127.0.0.1"]
    )
    refused.failed().says("administratively prohibited", "bob may not")


def _left_to_itself(shop: Clone) -> None:
    alice = shop.owner
    name = alice.ssh("run", "--detach", "--app", shop.app, "--", "'echo left alone; exit 3'").ok().out.strip()
    wait_until(lambda: _listed(shop)[name]["state"] == "failed", "it has ended")
    assert (_listed(shop)[name]["exit_code"], _listed(shop)[name]["user"]) == (3, "alice")
    alice.ssh("logs", "--app", shop.app, "--ps", "run").ok().says(name, "left alone")
    alice.ssh("run", "stop", name, "--app", shop.app).ok()
    wait_until(lambda: not _listed(shop), "it is gone")
    alice.ssh("run", "stop", name, "--app", shop.app).failed().says(f"has no {name}")


def _gone_with_its_client(shop: Clone) -> None:
    sleeping = ("run", "--app", shop.app, "--", "'trap : HUP TERM; while :; do sleep 1; done'")
    words = [sys.executable, "-m", "gitreceive", "run", "--app", shop.app, "--", sleeping[-1].strip("'")]
    for command in (
        _ssh(shop, *sleeping),
        words,
    ):  # over SSH, and the command itself on the server's own host
        with subprocess.Popen(command, env=shop.owner.server.env, stdin=subprocess.PIPE) as client:
            wait_until(lambda: len(_running(shop)) == 1, "it runs")
            client.kill()
        wait_until(lambda: not _listed(shop), "it is gone with whoever asked for it")


def _ssh(shop: Clone, *words: str, flags: tuple[str, ...] = ()) -> list[str]:
    port = str(shop.owner.server.ssh_port)
    return [*shop.owner.ssh_command, *flags, "-p", port, "git@127.0.0.1", *words]


def _listed(shop: Clone) -> dict[str, Any]:
    found = shop.owner.server.cli("run", "list", "--app", shop.app, "--json").ok().json()
    return {status["name"]: status for status in found}


def _running(shop: Clone) -> list[str]:
    return [name for name, status in _listed(shop).items() if status["state"] == "up"]


class Screen:
    def __init__(self, master: int, client: subprocess.Popen[bytes]) -> None:
        self._master = master
        self._client = client
        self._seen = ""
        self._position = 0

    def types(self, text: str) -> "Screen":
        os.write(self._master, text.encode())
        return self

    def until(self, *texts: str) -> "Screen":
        """Each text comes, in this order, behind what was looked for before."""
        for text in texts:
            wait_until(lambda text=text: self._look(text), f"{text!r} on the screen")
        return self

    def resize(self, rows: int, columns: int) -> None:
        ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._client.send_signal(signal.SIGWINCH)
        time.sleep(1)

    def ends(self) -> int:
        wait_until(lambda: self._look("\0") or self._client.poll() is not None, "the client ends")
        return self._client.wait()

    def _look(self, text: str) -> bool:
        found = self._seen.find(text, self._position)
        if found < 0:
            try:
                self._seen += os.read(self._master, 65536).decode(errors="replace")
            except (BlockingIOError, OSError):
                return False
            found = self._seen.find(text, self._position)
        if found < 0:
            return False
        self._position = found + len(text)
        return True


@contextmanager
def _terminal(command: list[str], *, rows: int = 24, columns: int = 80) -> Any:
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.set_blocking(master, False)
    client = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "TERM": "vt220"},
    )
    os.close(slave)
    try:
        yield Screen(master, client)
    finally:
        client.kill()
        client.wait()
        os.close(master)
