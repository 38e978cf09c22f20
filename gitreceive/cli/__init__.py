"""The command line: one click tree for the server's own host, for ``ssh … COMMAND``, and for the thin client.

Each noun is a file, imported when it is asked for: ``--help`` must not wait for Docker's or Kubernetes' libraries.
"""

import importlib
import sys

import click

from gitreceive import __version__, config
from gitreceive.cli import remote
from gitreceive.cli.common import Group
from gitreceive.cli.recording import recorded
from gitreceive.errors import ForbiddenError, GitreceiveError
from gitreceive.sanitise import plain

_COMMANDS = {
    "access": ("gitreceive.cli.access", "Who may do what with an app: add, remove, list, transfer."),
    "app-json": ("gitreceive.cli.app_json", "The file app.json: validate."),
    "apps": ("gitreceive.cli.apps", "Apps: create, list, info, destroy, export, import."),
    "buildpack": ("gitreceive.cli.buildpack", "For authors of buildpacks: new, lint, test, pack."),
    "buildpacks": (
        "gitreceive.cli.buildpacks",
        "By which buildpacks an app is built: list, set, add, remove, clear.",
    ),
    "builds": ("gitreceive.cli.builds", "Builds: list, log, attach, cancel."),
    "certs": ("gitreceive.cli.certs", "Certificates for HTTPS: add, remove, list, auto."),
    "config": ("gitreceive.cli.configs", "The app's environment: list, get, set, unset, import, export."),
    "cron": ("gitreceive.cli.cron", "What runs by the clock: list, set, unset, run, history."),
    "doctor": ("gitreceive.cli.doctor", "Look at everything the server stands on, and say how to mend it."),
    "domains": ("gitreceive.cli.domains", "The hosts of an app: add, remove, list, https."),
    "events": ("gitreceive.cli.events", "What happened: who did what, by which key, from where."),
    "exec": ("gitreceive.cli.exec", "Run a command inside a process that runs."),
    "gc": ("gitreceive.cli.gc", "Remove what is no longer kept: old releases, logs, caches."),
    "healthchecks": ("gitreceive.cli.healthchecks", "Whether processes are well: list, set, unset."),
    "keys": ("gitreceive.cli.keys", "SSH keys: add, list, remove."),
    "ledger": ("gitreceive.cli.ledger", "The server's own records: backup, reseal, rotate-key."),
    "lock": ("gitreceive.cli.lock", "Let nobody change the app, and say why."),
    "log-drains": ("gitreceive.cli.log_drains", "Where the app's logs are sent: add, list, remove, test."),
    "logs": ("gitreceive.cli.logs", "What the app prints: processes, builds, release commands."),
    "maintenance": ("gitreceive.cli.maintenance", "A page in place of the app: on, off, info."),
    "open": ("gitreceive.cli.open", "Where the app answers."),
    "openssh": ("gitreceive.cli.openssh", "OpenSSH's sshd in front: authorized-keys, session, settings."),
    "permissions": ("gitreceive.cli.permissions", "What the server needs in the cluster, as a manifest."),
    "plan": ("gitreceive.cli.plan", "What a push of a folder would build and apply, without doing it."),
    "port-forward": ("gitreceive.cli.port_forward", "Bring a TCP port of a process to this machine."),
    "promote": ("gitreceive.cli.promote", "Give an app's live image to other apps, with their own config."),
    "ps": ("gitreceive.cli.ps", "Processes: list, scale, limits, restart, stop, start, autoscale."),
    "quotas": ("gitreceive.cli.quotas", "How much an app, a user or a team may have: set, list."),
    "rebase": ("gitreceive.cli.rebase", "Put apps on a newer run image, with nothing built."),
    "redeploy": ("gitreceive.cli.redeploy", "Start the app's live release anew, as the next one."),
    "releases": (
        "gitreceive.cli.releases",
        "The app's releases: list, info, diff, sbom, provenance, verify.",
    ),
    "reviews": ("gitreceive.cli.reviews", "Review apps, one a branch: list, set."),
    "rollback": ("gitreceive.cli.rollback", "Make an earlier release the next one, with nothing built."),
    "run": ("gitreceive.cli.run", "Run a process of the live release: start, list, stop."),
    "server": ("gitreceive.cli.server", "Run the server."),
    "services": (
        "gitreceive.cli.services",
        "Databases and the like: bind, unbind, list; create, destroy, info, kinds.",
    ),
    "stack": ("gitreceive.cli.stack", "Stacks, the base images: create, update, list, info."),
    "teams": ("gitreceive.cli.teams", "Teams of users: create, add, remove, list, info, destroy."),
    "tokens": ("gitreceive.cli.tokens", "Tokens for programs: create, list, revoke."),
    "unlock": ("gitreceive.cli.unlock", "Let the app be changed again."),
    "users": (
        "gitreceive.cli.users",
        "Users: add, list, info, suspend, resume, promote, demote, remove.",
    ),
    "volumes": ("gitreceive.cli.volumes", "Folders that outlive processes: add, list, remove."),
    "version": ("gitreceive.cli.version", "Which gitreceive this is."),
}
# what people who come from elsewhere type
_ELSEWHERE = {
    "create": "apps create",
    "delete": "apps destroy",
    "destroy": "apps destroy",
    "info": "apps info",
    "drains": "log-drains",
    "list": "apps list",
    "ls": "apps list",
    "log": "logs",
    "status": "ps",
    "ssh-keys": "keys",
    "tail": "logs -f",
}


