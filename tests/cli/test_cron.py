"""What runs by the clock, as it is typed: a real ledger, a runner beside the command line, and a target in this process."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitreceive import wiring
from gitreceive.jobs import JobRunner
from gitreceive.model import AppName, CronEntry, CronRun, CronTask, Declared
from tests.cli.conftest import Cli
from tests.cli.people import has_key
from tests.cli.place import Place

SHOP = AppName("shop")
BEGAN = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def shop(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Live, with an entry in its app.json."""
    monkeypatch.setattr(wiring, "target", lambda *_: place.target)
    place.live("shop", declared=Declared(cron=(CronTask("0 3 * * *", "python clean.py"),)))
    place.target.live[SHOP] = place.ledger.release(SHOP, 1)
    return place


def entries(place: Place) -> dict[str, CronEntry]:
    return dict(place.ledger.settings(SHOP).schedule.cron)


def test_an_entry_is_kept_for_the_first_release(cli: Cli, place: Place) -> None:
    said = cli(
        "cron", "set", "shop", "clean", "--schedule", "0  3 * * *", "--", "python", "clean.py", "-a"
    ).ok()
    assert "Kept for the first release of shop: cron clean: 0 3 * * *" in said.err
    assert entries(place) == {"clean": CronEntry("clean", "0 3 * * *", "python clean.py -a")}
    listed = cli("cron", "list", "shop").ok()
    assert "nothing of it is live yet" in listed.err
    assert "clean  0 3 * * *  -" in listed.out


def test_an_entry_is_set_and_unset_without_a_release(cli: Cli, shop: Place, runner: JobRunner) -> None:
    words = ("cron", "set", "--app", "shop", "report", "--schedule", "@hourly", "--concurrency", "allow")
    done = cli(*words, "--timeout", "5m", "--json", "--", "make report | mail -s 'it is' x").ok().json()
    assert (done["result"], done["release"], done["title"]) == ("live", None, "cron report: @hourly")
    expected = CronEntry("report", "@hourly", "make report | mail -s 'it is' x", "allow", 300)
    assert entries(shop) == {"report": expected}
    assert shop.target.live[SHOP].cron[1] == expected
    assert shop.versions("shop") == ["Deploy"]
    again = cli(*words, "--timeout", "5m", "--json", "--", "make report | mail -s 'it is' x").ok().json()
    assert again["result"] == "unchanged"
    cli("cron", "unset", "shop", "report", acting="alice").ok()
    assert entries(shop) == {}


def test_another_setting_of_the_same_name_takes_all_of_its_place(
    cli: Cli, shop: Place, runner: JobRunner
) -> None:
    words = ("cron", "set", "shop", "report", "--schedule", "@hourly")
    cli(*words, "--concurrency", "replace", "--timeout", "5m", "--", "x").ok()
    cli(*words, "--", "echo", "a b").ok()
    assert entries(shop) == {"report": CronEntry("report", "@hourly", "echo 'a b'")}


def test_what_is_set_comes_before_what_is_declared(cli: Cli, shop: Place, runner: JobRunner) -> None:
    (row,) = cli("cron", "list", "shop", "--json", acting="alice").ok().json()
    assert (row["name"], row["by"], row["concurrency"]) == ("python-clean-py", "app.json", "allow")
    assert datetime.fromisoformat(row["next"]) > datetime.now(UTC)
    cli("cron", "unset", "shop", "python-clean-py").failed(3, "it is in app.json: take it out there")
    cli("cron", "set", "shop", "python-clean-py", "--schedule", "@weekly", "--", "true").ok()
    (row,) = cli("cron", "list", "shop", "--json").ok().json()
    assert (row["by"], row["schedule"], row["command"]) == ("cron set", "@weekly", "true")
    cli("cron", "unset", "shop", "python-clean-py").ok()
    (row,) = cli("cron", "list", "shop", "--json").ok().json()
    assert row["by"] == "app.json"


