import json
from pathlib import Path

import pytest

from gitreceive.engines.sql_ledger import SqlLedger
from tests.cli.conftest import Cli
from tests.cli.people import has_key

DOCUMENT = json.dumps(
    {
        "env": {"KEY": {"generator": "secret"}, "MODE": "hush"},
        "cron": [{"schedule": "@daily", "command": "python clean.py"}],
        "stack": "heroku-24",
        "environments": {"review": {"cron": []}},
    },
    indent=2,
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "app.json"
    path.write_text(DOCUMENT)
    return path


def test_what_a_push_would_take_is_told_without_values(cli: Cli, file: Path) -> None:
    said = cli("app-json", "validate").ok()
    assert [" ".join(line.split()) for line in said.out.splitlines()] == [
        "env KEY: a new secret",
        "env MODE: a value",
        "cron @daily: python clean.py",
        "environments review",
    ]
    assert "stack changes nothing" in said.err
    facts = cli("app-json", "validate", str(file), "--json").ok()
    assert facts.json()["cron"][0]["schedule"] == "@daily"
    assert "hush" not in said.out + said.err + facts.out


def test_an_environment_is_told_as_it_is_there(cli: Cli, file: Path) -> None:
    assert cli("app-json", "validate", "--environment", "review", "--json").ok().json()["cron"] == []
    cli("app-json", "validate", "--environment", "staging").failed(3, "no environment 'staging'", "review")


def test_what_is_wrong_is_told_with_its_place(cli: Cli, file: Path) -> None:
    file.write_text('{"env":\n {"A": 1}}')
    cli("app-json", "validate").failed(10, "app.json, line 2, column 8: env.A: is a number")
    file.unlink()
    cli("app-json", "validate").failed(3, "app.json cannot be read: No such file")


def test_over_ssh_it_is_standard_input_and_no_file_of_the_servers(
    cli: Cli, ledger: SqlLedger, file: Path
) -> None:
    has_key(ledger, "alice")
    said = cli("app-json", "validate", "-", "--json", stdin=DOCUMENT, acting="alice").ok()
    assert said.json()["env"][1]["name"] == "MODE"
    cli("app-json", "validate", str(file), acting="alice").failed(2, "read from standard input")
