"""Releases, rollback and redeploy as they are typed: a real ledger, a registry in this process, and a runner beside the command line."""

import pytest

from gitreceive.errors import RolloutError
from gitreceive.jobs import JobRunner
from gitreceive.model import AppName, CheckKind, CronTask, Declared, HealthCheck, Scripts, Secret, UserName
from tests.cli.conftest import Cli
from tests.cli.people import has_key
from tests.cli.place import Place

SHOP = AppName("shop")


@pytest.fixture
def two(place: Place) -> Place:
    """An app with two releases."""
    place.live(
        "shop", processes=("web", "worker"), config={"TOKEN": Secret("hush-1"), "GONE": Secret("hush-2")}
    )
    place.live(
        "shop",
        processes=("web", "clock"),
        config={"TOKEN": Secret("hush-3"), "DEBUG": Secret("hush-4")},
        holding="other",
    )
    return place


@pytest.mark.parametrize("words", [("shop",), ("list", "shop"), ("--app", "shop"), ("list", "-a", "shop")])
def test_releases_are_listed_newest_first(cli: Cli, two: Place, words: tuple[str, ...]) -> None:
    table = cli("releases", *words, acting="alice").ok().out.splitlines()
    assert [line.split()[0] for line in table] == ["RELEASE", "v2", "v1"]
    assert table[0].split() == ["RELEASE", "WHAT", "BY", "AGE", "COMMIT", "IMAGE"]
    assert "alice" in table[1]
    assert "c0ffee0" in table[1]
    listed = cli("releases", *words, "--json").ok().json()
    assert [(one["release"], one["live"]) for one in listed] == [(2, True), (1, False)]
    assert len(cli("releases", *words, "-n", "1", "--json").ok().json()) == 1


def test_an_app_without_releases_is_told_how_to_come_to_one(cli: Cli, place: Place) -> None:
    assert "There are no releases yet: git push" in cli("releases", "shop").ok().err


def test_a_release_is_told_whole_but_for_the_values_of_its_config(cli: Cli, two: Place) -> None:
    told = cli("releases", "info", "shop", "v2", acting="alice").ok().out
    for text in (
        "shop v2: Deploy (live)",
        "alice",
        "c0ffee0",
        "@sha256:",
        "12.3 kB",
        "x/a@1",
        "clock '--port 1'",
    ):
        assert text in told
    assert "DEBUG, TOKEN" in told
    facts = cli("releases", "info", "--app", "shop", "v1", "--json").ok()
    assert facts.json()["config"] == ["GONE", "TOKEN"]
    assert facts.json()["processes"][1] == {"name": "worker", "command": ["worker", "--port 1"]}
    assert facts.json()["live"] is False
    assert "hush" not in told + facts.out


def test_two_releases_are_compared_by_names_alone(cli: Cli, two: Place) -> None:
    told = cli("releases", "diff", "shop", "v1", "v2", acting="alice").ok().out
    lines = dict(line.split(":", 1) for line in told.splitlines())
    assert set(lines) == {"image", "processes", "config"}  # of the same commit, by the same buildpacks
    assert lines["processes"].split() == ["+clock,", "-worker"]
    assert lines["config"].split() == ["+DEBUG,", "-GONE,", "~TOKEN"]
    facts = cli("releases", "diff", "-a", "shop", "v2", "v1", "--json").ok()
    assert facts.json()["config"] == {"added": ["GONE"], "removed": ["DEBUG"], "changed": ["TOKEN"]}
    assert "hush" not in told + facts.out
    assert "v1 and v1 are the same" in cli("releases", "diff", "shop", "v1", "v1").ok().err


def test_what_the_source_of_a_release_declares_is_told_and_compared(cli: Cli, place: Place) -> None:
    checks = {"web": (HealthCheck(CheckKind.STARTUP, path="/up"),)}
    place.live("shop", declared=Declared(checks, (CronTask("@daily", "clean"),), Scripts(before="check")))
    place.live("shop", declared=Declared(scripts=Scripts(before="check")))
    said = cli("releases", "info", "shop", "v1").ok().out
    for line in (
        "scripts: dokku.predeploy: check",
        "healthchecks: web: startup, GET /up",
        "cron: @daily: clean",
    ):
        assert line in said
    facts = cli("releases", "info", "shop", "v2", "--json").ok().json()["declares"]
    assert (facts["scripts"]["before"], facts["healthchecks"], facts["cron"]) == ("check", {}, [])
    assert "-cron, -healthchecks.web" in cli("releases", "diff", "shop", "v1", "v2").ok().out


def test_a_rollback_shows_its_log_and_is_the_next_release(cli: Cli, two: Place, runner: JobRunner) -> None:
    said = cli("rollback", "shop", "v1", acting="alice").ok().err
    for text in ("of shop: rollback to v1", "Rolling back shop v2 to v1", "shop v3 is live after"):
        assert text in said
    assert two.versions("shop") == ["Rollback to v1", "Deploy", "Deploy"]
    third = two.ledger.release(SHOP, 3)
    assert (third.user, third.config["TOKEN"]) == ("alice", Secret("hush-1"))
    assert "~" not in cli("releases", "diff", "shop", "v1", "v3").ok().out
    listed = cli("builds", "list", "--app", "shop", "--json").ok().json()[0]
    assert (listed["kind"], listed["title"], listed["release"]) == ("rollback", "rollback to v1", 3)
    assert "Rolling back shop" in cli("builds", "log", "--app", "shop").ok().out


