"""``python -m gitreceive.cli.forking TARGET DESCRIPTOR``: the command line, imported once, as the server's fork server runs it for each command."""

import importlib
import sys

from gitreceive import cli, wiring
from gitreceive.receive.forkserver import serve


def main() -> None:
    target, control = sys.argv[1:]
    for module in (*cli.modules(), *wiring.modules(target)):
        importlib.import_module(module)
    serve(int(control), cli.main)


if __name__ == "__main__":
    main()
