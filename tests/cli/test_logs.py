"""What ``logs`` shows of builds and release commands, and how lines are painted. Processes' own are in the targets' contract."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from gitreceive import config
from gitreceive.cli.logs import Painter
from gitreceive.engines.file_logbook import FileLogBook
from gitreceive.engines.sql_ledger import SqlLedger
from gitreceive.model import LogLine
from gitreceive.voice import Voice
from tests.cli.conftest import Cli
from tests.cli.people import failed, has_key, owns, pushed

_NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


def _built(ledger: SqlLedger, logbook: FileLogBook) -> None:
    """Build 1 of shop, with a release command, which failed."""
    owns(ledger, "alice", "shop")
    job = pushed(ledger, "shop")
    log = Voice(lambda chunk: logbook.append(job.id, chunk))
    log.step("Building")
    log.step("Running the release command of v1")
    log.write(b"migrating\n  1 of 2\n")
    log.error("the release command failed (exit 1)")
    logbook.close(job.id)
    failed(ledger, job, "the release command failed (exit 1)")


def test_a_build_and_its_release_command_are_told_apart(
    cli: Cli, ledger: SqlLedger, logbook: FileLogBook
) -> None:
    _built(ledger, logbook)
    said = cli("logs", "--build", "1", "--json").ok()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [(line["source"], line["text"]) for line in lines] == [
        ("build", "-----> Building"),
        ("build", "-----> Running the release command of v1"),
        ("release", "migrating"),
        ("release", "  1 of 2"),
        ("build", " !     the release command failed (exit 1)"),
    ]
    assert {line["instance"] for line in lines} == {"build.1", "release.1"}
    assert set(lines[0]) == {"time", "source", "process", "instance", "text"}
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)


def test_sources_numbers_and_times_choose(cli: Cli, ledger: SqlLedger, logbook: FileLogBook) -> None:
    _built(ledger, logbook)
    assert cli("logs", "shop", "--source", "release").ok().out.count("\n") == 2
    assert cli("logs", "shop", "--source", "build", "-n", "1").ok().out.endswith("(exit 1)\n")
    assert cli("logs", "--app", "shop", "--source", "build", "--source", "release").ok().out.count("\n") == 5
    assert cli("logs", "--build", "1", "--ps", "release.1").ok().out.count("\n") == 2
    assert cli("logs", "--build", "1", "--since", "5m").ok().out.count("\n") == 5
    quiet = cli("logs", "--build", "1", "--until", "2020-01-01").ok()
    assert (quiet.out, "Nothing was printed" in quiet.err) == ("", True)


def test_following_a_build_that_has_ended_ends(cli: Cli, ledger: SqlLedger, logbook: FileLogBook) -> None:
    _built(ledger, logbook)
    assert cli("logs", "--build", "1", "-f").ok().out.count("\n") == 5
    assert cli("logs", "--build", "1", "-f", "-n", "2").ok().out.count("\n") == 2


def test_a_build_of_another_app_is_not_shown(cli: Cli, ledger: SqlLedger, logbook: FileLogBook) -> None:
    _built(ledger, logbook)
    cli("logs", "other", "--build", "1").failed(3, "another app's")
    cli("logs", "--build", "7").failed(3, "7")
    has_key(ledger, "mallory")
    cli("logs", "--build", "1", acting="mallory").failed(5, "mallory may not")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "2026-13-01"), "is not a time"),
        (("--since", "yesterday"), "is not a length of time"),
        (("-f", "--until", "5m"), "--until"),
        (("--source", "web"), "--source"),
        (("--app", "blog"), "named twice"),
        (("-n", "100001"), "-n"),
    ],
)
def test_a_misuse_is_told(words: tuple[str, ...], said: str, cli: Cli, ledger: SqlLedger) -> None:
    owns(ledger, "alice", "shop")
    cli("logs", "shop", *words).failed(2, said)


def test_ctrl_c_ends_it_quietly(cli: Cli, ledger: SqlLedger, logbook: FileLogBook) -> None:
    owns(ledger, "alice", "shop")
    job = pushed(ledger, "shop")
    logbook.append(job.id, b"-----> Building\n")
    command = [sys.executable, "-m", "gitreceive", "logs", "--build", str(job.id), "-f"]
    env = {**config.process_environment(), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=env) as following:
        assert following.stdout
        assert following.stderr
        assert following.stdout.readline().endswith("-----> Building\n")
        logbook.append(job.id, b"       more\n")
        assert following.stdout.readline().endswith("more\n")
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 130
        assert (following.stdout.read(), following.stderr.read().strip()) == ("", "")


def _line(text: str, process: str = "web") -> LogLine:
    return LogLine(_NOON, f"{process}.1", process, text)


def test_what_would_steer_a_terminal_is_made_visible() -> None:
    plain = Painter(colour=False)
    assert plain.painted(_line("a\x1b]0;title\x07b")) == "2026-01-31T12:00:00.123Z web[web.1]: a^[]0;title^Gb"
    assert plain.painted(_line("50%\r100%")).endswith("50%\n  100%")
    assert plain.painted(_line("\x1b[31mred\x1b[0m")).endswith("]: red")
    assert "\u202e" not in plain.painted(_line("a\u202eb"))


def test_a_process_keeps_its_colour_and_an_apps_own_colour_ends_with_its_line() -> None:
    painter = Painter(colour=True)
    web, worker = painter.painted(_line("a")), painter.painted(_line("a", "worker"))
    assert web.split("2026")[0] != worker.split("2026")[0]
    assert web == painter.painted(_line("a"))
    assert painter.painted(_line("\x1b[31mred")).endswith("\x1b[31mred\x1b[0m")


def test_a_log_that_is_no_terminal_has_no_colour_unless_asked(
    cli: Cli, ledger: SqlLedger, logbook: FileLogBook
) -> None:
    _built(ledger, logbook)
    assert "\x1b" not in cli("logs", "--build", "1").ok().out
    assert "\x1b[" in cli("logs", "--build", "1", "--color", "always").ok().out
    assert "\x1b" not in cli("logs", "--build", "1", "--color", "never").ok().out