def test_of_a_stopped_app_it_is_said_that_nothing_is_run(cli: Cli, shop: Place, runner: JobRunner) -> None:
    cli("ps", "stop", "shop").ok()
    said = cli("cron", "list", "shop").ok()
    assert "Nothing of this is run: it is stopped" in said.err
    assert cli("cron", "list", "shop", "--json").ok().json()[0]["next"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "shop", "clean", "--", "true"), "--schedule"),
        (("set", "shop", "clean", "--schedule", "@daily"), "there is no command"),
        (("set", "shop", "clean", "--schedule", "@daily", "--"), "there is no command"),
        (("set", "shop", "--", "true", "--schedule", "@daily"), "--schedule"),
        (("set", "shop", "Clean", "--schedule", "@daily", "--", "true"), "'Clean' cannot name"),
        (("set", "shop", "clean", "--schedule", "* * *", "--", "true"), "'* * *' is not a schedule"),
        (("set", "shop", "clean", "--schedule", "0 0 30 2 *", "--", "true"), "is never"),
        (
            ("set", "shop", "clean", "--schedule", "@daily", "--timeout", "8d", "--", "true"),
            "from a second to",
        ),
        (("set", "shop", "clean", "--schedule", "@daily", "--concurrency", "x", "--", "true"), "'x'"),
        (("set", "a", "b", "c", "--schedule", "@daily", "--", "true"), "2 entries of cron are named here"),
        (("run",), "Missing argument"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(
    words: tuple[str, ...], said: str, cli: Cli, shop: Place
) -> None:
    cli("cron", *words).failed(2, said)
    assert entries(shop) == {}


@pytest.mark.parametrize(
    "words",
    [
        ("list", "shop"),
        ("set", "shop", "clean", "--schedule", "@daily", "--", "true"),
        ("unset", "shop", "clean"),
        ("run", "shop", "python-clean-py"),
        ("history", "shop"),
    ],
)
def test_rights_are_asked_for(words: tuple[str, ...], cli: Cli, shop: Place) -> None:
    has_key(shop.ledger, "bob")
    cli("cron", *words, acting="bob").failed(5, "bob may not")


def test_a_run_by_hand_is_a_one_off_process_with_its_exit_code(cli: Cli, shop: Place) -> None:
    shop.target.exit_code = 42
    assert cli("cron", "run", "shop", "python-clean-py", acting="alice").code == 42
    ((release, asked),) = shop.target.asked
    assert (release.number, asked.line, asked.user, asked.entry) == (1, "python clean.py", "alice", "")
    assert asked.command == ("/cnb/lifecycle/launcher", "python clean.py")
    assert list(Path(cli.folder, "one-offs").iterdir()) == []
    cli("cron", "run", "shop", "dust").failed(3, "shop runs no dust by the clock", "it has python-clean-py")


def test_the_history_tells_when_and_how_runs_ended(cli: Cli, shop: Place) -> None:
    assert "Nothing of shop has run by the clock yet" in cli("cron", "history", "shop").ok().err
    shop.target.by_clock[SHOP] = [
        CronRun("python-clean-py", "python-clean-py-1", 1, "failed", BEGAN, BEGAN + timedelta(seconds=9), 3),
        CronRun("other", "other-2", 1, "up", datetime.now(UTC)),
    ]
    said = cli("cron", "history", "shop", acting="alice").ok().out.splitlines()
    assert said[0].split() == ["NAME", "RUN", "RELEASE", "STATE", "EXIT", "STARTED", "TOOK", "WHY"]
    assert said[1].split()[:5] == ["python-clean-py", "python-clean-py-1", "v1", "failed", "3"]
    assert "9s" in said[1]
    (run,) = cli("cron", "history", "shop", "python-clean-py", "--json").ok().json()
    assert (run["exit_code"], run["started"], run["ended"]) == (
        3,
        "2026-03-04T12:00:00+00:00",
        "2026-03-04T12:00:09+00:00",
    )
    cli("cron", "history", "shop", "dust").failed(3, "shop runs no dust")
