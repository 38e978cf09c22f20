"""Stands for the command line in these tests: shows what a command is given. With a descriptor as its only word, it is the program of a fork server."""

import json
import os
import signal
import sys
import termios
import time

from gitreceive.cli.attaching import take_terminal
from gitreceive.receive.forkserver import serve


def main() -> None:
    sys.exit(_main(sys.argv[1:]))


def _main(argv: list[str]) -> int:
    if argv[0] == "sleep":
        sys.stdout.write(f"{os.getpid()}\n")
        sys.stdout.flush()
        time.sleep(60)
    if argv[0] == "cat":
        sys.stdout.write(sys.stdin.read())
        return 0
    if argv[0] == "sip":
        for _ in range(200):
            os.read(0, 1 << 15)
            time.sleep(0.005)
        return 0
    if argv[0] == "terminal":
        return _in_a_terminal()
    shown = {name: value for name, value in os.environ.items() if name.startswith(("GIT", "LD_"))}
    sys.stdout.write(json.dumps({"argv": argv, "environment": shown}))
    sys.stderr.write("talk\n")
    return 7


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


if __name__ == "__main__":
    serve(int(sys.argv[1]), main)
