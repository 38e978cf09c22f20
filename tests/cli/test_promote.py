"""``promote`` as it is typed: a real ledger, a registry in this process, and a runner beside the command line."""

import pytest

from gitreceive.errors import RolloutError
from gitreceive.jobs import JobRunner
from gitreceive.model import AppName, Secret
from tests.cli.conftest import Cli
from tests.cli.people import has_key, owns
from tests.cli.place import Place

SHOP, PROD, EU = AppName("shop"), AppName("prod"), AppName("prod-eu")


@pytest.fixture
def three(place: Place) -> Place:
    """Shop has two releases; two more apps have none."""
    place.live("shop", config={"TOKEN": Secret("hush-1")})
    place.live("shop", config={"TOKEN": Secret("hush-2")}, holding="other")
    for name in (PROD, EU):
        place.ledger.create_app(name, place.ledger.app(SHOP).owner, "main")
        place.ledger.keep_config(name, {}, {"TOKEN": Secret(f"of-{name}")})
    return place


def test_what_is_live_is_given_to_several_apps_each_with_its_own_config(
    cli: Cli, three: Place, runner: JobRunner
) -> None:
    said = cli("promote", "shop", "--to", "prod", "--to", "prod-eu", acting="alice").ok().err
    for name in (PROD, EU):
        assert f"of {name}: promote shop v2" in said
        release = three.ledger.release(name, 1)
        assert release.image.ref.digest == three.ledger.release(SHOP, 2).image.ref.digest
        assert release.image.ref.repository.endswith(f"/{name}")
        assert release.config == {"TOKEN": Secret(f"of-{name}")}
        assert three.registry.layers(release.image.ref)
    assert three.versions("prod") == ["Promote shop v2"]
    again = cli("promote", "--app", "shop", "--to", "prod", "--json", acting="alice").ok()
    assert (again.json()[0]["result"], again.json()[0]["build"]) == ("unchanged", None)
    assert "Nothing to do: prod has shop v2 already" in again.err
    assert "hush" not in said + again.out + again.err


def test_an_earlier_release_can_be_promoted(cli: Cli, three: Place, runner: JobRunner) -> None:
    facts = cli("promote", "shop", "v1", "--to", "prod", "--json").ok().json()
    assert [(one["app"], one["result"], one["from_release"], one["release"]) for one in facts] == [
        ("prod", "live", 1, 1)
    ]
    assert cli("promote", "-a", "shop", "--to", "prod", "--json").ok().json()[0]["release"] == 2


def test_what_does_not_come_up_is_told_and_exits_1(cli: Cli, three: Place, runner: JobRunner) -> None:
    three.target.failure = RolloutError("web crashed")
    said = cli("promote", "shop", "--to", "prod", "--json")
    assert said.code == 1
    assert (said.json()[0]["result"], said.json()[0]["reason"]) == ("failed", "web crashed")


def test_who_may_not_see_the_one_or_push_to_the_other_is_refused(cli: Cli, three: Place) -> None:
    owns(three.ledger, "bob", "bobs")
    has_key(three.ledger, "carol")
    cli("promote", "shop", "--to", "bobs", acting="bob").failed(5, "bob may not see shop")
    cli("promote", "shop", "--to", "bobs", acting="alice").failed(5, "alice may not push to bobs")
    assert [job.app for job in three.ledger.jobs()] == ["shop", "shop"]


def test_where_one_is_locked_none_begins(cli: Cli, three: Place) -> None:
    cli("lock", "--app", "prod-eu", "-m", "the sale runs").ok()
    cli("promote", "shop", "--to", "prod", "--to", "prod-eu").failed(4, "prod-eu is locked", "the sale runs")
    assert len(three.ledger.jobs()) == 2


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (("shop", "--to", "shop"), ("cannot be promoted to itself", "gitreceive redeploy shop")),
        (("prod", "--to", "shop"), ("nothing of prod is live",)),
        (("shop", "v9", "--to", "prod"), ("there is no release v9 of shop",)),
        (("shop", "--to", "nobody"), ("there is no app nobody",)),
        (("shop", "--to", "prod", "--to", "nobody"), ("there is no app nobody",)),
        (("shop", "--to", "prod"), ("no server works on",)),
    ],
)
def test_what_cannot_be_promoted_is_refused_before_anything_begins(
    cli: Cli, three: Place, words: tuple[str, ...], texts: tuple[str, ...]
) -> None:
    said = cli("promote", *words)
    assert said.code != 0
    for text in texts:
        assert text in said.err
    assert len(three.ledger.jobs()) == 2


def test_to_whom_must_be_said(cli: Cli, three: Place) -> None:
    assert "--to" in cli("promote", "shop").err