def test_a_rollback_without_a_number_goes_to_the_release_before(
    cli: Cli, two: Place, runner: JobRunner
) -> None:
    first = cli("rollback", "--app", "shop", "--json").ok().json()
    assert (first["result"], first["from"], first["to"], first["release"]) == ("live", 2, 1, 3)
    assert cli("rollback", "shop", "--json").ok().json()["to"] == 2


def test_a_redeploy_is_the_live_release_once_more(cli: Cli, two: Place, runner: JobRunner) -> None:
    assert "Redeploying shop v2" in cli("redeploy", "shop", acting="alice").ok().err
    assert cli("redeploy", "--app", "shop", "--json").ok().json()["release"] == 4
    assert two.versions("shop")[:2] == ["Redeploy v3", "Redeploy v2"]


def test_a_release_that_does_not_come_up_is_put_back_and_told(
    cli: Cli, two: Place, runner: JobRunner
) -> None:
    two.target.failure = RolloutError("web crashed")
    said = cli("rollback", "shop")
    assert (said.code, said.out) == (1, "")
    assert "web crashed" in said.err
    assert "Putting v2 back" in said.err
    answer = cli("redeploy", "shop", "--json")
    assert answer.code == 1
    assert (answer.json()["result"], answer.json()["reason"]) == ("failed", "web crashed")
    assert two.versions("shop") == ["Deploy", "Deploy"]


@pytest.mark.parametrize(
    ("words", "code", "texts"),
    [
        (("rollback", "shop", "v2"), 4, ("shop v2 is live already", "gitreceive redeploy shop")),
        (("rollback", "shop", "v9"), 3, ("no release v9 of shop", "gitreceive releases shop")),
        (("rollback", "shop", "5"), 2, ("'5' is not a release", "v7")),
        (("rollback", "shop", "v0"), 2, ("'v0' is not a release",)),
        (("rollback", "shop", "v9999999999"), 2, ("is not a release",)),
        (("rollback", "shop", "v1", "v2"), 2, ("one release at most", "not 2")),
        (("rollback", "shop", "v1", "--app", "blog"), 2, ("the app is named twice",)),
        (("rollback", "v1"), 3, ("no app is named",)),
        (("rollback", "blog"), 3, ("blog",)),
        (("redeploy", "shop", "v1"), 2, ("no release can be named here",)),
        (("releases", "info", "shop"), 2, ("one release can be named", "not 0")),
        (("releases", "info", "shop", "v3"), 3, ("no release v3 of shop",)),
        (("releases", "diff", "shop", "v1"), 2, ("two releases", "not 1")),
        (("releases", "-n", "0", "shop"), 2, ("-n",)),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    cli: Cli, two: Place, words: tuple[str, ...], code: int, texts: tuple[str, ...]
) -> None:
    cli(*words).failed(code, *texts)
    assert len(two.ledger.jobs(SHOP)) == 2


def test_an_app_that_is_called_as_a_release_is_named_by_option_or_with_one(cli: Cli, two: Place) -> None:
    two.ledger.create_app(AppName("v7"), UserName("alice"), "main")
    two.live("v7")
    two.live("v7")
    assert len(cli("releases", "v7", "--json").ok().json()) == 2
    cli("rollback", "--app", "v7", "v2").failed(4, "v7 v2 is live already")
    cli("rollback", "v7", "v2").failed(4, "v7 v2 is live already")
    cli("rollback", "v7").failed(3, "no app is named")


def test_where_nothing_is_live_there_is_nothing_to_bring_back(cli: Cli, place: Place) -> None:
    for command in ("rollback", "redeploy"):
        cli(command, "shop").failed(3, "nothing of shop is live", "push it first")
    place.live("shop")
    cli("rollback", "shop").failed(3, "no release of shop before v1")


def test_an_image_that_the_registry_no_longer_has_is_refused(cli: Cli, two: Place) -> None:
    two.server.manifests["shop"].clear()
    cli("rollback", "shop").failed(
        40, "no longer has the image of shop v1", "push its commit, c0ffee0, again"
    )
    cli("redeploy", "shop").failed(40, "no longer has the image of shop v2")


def test_without_a_server_nothing_is_asked_for(cli: Cli, two: Place) -> None:
    cli("rollback", "shop").failed(7, "no server works on", "gitreceive server")
    assert len(two.ledger.jobs(SHOP)) == 2


def test_only_who_may_push_brings_back_and_only_who_may_see_reads(cli: Cli, two: Place) -> None:
    has_key(two.ledger, "bob")
    cli("rollback", "shop", "v1", acting="bob").failed(5, "bob may not push to shop")
    cli("redeploy", "shop", acting="bob").failed(5, "bob may not push to shop")
    for words in (("shop",), ("info", "shop", "v1"), ("diff", "shop", "v1", "v2")):
        cli("releases", *words, acting="bob").failed(5, "bob may not see shop")
