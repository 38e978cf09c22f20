"""app.json in the story of a push, and its scripts around the roll-out."""

import json
from dataclasses import replace

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import CanceledError, LeaseLostError, UnavailableError
from gitreceive.jobs import work
from gitreceive.model import (
    AppName,
    AppSettings,
    ConfigChange,
    CronTask,
    Formation,
    JobState,
    Limits,
    ProcessType,
    Promotion,
    Rollback,
    Runtime,
    Secret,
    UserName,
)
from tests.platform import SHOP, World

ADA = UserName("ada")
SCRIPTS = {"postdeploy": "seed", "dokku": {"predeploy": "check", "postdeploy": "tell"}}


@pytest.fixture
def world() -> World:
    return World()


def pushed(world: World, text: str, **document: object) -> tuple[JobState, str]:
    """A commit whose app.json is this: how its push ended, and the log."""
    parents = () if world.head.is_zero else (world.head,)
    files = {"app.py": text, "app.json": json.dumps(document)}
    job = world.deploy(world.commit_files(files, *parents))
    return job.state, world.log(job)


def test_the_first_release_begins_with_what_app_json_says(world: World) -> None:
    env = {"MODE": "plain", "KEY": {"generator": "secret"}, "MAYBE": {"required": False}}
    formation = {"web": {"quantity": 3, "size": "standard-2x"}, "worker": {"quantity": 0}}
    state, log = pushed(world, "one", env=env, formation=formation)
    assert state is JobState.LIVE
    live = world.ledger.current_release(SHOP)
    assert live
    assert live.config["MODE"] == Secret("plain")
    assert len(live.config["KEY"].reveal()) == 64
    assert sorted(live.config) == ["KEY", "MODE"]
    assert live.settings.formation.scale == {"web": 3, "worker": 0}
    assert live.settings.runtime.limits == {"web": Limits("1024Mi")}
    assert "app.json sets MODE" in log
    assert "app.json has new secrets made: KEY" in log
    assert live.config["KEY"].reveal() not in log
    assert "plain" not in log


def test_later_pushes_leave_config_and_formation_alone(world: World) -> None:
    pushed(world, "one", env={"A": "1", "KEY": {"generator": "secret"}}, formation={"web": {"quantity": 2}})
    first = world.ledger.current_release(SHOP)
    state, log = pushed(
        world,
        "two",
        env={"A": "2", "B": {"description": "new, and set by nobody"}, "KEY": {"generator": "secret"}},
        formation={"web": {"quantity": 5}},
    )
    second = world.ledger.current_release(SHOP)
    assert state is JobState.LIVE
    assert first
    assert second
    assert (second.config, second.settings) == (first.config, first.settings)
    assert "app.json" not in log


def test_what_was_set_before_the_first_push_counts_more(world: World) -> None:
    settings = AppSettings(Runtime({"web": Limits("64Mi")}), Formation({"web": 1}))
    world.ledger.keep_config(SHOP, {}, {"A": Secret("mine"), "NEEDED": Secret("here")})
    world.ledger.keep_settings(SHOP, AppSettings(), settings)
    env = {"A": "theirs", "NEEDED": {}, "C": "3"}
    formation = {"web": {"quantity": 9, "size": "eco"}, "worker": {"quantity": 2}}
    assert pushed(world, "one", env=env, formation=formation)[0] is JobState.LIVE
    live = world.ledger.current_release(SHOP)
    assert live
    assert live.config == {"A": Secret("mine"), "NEEDED": Secret("here"), "C": Secret("3")}
    assert live.settings == replace(settings, formation=Formation({"web": 1, "worker": 2}))


def test_required_config_that_nobody_has_set_refuses_the_first_push(world: World) -> None:
    state, log = pushed(world, "one", env={"DATABASE_URL": {"description": "where"}, "KEY": {}, "OK": "1"})
    assert state is JobState.FAILED
    assert "app.json requires config that is not set: DATABASE_URL, KEY" in log
    assert "gitreceive config set shop DATABASE_URL=\u2026 KEY=\u2026" in log
    assert world.builder.requests == []
    assert world.head.is_zero


def test_an_app_json_that_is_not_understood_refuses_the_push_before_the_build(world: World) -> None:
    job = world.deploy(world.commit_files({"app.json": '{\n  "cron": [{"schedule": "@never"}]\n}'}))
    assert job.state is JobState.FAILED
    assert job.reason == "app.json, line 2, column 12: cron[0]: has no command"
    assert world.builder.requests == []


def test_each_release_has_what_its_source_declares_and_a_rollback_brings_it_back(world: World) -> None:
    checks = {"web": [{"path": "/up"}]}
    pushed(world, "one", healthchecks=checks, cron=[{"schedule": "@daily", "command": "clean"}])
    pushed(world, "two")
    second = world.ledger.current_release(SHOP)
    assert second
    assert (second.declared.health, second.declared.cron) == ({}, ())
    world.ask(Rollback(SHOP, ADA, 1))
    world.ask(ConfigChange(SHOP, ADA, {"A": Secret("1")}))
    live = world.ledger.current_release(SHOP)
    assert live
    assert live.number == 4
    assert live.declared.cron == (CronTask("@daily", "clean"),)
    assert [check.path for check in live.declared.health["web"]] == ["/up"]