class _Tree(Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Raises ForbiddenError for what is the server's own host's alone: here, where no way of asking leads past."""
        if name not in _COMMANDS:
            return None
        if name in remote.LOCAL_ONLY and config.acting_user() is not None:
            raise ForbiddenError(
                f"{name!r} does not run over SSH",
                hint="plan and buildpack run where the source is, the others on the server's own host",
            )
        command: click.Command = importlib.import_module(_COMMANDS[name][0]).command
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def suggest(self, ctx: click.Context, word: str) -> str:
        """Also for ``apps:create``, as Heroku and Dokku write it."""
        noun, colon, verb = word.partition(":")
        if colon and noun in _COMMANDS:
            return f"write a space: {ctx.command_path} {noun} {verb}".rstrip()
        if word in _ELSEWHERE:
            return f"did you mean {ctx.command_path} {_ELSEWHERE[word]}?"
        return super().suggest(ctx, word)


@click.command(cls=_Tree, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="gitreceive %(version)s")
def tree() -> None:
    """Git push, and the app runs on your own Kubernetes.

    On the server's own host this works on the server's data folder with an administrator's rights. In a clone
    with a git remote called 'deploy' it asks that server over SSH. With a key, nothing need be installed:

    \b
    Examples:
      ssh -p 2222 git@HOST apps list
      gitreceive apps create shop
      gitreceive help builds attach
    """


def modules() -> tuple[str, ...]:
    """Those that commands over SSH import when they are asked for."""
    nouns = (module for name, (module, _) in _COMMANDS.items() if name not in remote.LOCAL_ONLY)
    return (*nouns, "gitreceive.cli.attaching")


def main() -> None:
    """Run the command line and exit: 0, 2 for a misuse, else by phase as in ``errors.py``; 130 after Ctrl-C;
    1, and silent, where nobody reads what it prints any more.
    """
    try:
        _run(sys.argv[1:])
    except GitreceiveError as error:
        _complain(error.message, error.hint)
        sys.exit(error.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(130)
    except click.ClickException as error:
        _tell_misuse(error)
        sys.exit(error.exit_code)


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] == "help":
        arguments = [*arguments[1:], "--help"]
    if config.acting_user() is None:
        remote.ask_if_remote(arguments)
    elif sys.stdin.isatty():
        from gitreceive.cli.attaching import take_terminal

        take_terminal()
    with recorded(tree, arguments):
        code = tree.main(arguments, prog_name="gitreceive", standalone_mode=False)
    sys.exit(code if isinstance(code, int) else 0)


def _tell_misuse(error: click.ClickException) -> None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    _complain(error.format_message(), f"see: {context.command_path} --help" if context else "")


def _complain(message: str, hint: str) -> None:
    for text in (message, hint):
        for line in text.splitlines():
            click.echo(f" !     {plain(line)}", err=True)
