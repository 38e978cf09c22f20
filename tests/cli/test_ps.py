"""What runs, as it is typed: a real ledger, a registry in this process, and a runner beside the command line."""

from typing import Any

import pytest

from gitreceive.cli.processes import facts, write_table
from gitreceive.errors import RolloutError
from gitreceive.jobs import JobRunner
from gitreceive.model import (
    AppName,
    AppSettings,
    Autoscale,
    Formation,
    JobState,
    Limits,
    ProcessStatus,
    Runtime,
)
from tests.cli.conftest import Cli
from tests.cli.people import has_key
from tests.cli.place import Place

SHOP = AppName("shop")


@pytest.fixture
def live(place: Place) -> Place:
    place.live("shop", processes=("web", "worker", "release"))
    place.target.live[SHOP] = place.ledger.release(SHOP, 1)
    return place


def formation(place: Place) -> Formation:
    return place.ledger.settings(SHOP).formation


def test_a_scale_is_kept_for_the_first_release_and_stays_with_it(cli: Cli, place: Place) -> None:
    said = cli("ps", "scale", "shop", "web=3", "clock=2").ok().err
    assert "Kept for the first release of shop: scale web=3 clock=2" in said
    assert cli("ps", "scale", "--app", "shop", "web=3", "--json").ok().json()["result"] == "unchanged"
    place.live("shop")
    assert place.ledger.release(SHOP, 1).replicas("web") == 3


def test_a_scale_makes_no_release(cli: Cli, live: Place, runner: JobRunner) -> None:
    done = cli("ps", "scale", "--app", "shop", "web=2", "worker=0", "--json").ok().json()
    assert (done["result"], done["release"], done["title"]) == ("live", None, "scale web=2 worker=0")
    assert formation(live).scale == {"web": 2, "worker": 0}
    assert live.versions("shop") == ["Deploy"]


def test_limits_are_a_release_and_unset_takes_them_back(cli: Cli, live: Place, runner: JobRunner) -> None:
    said = cli("ps", "limits", "shop", "web", "--memory", "256Mi", "--cpu", "0.5").ok()
    assert "shop v2 is live after" in said.err
    assert live.ledger.release(SHOP, 2).settings.runtime.limits == {"web": Limits("256Mi", "0.5")}
    cli("ps", "limits", "shop", "release", "--memory", "1Gi").ok()
    cli("ps", "limits", "shop", "web", "--unset").ok()
    assert live.ledger.settings(SHOP).runtime.limits == {"release": Limits("1Gi")}


def test_a_restart_names_what_is_to_begin_anew(cli: Cli, live: Place, runner: JobRunner) -> None:
    cli("ps", "restart", "shop").ok()
    first = formation(live).restarted
    assert first.keys() == {"web", "worker"}
    cli("ps", "restart", "--app", "shop", "worker").ok()
    second = formation(live).restarted
    assert (second["web"], second["worker"] > first["worker"]) == (first["web"], True)
    assert live.versions("shop") == ["Deploy"]


def test_what_is_stopped_is_started_with_as_many_as_there_were(
    cli: Cli, live: Place, runner: JobRunner
) -> None:
    cli("ps", "scale", "shop", "web=3").ok()
    cli("ps", "stop", "shop").ok()
    assert live.target.live[SHOP].replicas("web") == 0
    cli("ps", "restart", "shop").failed(4, "shop is stopped", "gitreceive ps start shop")
    cli("ps", "start", "shop").ok()
    assert live.target.live[SHOP].replicas("web") == 3


def test_a_scale_that_does_not_come_up_is_exit_1_and_leaves_what_was(
    cli: Cli, live: Place, runner: JobRunner
) -> None:
    def refuse(release: Any, _cancel: object) -> None:
        if release.replicas("web") > 1:
            raise RolloutError("no node has room")

    live.target.during = refuse
    said = cli("ps", "scale", "shop", "web=9")
    assert said.code == 1
    assert "no node has room" in said.err
    assert formation(live).scale == {}
    assert live.ledger.jobs(SHOP)[0].state is JobState.FAILED