def test_scripts_run_around_the_roll_out_and_postdeploy_after_the_first_alone(world: World) -> None:
    world.builder.processes = (ProcessType("web"), ProcessType("release"))
    pushed(world, "one", scripts=SCRIPTS)
    assert world.target.calls == [
        "run predeploy of v1",
        "run release of v1",
        "roll out v1",
        "run postdeploy of v1",
        "run postdeploy of v1",
    ]
    world.target.calls.clear()
    state, log = pushed(world, "two", scripts=SCRIPTS)
    assert state is JobState.LIVE
    assert world.target.calls == [
        "run predeploy of v2",
        "run release of v2",
        "roll out v2",
        "run postdeploy of v2",
    ]
    assert "Running scripts.dokku.predeploy of v2" in log
    assert "Running scripts.dokku.postdeploy of v2" in log


def test_they_run_again_with_another_config_and_not_where_all_of_it_was_live(world: World) -> None:
    pushed(world, "one", scripts=SCRIPTS)
    world.target.calls.clear()
    world.ask(ConfigChange(SHOP, ADA, {"A": Secret("1")}))
    world.ask(Rollback(SHOP, ADA, 1))
    assert world.target.calls == [
        "run predeploy of v2",
        "roll out v2",
        "run postdeploy of v2",
        "roll out v3",
    ]


def test_a_predeploy_that_fails_stops_the_release(world: World) -> None:
    pushed(world, "one")
    world.target.exit_codes["predeploy"] = 3
    state, log = pushed(world, "two", scripts=SCRIPTS)
    assert state is JobState.FAILED
    assert "scripts.dokku.predeploy of app.json failed (exit 3)" in log
    assert world.target.running(SHOP) == 1
    assert "roll out v2" not in world.target.calls


def test_a_postdeploy_that_fails_is_told_and_the_release_stays(world: World) -> None:
    world.target.exit_codes["postdeploy"] = 4
    state, log = pushed(world, "one", scripts=SCRIPTS)
    assert state is JobState.LIVE
    assert "scripts.postdeploy of app.json failed (exit 4)" in log
    assert "v1 stays live all the same" in log
    assert world.target.running(SHOP) == 1


def test_a_postdeploy_that_cannot_be_run_or_is_stopped_is_told_and_the_release_stays(world: World) -> None:
    world.target.run_failure = UnavailableError("the cluster does not answer", hint="see to it")
    state, log = pushed(world, "one", scripts={"postdeploy": "seed"})
    assert (state, world.target.running(SHOP)) == (JobState.LIVE, 1)
    assert "scripts.postdeploy of app.json could not be run: the cluster does not answer" in log
    assert "see to it; v1 stays live all the same" in log
    world.target.run_failure = CanceledError("canceled by ada")
    state, log = pushed(world, "two", scripts={"dokku": {"postdeploy": "tell"}})
    assert (state, world.target.running(SHOP)) == (JobState.LIVE, 2)
    assert "scripts.dokku.postdeploy of app.json was stopped" in log


def test_a_server_that_was_killed_in_a_postdeploy_runs_it_again(world: World) -> None:
    world.target.run_failure = LeaseLostError("another server has it")
    world.enqueue(world.commit_files({"app.json": '{"scripts": {"postdeploy": "seed"}}'}))
    with pytest.raises(LeaseLostError):
        work(world.claim(), world.platform, Cancellation())
    world.let_leases_run_out()
    world.target.run_failure = None
    world.target.calls.clear()
    job = world.claim()
    work(job, world.platform, Cancellation())
    assert world.ledger.job(job.id).state is JobState.LIVE
    assert world.target.calls == ["run postdeploy of v1"]


def test_buildpacks_of_app_json_are_asked_for_last(world: World) -> None:
    pushed(world, "one", buildpacks=[{"url": "heroku/python"}])
    choice = world.builder.requests[-1].choice
    assert (choice.by, [str(wanted) for wanted in choice.group]) == ("app.json", ["gitreceive/python"])
    commit = world.commit_files(
        {"app.json": '{"buildpacks": [{"url": "a"}]}', ".buildpacks": "b\n"}, world.head
    )
    world.deploy(commit)
    choice = world.builder.requests[-1].choice
    assert (choice.by, choice.instead_of) == (".buildpacks", ("app.json",))


def test_what_is_promoted_takes_along_what_its_source_declares(world: World) -> None:
    pushed(world, "one", scripts=SCRIPTS, cron=[{"schedule": "@daily", "command": "clean"}])
    live = world.ledger.current_release(SHOP)
    assert live
    prod = AppName("prod")
    world.ledger.create_app(prod, ADA, "main")
    world.target.calls.clear()
    world.ask(Promotion(prod, ADA, SHOP, 1, live.image.ref.digest))
    promoted = world.ledger.current_release(prod)
    assert promoted
    assert promoted.declared == live.declared
    assert world.target.calls == [
        "run predeploy of v1",
        "roll out v1",
        "run postdeploy of v1",
        "run postdeploy of v1",
    ]
