"""The keeper, as containers run it: a program that is handed over as text."""

import hashlib
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitreceive.lifecycle import attended
from gitreceive.stories.one_offs import kept

_NO_TERMINAL = attended.begin_frame(None, 0, 0)


@contextmanager
def keeping(*command: str, frames: Iterable[bytes] = (_NO_TERMINAL,)) -> Iterator[subprocess.Popen[bytes]]:
    pipe = subprocess.PIPE
    words = [sys.executable, *kept(command)[1:]]
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe) as keeper:
        assert keeper.stdin
        for frame in frames:
            keeper.stdin.write(frame)
        keeper.stdin.flush()
        try:
            yield keeper
        finally:
            keeper.kill()


def ended(keeper: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    """Its exit code and output; its input stays open, as somebody is there."""
    assert keeper.stdout
    assert keeper.stderr
    out, err = keeper.stdout.read(), keeper.stderr.read()
    return keeper.wait(), out, err


def test_output_is_apart_and_the_exit_code_is_the_process_own() -> None:
    with keeping("sh", "-c", "echo out; echo err >&2; exit 42") as keeper:
        assert ended(keeper) == (42, b"out\n", b"err\n")


def test_nothing_starts_before_somebody_is_there() -> None:
    with keeping("echo", "early", frames=()) as keeper:
        assert keeper.communicate() == (b"", b"nobody came to attend the process\n")
        assert keeper.returncode == 126


def test_input_arrives_to_the_byte_and_its_end_is_seen() -> None:
    content = random.Random(1).randbytes(3 << 20)
    frames = [
        attended.frame(attended.INPUT, content[at : at + 32768]) for at in range(0, len(content), 32768)
    ]
    with keeping(
        "sha256sum", frames=[_NO_TERMINAL, *frames, attended.frame(attended.END_OF_INPUT)]
    ) as keeper:
        assert ended(keeper)[1].split()[0].decode() == hashlib.sha256(content).hexdigest()


def test_input_that_is_not_read_keeps_nobody_from_ending_the_process() -> None:
    frames = [attended.frame(attended.INPUT, b"x" * 32768)] * 4
    with keeping(
        "sleep", "600", frames=[_NO_TERMINAL, *frames, attended.frame(attended.SIGNAL, b"\x02")]
    ) as keeper:
        assert ended(keeper)[0] == 130


@pytest.mark.parametrize("terminal", [None, "xterm"])
def test_the_process_ends_when_nobody_is_there_any_more(terminal: str | None) -> None:
    program = "import signal, sys, time; signal.signal(1, lambda *_: sys.exit(3)); print('up', flush=True); time.sleep(600)"
    begin = attended.begin_frame(terminal, 80, 24)
    with keeping(sys.executable, "-c", program, frames=[begin]) as keeper:
        assert keeper.stdout
        assert keeper.stdout.readline().strip() == b"up"
        keeper.communicate()  # closes its input
        assert keeper.returncode == 3


def test_a_process_that_will_not_end_is_killed() -> None:
    with keeping("sh", "-c", "trap '' HUP TERM; echo up; while :; do sleep 0.1; done") as keeper:
        assert keeper.stdout
        keeper.stdout.readline()
        keeper.communicate()
        assert keeper.returncode == 137


def test_a_terminal_has_its_size_its_name_and_its_ctrl_c() -> None:
    begin = [attended.begin_frame("vt220", 100, 30), attended.resize_frame(90, 20)]
    with keeping("sh", "-c", "sleep 0.2; stty size; echo $TERM; sleep 600", frames=begin) as keeper:
        assert keeper.stdin
        assert keeper.stdout
        assert [keeper.stdout.readline().strip() for _ in range(2)] == [b"20 90", b"vt220"]
        time.sleep(0.3)
        keeper.stdin.write(attended.frame(attended.INPUT, b"\x03"))
        keeper.stdin.flush()
        assert ended(keeper)[:2] == (130, b"^C")


def test_what_a_process_writes_last_is_seen_though_it_leaves_another_running() -> None:
    begin = attended.begin_frame("xterm", 80, 24)
    with keeping("sh", "-c", "trap '' HUP; sleep 5 & echo last", frames=[begin]) as keeper:
        assert ended(keeper)[:2] == (0, b"last\r\n")


@pytest.mark.parametrize(("program", "code"), [("/nonexistent", 127), (str(Path(__file__).parent), 126)])
def test_a_program_that_cannot_be_run_is_named(program: str, code: int) -> None:
    with keeping(program) as keeper:
        seen = ended(keeper)
    assert seen[0] == code
    assert program in seen[2].decode()