def test_the_docker_target_refuses_to_scale_by_itself(cli: Cli, live: Place) -> None:
    words = ("ps", "autoscale", "shop", "web", "--min", "2", "--max", "4", "--cpu", "70")
    cli(*words).failed(4, "the docker target does not scale by itself", "ps scale web=N")


def test_an_autoscaler_keeps_others_out_until_it_is_off(
    cli: Cli, live: Place, runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("GITRECEIVE_TARGET", "kubernetes")
        cli("ps", "autoscale", "shop", "web", "--min", "2", "--max", "4", "--cpu", "70").ok()
    assert formation(live).autoscale == {"web": Autoscale(2, 4, 70)}
    cli("ps", "scale", "shop", "web=1").failed(4, "web is scaled by the cluster, from 2 to 4", "--off")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("scale", "shop"), 2, "no process type is named"),
        (("scale", "shop", "web"), 2, "'web' says no number"),
        (("scale", "shop", "web=-1"), 2, "'web=-1' says no number"),
        (("scale", "shop", "web=1001"), 2, "the scale of web must be a number from 0 to 1000"),
        (("scale", "shop", "web=1", "web=2"), 2, "'web' is there twice"),
        (("scale", "shop", "clock=1"), 3, "shop has no process type 'clock'"),
        (("scale", "shop", "release=1"), 3, "it has web, worker"),
        (("scale", "blog", "web=1"), 3, "there is no app blog"),
        (("limits", "shop", "web"), 2, "nothing is said"),
        (("limits", "shop", "web", "--unset", "--cpu", "1"), 2, "nothing is said"),
        (("limits", "shop", "web", "--memory", "lots"), 2, "'lots' is no amount of memory"),
        (("limits", "shop", "web", "--memory", "1Ki"), 2, "too little memory"),
        (("limits", "shop", "web", "worker", "--cpu", "1"), 2, "2 process types are named here"),
        (("autoscale", "shop", "web", "--min", "1"), 2, "give --min, --max and --cpu"),
        (("autoscale", "shop", "web", "--off", "--min", "1"), 2, "or --off alone"),
        (("restart", "shop", "clock"), 3, "shop has no process type 'clock'"),
    ],
)
def test_what_cannot_be_is_refused_before_there_is_a_job(
    cli: Cli, live: Place, words: tuple[str, ...], code: int, said: str
) -> None:
    cli("ps", *words).failed(code, said)
    assert len(live.ledger.jobs(SHOP)) == 1


def test_it_is_for_those_who_may_change_the_app(cli: Cli, live: Place) -> None:
    has_key(live.ledger, "mallory")
    for words in (("scale", "shop", "web=2"), ("stop", "shop"), ("restart", "shop")):
        cli("ps", *words, acting="mallory").failed(5, "may not")
    cli("ps", "shop", acting="mallory").failed(5, "may not see")


def test_ps_tells_of_each_process_type_how_many_are_wanted_and_ready(live: Place) -> None:
    release = live.ledger.release(SHOP, 1)
    settings = AppSettings(
        Runtime({"web": Limits("96Mi", "0.2")}), Formation({"web": 3}, {"worker": Autoscale(1, 4, 70)})
    )
    seen = [
        ProcessStatus(
            "web", "web-1", 1, "up", True, 2, 60, last_exit="ran out of memory (OOMKilled), 5 s ago"
        ),
        ProcessStatus("web", "web-2", 1, "waiting", False, 0, 5, "fits on no node: 0/1 nodes"),
        ProcessStatus("web", "web-0", 1, "stopping", False, 0, 90),
        ProcessStatus("worker", "worker-1", 1, "up", True, 0, 5),
        ProcessStatus("worker", "worker-2", 1, "up", True, 0, 5),
    ]
    web, worker = facts(release, settings, seen)
    assert (web["desired"], web["ready"], web["memory"], web["cpu"]) == (3, 1, "96Mi", "0.2")
    assert (worker["desired"], worker["ready"], worker["autoscale"]["max"]) == (2, 2, 4)
    assert web["instances"][0]["last_exit"].startswith("ran out of memory")
    stopped = facts(release, AppSettings(formation=Formation(stopped=True)), [])
    assert [(p["process"], p["desired"], p["stopped"]) for p in stopped] == [
        ("web", 0, True),
        ("worker", 0, True),
    ]


