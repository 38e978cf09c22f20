"""Rebase and stack update as they are typed: a real ledger, a registry in this process, and a runner beside the command line."""

from dataclasses import replace
from datetime import UTC, datetime

from gitreceive.cancellation import Cancellation
from gitreceive.errors import RolloutError
from gitreceive.jobs import JobRunner
from gitreceive.model import AppName, Stack, StackRecipe, UserName
from tests.cli.conftest import Cli
from tests.cli.people import has_key
from tests.cli.place import Place


def test_an_update_says_which_packages_changed_and_an_app_moves_by_a_rebase(
    cli: Cli, place: Place, runner: JobRunner
) -> None:
    place.live("shop")
    assert "Nothing to do: bookworm 1 is" in cli("stack", "update").ok().err
    assert cli("rebase", "shop", "--json").ok().json()[0]["result"] == "newest"
    place.offer("3.0.13")
    said = cli("stack", "update").ok().err
    assert "libssl3: 3.0.11 → 3.0.13" in said
    assert "bookworm 2 is there" in said
    assert place.versions("shop") == ["Deploy"]

    (planned,) = cli("rebase", "shop", "--dry-run", "--json", acting="alice").ok().json()
    assert (planned["result"], planned["build"]) == ("to_do", None)
    assert planned["from"] == {"stack": "bookworm", "version": 1}
    said = cli("rebase", "shop", acting="alice").ok().err

    assert "Rebasing shop v1 to bookworm 2" in said
    assert "shop v2 is live after" in said
    assert place.versions("shop") == ["Rebase to bookworm 2", "Deploy"]
    assert "Nothing to do: shop v2 is on bookworm 2" in cli("rebase", "--app", "shop").ok().err
    listed = cli("builds", "list", "--app", "shop", "--json").ok().json()[0]
    assert (listed["kind"], listed["title"], listed["commit"]) == ("rebase", "rebase to bookworm 2", None)
    assert "Rebasing shop v1" in cli("builds", "log", "--app", "shop").ok().out


def test_all_apps_are_rebased_and_those_that_cannot_be_are_told(
    cli: Cli, place: Place, runner: JobRunner
) -> None:
    for app in ("blog", "docker", "empty"):
        place.ledger.create_app(AppName(app), UserName("alice"), "main")
    place.live("shop")
    place.live("blog")
    place.live("docker", buildpacks=("dockerfile",))
    place.offer("3.0.13")
    cli("stack", "update").ok()

    said = cli("rebase", "--all", "--json").ok().json()

    results = {one["app"]: one["result"] for one in said}
    assert results == {"shop": "live", "blog": "live", "docker": "skipped", "empty": "skipped"}
    assert "Dockerfile" in next(one["reason"] for one in said if one["app"] == "docker")
    assert place.versions("blog") == ["Rebase to bookworm 2", "Deploy"]
    table = cli("rebase", "--all").ok().out
    assert [line.split()[0] for line in table.splitlines()] == ["APP", "blog", "docker", "empty", "shop"]


def test_a_failure_is_put_back_told_and_stops_no_other(cli: Cli, place: Place, runner: JobRunner) -> None:
    place.ledger.create_app(AppName("blog"), UserName("alice"), "main")
    place.live("shop")
    place.live("blog")
    place.offer("3.0.13")
    cli("stack", "update").ok()

    def crash(release: object, _cancel: Cancellation) -> None:
        if release.app == "blog":  # type: ignore[attr-defined]
            raise RolloutError("web crashed")

    place.target.during = crash
    said = cli("rebase", "--all", "--json")

    assert said.code == 1
    assert {one["app"]: (one["result"], one["reason"]) for one in said.json()} == {
        "blog": ("failed", "web crashed"),
        "shop": ("live", ""),
    }
    assert (place.versions("blog"), len(place.versions("shop"))) == (["Deploy"], 2)


def test_an_app_that_cannot_be_rebased_is_refused_by_name(cli: Cli, place: Place) -> None:
    place.live("shop", buildpacks=("dockerfile",))
    cli("rebase", "shop").failed(1, "built by its Dockerfile", "git push -o nocache")
    cli("rebase", "shop", "--stack", "trixie").failed(3, "no stack 'trixie'")


def test_without_a_server_nothing_is_asked_for(cli: Cli, place: Place) -> None:
    place.live("shop")
    place.offer("3.0.13")
    cli("stack", "update").ok()
    cli("rebase", "shop").failed(7, "no server works on", "gitreceive server")
    assert len(place.ledger.jobs(AppName("shop"))) == 1


def test_only_who_may_push_rebases_and_only_administrators_rebase_all(cli: Cli, place: Place) -> None:
    has_key(place.ledger, "bob")
    cli("rebase", "shop", acting="bob").failed(5, "bob may not")
    cli("rebase", "--all", acting="alice").failed(5, "only an administrator may rebase all apps")
    cli("rebase", "--all", "shop").failed(2, "--all is all apps")
    cli("stack", "update", acting="alice").failed(5, "stack")


def test_a_stack_that_cannot_be_updated_stays_as_it_was(cli: Cli, place: Place) -> None:
    before = place.ledger.stack_versions()
    del place.server.manifests["corp"]["current"]
    cli("stack", "update").failed(40, "there is no image")
    cli("stack", "update", "trixie").failed(3, "no stack 'trixie'")
    old = place.ledger.put_stack(replace(before[0], name="old", recipe=None))
    cli("stack", "update", "old").failed(4, "before recipes were kept", "gitreceive stack create old")
    assert place.ledger.stack_versions() == (*before, old)


def test_a_stack_tells_its_recipe_and_its_versions(cli: Cli, place: Place) -> None:
    place.offer("3.0.13")
    assert cli("stack", "update", "--json").ok().json()["changes"]["run"] == [
        {"package": "libssl3", "old": "3.0.11", "new": "3.0.13"}
    ]
    told = cli("stack", "info").ok().out
    assert f"bookworm: build image {place.address}:current" in told
    assert "build 1, run 1" in told
    versions = cli("stack", "info", "--json").ok().json()["versions"]
    assert [stack["version"] for stack in versions] == [2, 1]
    ref = place.ledger.stacks()[0].run
    made = Stack("geo", ref, ref, 1, 1, {}, datetime.now(UTC), StackRecipe("bookworm", ("libgdal32",)))
    place.ledger.put_stack(made)
    assert "geo: Debian bookworm with libgdal32" in cli("stack", "info", "geo").ok().out
