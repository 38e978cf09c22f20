"""The command line: one click tree for the server's own host, for ``ssh … COMMAND``, and for the thin client.

Each noun is a file, imported when it is asked for: ``--help`` must not wait for Docker's or Kubernetes' libraries.
"""

import importlib
import os
import sys

import click

from gitreceive import config
from gitreceive.errors import GitreceiveError

_COMMANDS = {
    "apps": ("gitreceive.cli.apps", "Apps: create, list, info, destroy."),
    "builds": ("gitreceive.cli.builds", "Builds: list, log, attach, cancel."),
    "doctor": ("gitreceive.cli.doctor", "Look at everything the server stands on, and say how to mend it."),
    "keys": ("gitreceive.cli.keys", "SSH keys: add, list, remove."),
    "logs": ("gitreceive.cli.logs", "What the app's processes print."),
    "open": ("gitreceive.cli.open", "Where the app answers."),
    "plan": ("gitreceive.cli.plan", "What a push of a folder would build and apply, without doing it."),
    "ps": ("gitreceive.cli.ps", "The app's processes, in words."),
    "server": ("gitreceive.cli.server", "Run the server."),
    "stack": ("gitreceive.cli.stack", "Stacks, the base images: create, list."),
    "version": ("gitreceive.cli.version", "Which gitreceive this is."),
}


class _Tree(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[name][0]).command
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.command(cls=_Tree, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def tree() -> None:
    """Git push, and the app runs on your own Kubernetes.

    On the server's own host this works on the server's data folder with an administrator's rights. In a clone
    with a git remote called 'deploy' it asks that server over SSH. With a key, nothing need be installed:

      ssh -p 2222 git@HOST apps list
    """


def main() -> None:
    """Run the command line and exit: 0, 2 for a misuse, else by phase as in ``errors.py``; 130 after Ctrl-C."""
    try:
        _run(sys.argv[1:])
    except GitreceiveError as error:
        click.echo(f" !     {error.message}", err=True)
        if error.hint:
            click.echo(f" !     {error.hint}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # the reader has seen enough; nothing more may be written, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _run(arguments: list[str]) -> None:
    from gitreceive.cli import remote

    if config.acting_user() is not None:
        _refuse_local_only(arguments)
    else:
        remote.ask_if_remote(arguments)
    code = tree.main(arguments, prog_name="gitreceive", standalone_mode=False)
    sys.exit(code if isinstance(code, int) else 0)


def _refuse_local_only(arguments: list[str]) -> None:
    from gitreceive.cli import remote
    from gitreceive.errors import ForbiddenError

    if arguments and arguments[0] in remote.LOCAL_ONLY:
        raise ForbiddenError(
            f"{arguments[0]!r} runs on the server's own host only", hint="see --help for what runs here"
        )
