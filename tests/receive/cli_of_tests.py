"""Stands for the command line in these tests: shows what a command is given. With a descriptor as its only word, it is the program of a fork server."""

import atexit
import json
import os
import random
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from gitreceive.cli.attaching import take_terminal
from gitreceive.receive.forkserver import serve


def main() -> None:
    sys.exit(_main(sys.argv[1:]))


def _main(argv: list[str]) -> int:
    if argv[0] in _ACTS:
        return _ACTS[argv[0]](*argv[1:])
    shown = {name: value for name, value in os.environ.items() if name.startswith(("GIT", "LD_"))}
    sys.stdout.write(json.dumps({"argv": argv, "environment": shown}))
    sys.stderr.write("talk\n")
    return 7


def _sleep() -> int:
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    time.sleep(60)
    return 0


def _cat() -> int:
    sys.stdout.write(sys.stdin.read())
    return 0


def _sip() -> int:
    for _ in range(200):
        os.read(0, 1 << 15)
        time.sleep(0.005)
    return 0


def _late() -> int:
    atexit.register(os.write, 1, b"exit")
    threading.Timer(0.2, os.write, (1, b"thread, ")).start()
    return 0


def _exit(how: str) -> NoReturn:
    if how == "SIGTERM":
        signal.raise_signal(signal.SIGTERM)
    if how == "error":
        raise LookupError("a fault")
    sys.exit(int(how) if how.isdigit() else how)


def _process() -> int:
    """What a process may have of the one that made it."""
    below = subprocess.run(["env", "-0"], capture_output=True, text=True, check=True).stdout
    files = {}
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            files[entry.name] = str(entry.readlink())
    shown = {
        "environment": dict(os.environ),
        "below": dict(text.split("=", 1) for text in below.split("\0") if text),
        "files": files,
        "leads": os.getpid() == os.getsid(0) == os.getpgrp(),
        "signals": [
            signal.getsignal(number) == signal.SIG_DFL for number in (signal.SIGCHLD, signal.SIGTERM)
        ],
        "wakes": signal.set_wakeup_fd(-1),
        "random": random.random(),
        "children": Path("/proc/self/task", str(os.getpid()), "children").read_text(),
        "encodings": [stream.encoding for stream in (sys.stdin, sys.stdout, sys.stderr)],
    }
    sys.stdout.write(json.dumps(shown))
    return 0


def _in_a_terminal() -> int:
    take_terminal()
    modes = termios.tcgetattr(0)
    shown = {
        "size": list(os.get_terminal_size()),
        "term": os.environ["TERM"],
        "echo": bool(modes[3] & termios.ECHO),
        "intr": modes[6][termios.VINTR].decode(),
        "own": os.tcgetpgrp(0) == os.getpgrp(),
    }
    changed: list[int] = []
    signal.signal(signal.SIGWINCH, lambda number, _: changed.append(number))
    sys.stdout.write(json.dumps(shown) + "\n")
    sys.stdout.flush()
    try:
        while not changed:
            time.sleep(0.02)
        size = os.get_terminal_size()
        os.write(1, f"{size.columns} {size.lines}\n".encode())
        time.sleep(60)
    except KeyboardInterrupt:
        os.write(1, b"interrupted\n")
        return 5
    return 1


_ACTS: dict[str, Callable[..., int]] = {
    "sleep": _sleep,
    "cat": _cat,
    "sip": _sip,
    "late": _late,
    "exit": _exit,
    "process": _process,
    "terminal": _in_a_terminal,
}

if __name__ == "__main__":
    serve(int(sys.argv[1]), main)
