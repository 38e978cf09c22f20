"""The tree as a whole: every command's help, examples, JSON; misuse; what is refused over SSH."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gitreceive.cli import tree
from gitreceive.cli.common import print_table
from tests.cli.conftest import Cli

# prints no data: it runs until it is stopped
_WITHOUT_JSON = {
    "cron run",
    "exec",
    "port-forward",
    "server",
    "openssh authorized-keys",
    "openssh session",
    "openssh settings",
}  # sshd reads them, or a program says what it likes


def _commands(
    command: click.Command = tree, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, name
            yield from _commands(child, (*path, name))
    else:
        yield path, command


_ALL = list(_commands())


def test_all_commands_are_there() -> None:
    assert {" ".join(path) for path, _ in _ALL} >= {
        *(f"apps {verb}" for verb in ("create", "list", "info", "destroy")),
        *(f"keys {verb}" for verb in ("add", "list", "remove")),
        *(f"buildpack {verb}" for verb in ("new", "lint", "test")),
        *(f"builds {verb}" for verb in ("list", "log", "attach", "cancel")),
        *(f"ps {verb}" for verb in ("list", "scale", "limits", "restart", "stop", "start", "autoscale")),
        *(f"services {verb}" for verb in ("bind", "unbind", "list", "create", "destroy", "info", "kinds")),
        *(f"volumes {verb}" for verb in ("add", "list", "remove")),
        *("lock", "unlock", "maintenance on", "maintenance off", "maintenance info"),
        *("logs", "open", "plan", "doctor", "version", "server", "stack create", "stack list"),
    }


@pytest.mark.parametrize(("path", "command"), _ALL, ids=[" ".join(path) for path, _ in _ALL])
def test_a_command_has_help_with_an_example_and_json(path: tuple[str, ...], command: click.Command) -> None:
    text = command.help or ""
    assert len(text.split("\n")[0]) > 15, "it says nothing of what it does"
    assert "Example" in text, "it has no example"
    assert f"gitreceive {' '.join(path)}" in text or f"git@HOST {' '.join(path)}" in text
    options = {name: option for option in command.params for name in option.opts}
    for name, option in options.items():
        if isinstance(option, click.Option):
            assert option.help, f"{name} has no help"
    assert ("--json" in options) == (" ".join(path) not in _WITHOUT_JSON)


def test_help_is_on_stdout_in_each_of_its_ways(cli: Cli) -> None:
    whole = cli("--help").ok().out
    assert whole.startswith("Usage: gitreceive")
    assert cli().ok().out == cli("help").ok().out == cli("-h").ok().out == whole
    assert cli("help", "apps", "create").ok().out == cli("apps", "create", "--help").ok().out


def test_the_version_is_told_in_each_of_its_ways(cli: Cli) -> None:
    assert cli("--version").ok().out == cli("version").ok().out
    assert list(cli("version", "--json").ok().json()) == ["version"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ap", "gitreceive apps"),
        ("apps:create", "gitreceive apps create"),
        ("log", "gitreceive logs"),
        ("status", "gitreceive ps"),
        ("frobnicate", "gitreceive --help"),
    ],
)
def test_an_unknown_command_is_answered_with_the_nearest(typed: str, meant: str, cli: Cli) -> None:
    cli(typed).failed(2, f"'{typed}' is not a command", meant)


def test_an_unknown_verb_is_answered_with_the_nearest(cli: Cli) -> None:
    cli("apps", "creat", "shop").failed(2, "'creat'", "did you mean gitreceive apps create?")


def test_a_misuse_says_where_help_is(cli: Cli) -> None:
    cli("apps", "list", "--colour").failed(2, " !     No such option", "gitreceive apps list --help")


@pytest.mark.parametrize("number", ["0", "-1", "99999999999999999999", "x"])
def test_a_number_that_no_build_can_have_is_a_misuse(number: str, cli: Cli) -> None:
    cli("builds", "log", "--", number).failed(2, "BUILD")


@pytest.mark.parametrize("since", ["", "x", "5y", "-5m", "1.5h", "9" * 400])
def test_a_length_of_time_is_parsed_strictly(since: str, cli: Cli) -> None:
    cli("logs", "--app", "shop", "--since", since).failed(2, "is not a length of time")


@pytest.mark.parametrize(
    "words",
    [
        ("server",),
        ("stack", "create", "--build-image", "x", "--run-image", "x"),
        ("--", "stack", "list"),
        ("plan", "/"),
        ("buildpack", "test", "/"),
        ("help", "server"),
    ],
)
def test_what_is_the_servers_own_hosts_alone_is_refused_over_ssh(words: tuple[str, ...], cli: Cli) -> None:
    cli(*words, acting="alice").failed(5, "does not run over SSH")
    assert not cli.folder.exists()


def test_an_empty_table_is_talk_and_not_data(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a",), [], "Nothing yet")
    assert capsys.readouterr() == ("", "Nothing yet\n")


def test_without_a_server_here_a_command_about_apps_says_so_and_makes_none(cli: Cli) -> None:
    cli("apps", "list").failed(3, "no server here", "ssh -p 2222 git@HOST")
    assert not cli.folder.exists()


def test_examples_keep_their_lines() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
    assert "\\b" not in page
    assert "\n    gitreceive apps create shop\n" in page


def test_a_cell_of_a_table_is_one_line_that_does_nothing_to_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(("reason",), [("no file \x1b[2J\nbuild 7  live",)], "Nothing yet")
    assert capsys.readouterr().out == "REASON\nno file ^[[2J^Jbuild 7  live\n"
