"""Stands for the command line in these tests: shows what a command is given."""

import json
import os
import sys
import time


def main(argv: list[str]) -> int:
    if argv[0] == "sleep":
        sys.stdout.write(f"{os.getpid()}\n")
        sys.stdout.flush()
        time.sleep(60)
    if argv[0] == "cat":
        sys.stdout.write(sys.stdin.read())
        return 0
    shown = {name: value for name, value in os.environ.items() if name.startswith(("GIT", "LD_"))}
    sys.stdout.write(json.dumps({"argv": argv, "environment": shown}))
    sys.stderr.write("talk\n")
    return 7
