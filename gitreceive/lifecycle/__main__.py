"""``serve``: a build in its container. ``detect``: the detect phase alone, anywhere.

python -m gitreceive.lifecycle detect --app DIR --buildpacks DIR [--json]
"""

import argparse
import json
import os
import sys
from pathlib import Path

from gitreceive.lifecycle.detect import Detection, detect_here
from gitreceive.lifecycle.folder import FolderError, load
from gitreceive.lifecycle.phases import Channel, serve
from gitreceive.lifecycle.place import IN_CONTAINER


def main(argv: list[str]) -> int:
    """Exit codes are the Platform API's: 0, 11 for a wrong folder, 12 for an unknown API, 20 where nothing is detected, 21 where
    moreover a ``bin/detect`` failed.
    """
    if argv == ["serve"]:
        channel = _claim_stdout()
        with open(0, "rb", buffering=1 << 18) as requests:
            serve(Channel(requests.read, channel), IN_CONTAINER, os.environ)
        return 0
    options = _parser().parse_args(argv)
    try:
        folder = load(options.buildpacks)
        detection = detect_here(folder, folder.order, options.app, os.environ, {})
    except FolderError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(detection.as_json()) + "\n" if options.json else _table(detection))
    return detection.exit_code


def _claim_stdout() -> "_Writer":
    """Keep the channel for this program: what it starts, and what is printed by mistake, goes to the log."""
    channel = os.dup(1)
    os.set_inheritable(channel, False)
    os.dup2(2, 1)
    return _Writer(channel)


class _Writer:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(self._descriptor, view) :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gitreceive.lifecycle")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("detect", help="which buildpacks would build a source")
    command.add_argument("--app", type=Path, required=True, help="the source's folder")
    command.add_argument("--buildpacks", type=Path, required=True, help="a folder with order.toml")
    command.add_argument("--json", action="store_true", help="for programs")
    return parser


def _table(detection: Detection) -> str:
    lines = [f"{v.verdict:5} {v.id} {v.version}  {v.reason}" for v in detection.verdicts]
    group = ", ".join(b.name for b in detection.group) or "none"
    return "\n".join([*lines, f"group: {group}", *detection.reasons]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
