import json
import threading
import time
from pathlib import Path

import pytest

from gitreceive.engines.file_logbook import FileLogBook
from gitreceive.engines.sql_ledger import SqlLedger
from gitreceive.model import Job
from tests.cli.conftest import Cli
from tests.cli.people import failed, owns, pushed


@pytest.fixture
def job(ledger: SqlLedger) -> Job:
    owns(ledger, "alice", "shop")
    return pushed(ledger, "shop")


def test_builds_are_listed_newest_first_with_what_became_of_them(
    cli: Cli, ledger: SqlLedger, job: Job
) -> None:
    failed(ledger, job, "pip failed (exit 1)")
    second = pushed(ledger, "shop")
    listed = cli("builds", "list", "--app", "shop", "--json", acting="alice").ok().json()
    assert [(build["build"], build["state"], build["reason"]) for build in listed] == [
        (second.id, "queued", ""),
        (job.id, "failed", "pip failed (exit 1)"),
    ]
    assert [build["build"] for build in cli("builds", "list", "-n1", "--app", "shop", "--json").json()] == [
        second.id
    ]
    assert "pip failed (exit 1)" in cli("builds", "list", "--app", "shop").ok().out


def test_a_log_is_the_newest_builds_where_no_number_is_given(
    cli: Cli, ledger: SqlLedger, job: Job, logbook: FileLogBook
) -> None:
    logbook.append(job.id, b"first\n")
    failed(ledger, job, "broken")
    second = pushed(ledger, "shop")
    logbook.append(second.id, "zweite, größer\n".encode())
    assert cli("builds", "log", "--app", "shop", acting="alice").ok().out == "zweite, größer\n"
    assert cli("builds", "log", str(job.id), acting="alice").ok().out == "first\n"
    told = cli("builds", "log", str(job.id), "--json").ok().json()
    assert (told["build"], told["state"], told["log"]) == (job.id, "failed", "first\n")


def test_an_app_without_builds_and_a_build_that_is_not_there_are_said(cli: Cli, ledger: SqlLedger) -> None:
    owns(ledger, "alice", "shop")
    cli("builds", "log", "--app", "shop").failed(3, "shop has no builds yet", "git push")
    cli("builds", "log", "7").failed(3, "7")
    assert "no builds yet" in cli("builds", "list", "--app", "shop").ok().err


@pytest.mark.parametrize("offset", [0, 1, 700])
def test_attaching_tells_every_byte_once_while_the_log_grows(
    offset: int, cli: Cli, ledger: SqlLedger, job: Job, logbook: FileLogBook
) -> None:
    lines = [f"line {i}: ä{'x' * (i % 50)}\n".encode() for i in range(300)]
    logbook.append(job.id, b"".join(lines[:40]))

    def build() -> None:
        for i, line in enumerate(lines[40:]):
            logbook.append(job.id, line)
            if i % 30 == 0:
                time.sleep(0.03)
        logbook.close(job.id)
        failed(ledger, job, "broken")

    writer = threading.Thread(target=build)
    writer.start()
    said = cli("builds", "attach", str(job.id), "--offset", str(offset))
    writer.join()
    whole = b"".join(lines)
    assert said.out == whole[offset:].decode()
    assert said.code == 1


def test_attaching_in_json_tells_the_same_and_where_to_go_on(
    cli: Cli, ledger: SqlLedger, job: Job, logbook: FileLogBook
) -> None:
    text = ("é" * 400 + "\n") * 200  # more than is read at once, cut inside a character
    logbook.append(job.id, ("a" + text).encode())
    logbook.close(job.id)
    failed(ledger, job, "broken")
    said = cli("builds", "attach", str(job.id), "--json")
    *pieces, last = [json.loads(line) for line in said.out.splitlines()]
    assert said.code == 1
    assert len(pieces) > 1
    assert "".join(piece["text"] for piece in pieces) == "a" + text
    assert pieces[-1]["offset"] == len(("a" + text).encode())
    assert (last["build"], last["state"]) == (job.id, "failed")


def test_a_build_is_canceled_by_who_may_push(cli: Cli, ledger: SqlLedger, job: Job) -> None:
    told = cli("builds", "cancel", "--app", "shop", "--json", acting="alice").ok().json()
    assert (told["build"], told["state"]) == (job.id, "canceled")
    assert ledger.job(job.id).reason
    cli("builds", "cancel", str(job.id)).failed(4, "canceled")


def test_the_log_of_a_build_that_has_said_nothing_is_empty(cli: Cli, job: Job, tmp_path: Path) -> None:
    assert cli("builds", "log", str(job.id)).ok().out == ""