def test_what_ps_shows_reads_as_sentences(live: Place, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    settings = AppSettings(formation=Formation({"web": 2}, {"worker": Autoscale(1, 4, 70)}))
    seen = [ProcessStatus("web", "web-1", 1, "crashed", False, 2, 60, "crashed: exit 1", "exit 1, 5 s ago")]
    release = live.ledger.release(SHOP, 1)
    write_table(SHOP, release, facts(release, settings, seen))
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert lines[0] == "web: 0 of 2 ready"
    assert lines[1] == "worker: 0 of 0 ready, scaled by the cluster from 1 to 4 at 70 % CPU"
    assert lines[-1].endswith("crashed: exit 1; before: exit 1, 5 s ago")


def test_a_page_of_maintenance_is_kept_and_a_push_leaves_it_on(
    cli: Cli, live: Place, runner: JobRunner
) -> None:
    cli("maintenance", "on", "shop", "--page", stdin="<p>soon").ok()
    kept = live.target.live[SHOP].settings.maintenance
    assert (kept.on, kept.shown) == (True, "<p>soon")
    assert kept.image == live.ledger.stack("bookworm").run  # type: ignore[union-attr]
    assert cli("maintenance", "info", "shop").ok().out == "on\n"
    assert "maintenance is on" in cli("redeploy", "shop").ok().err
    cli("maintenance", "off", "shop").ok()
    assert not live.target.live[SHOP].settings.maintenance.on
    cli("maintenance", "on", "shop", "--page", stdin=" \n").failed(2, "standard input is no page")
    cli("maintenance", "on", "shop", "--page", stdin="x" * (300 << 10)).failed(2, "more than 262144 bytes")


def test_health_checks_are_set_by_kind_and_taken_back(cli: Cli, live: Place, runner: JobRunner) -> None:
    cli("healthchecks", "set", "shop", "web", "--path", "/up", "--port", "81").ok()
    words = ("healthchecks", "set", "shop", "web", "--kind", "startup", "--command", "python 'a b.py'")
    cli(*words, "--attempts", "9").ok()
    cli("healthchecks", "set", "shop", "web", "--listening").ok()
    rows = cli("healthchecks", "list", "shop", "--json").ok().json()
    assert [(r["kind"], r["asks"], r["attempts"]) for r in rows] == [
        ("readiness", "listens", 3),
        ("startup", "command python a b.py", 9),
    ]
    cli("healthchecks", "unset", "shop", "web", "--kind", "startup").ok()
    cli("healthchecks", "unset", "shop", "web").ok()
    assert live.ledger.settings(SHOP).runtime.health == {}
    cli("healthchecks", "unset", "shop", "web").failed(3, "no health check is set for web")
    assert live.versions("shop")[0] == "No health check of web"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "asks nothing"),
        (("--path", "/", "--listening"), "asks path and listening"),
        (("--path", "up"), "is not the path of a request"),
        (("--path", "/a b"), "is not the path of a request"),
        (("--command", "'"), "the command cannot be read"),
        (("--listening", "--scheme", "https"), "--scheme is for --path alone"),
    ],
)
def test_a_check_that_asks_nothing_or_two_things_is_refused(
    cli: Cli, live: Place, words: tuple[str, ...], said: str
) -> None:
    cli("healthchecks", "set", "shop", "web", *words).failed(2, said)


def test_a_lock_is_opened_by_whoever_locked_it_and_by_administrators(cli: Cli, live: Place) -> None:
    cli("lock", "shop", "-m", "the sale runs", acting="alice").ok()
    assert "by alice" in cli("ps", "stop", "shop").failed(4, "shop is locked by alice", "the sale runs").err
    cli("config", "set", "shop", "A=1").failed(4, "shop is locked by alice")
    cli("unlock", "shop").ok()
    cli("lock", "shop", "-m", "from the host").ok()
    cli("unlock", "shop", acting="alice").failed(5, "shop was locked by administrator", "ask administrator")
    cli("lock", "shop", "-m", " ").failed(2, "a reason has 1 to 500 characters")
