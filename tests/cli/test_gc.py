"""``gc`` as it is typed: a real ledger and a registry in this process."""

import pytest

from gitreceive.model import AppName, Secret
from tests.cli.conftest import Cli
from tests.cli.people import has_key
from tests.cli.place import Place

SHOP = AppName("shop")


@pytest.fixture
def four(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Four releases, of which two are kept."""
    monkeypatch.setenv("GITRECEIVE_RETENTION_RELEASES", "2")
    for text in ("one", "two", "three", "four"):
        place.live("shop", holding=text, config={"A": Secret("hush")})
    return place


def test_what_would_go_is_told_and_stays(cli: Cli, four: Place) -> None:
    said = cli("gc", "--app", "shop", "--dry-run").ok()
    assert "shop: 2 releases up to v2 and" in said.err
    assert "Would free 0 B here at least" in said.err
    assert "hush" not in said.err
    assert [release.kept for release in four.ledger.releases(SHOP)] == [True] * 4


def test_one_app_can_be_asked_for_by_whoever_may_push_to_it(cli: Cli, four: Place) -> None:
    has_key(four.ledger, "bob")
    has_key(four.ledger, "root", admin=True)
    cli("gc", "--app", "shop", "--dry-run", acting="bob").failed(5, "bob may not push to shop")
    cli("gc", acting="alice").failed(5, "only an administrator may collect of all apps")
    facts = cli("gc", "--app", "shop", "--dry-run", "--json", acting="alice").ok().json()
    assert (facts["dry_run"], facts["apps"][0]["releases"], facts["problems"]) == (True, [2, 1], [])
    assert facts["waiting"] == []
    cli("gc", "--app", "nobody").failed(3, "there is no app nobody")


def test_what_is_no_longer_kept_is_listed_and_cannot_be_rolled_back_to(cli: Cli, four: Place) -> None:
    assert four.ledger.hold(SHOP, "tests", 60)
    four.ledger.collect(SHOP, "tests", (1, 2))
    four.ledger.let_go(SHOP, "tests")
    assert cli("releases", "shop").ok().out.count("(no longer kept)") == 2
    listed = cli("releases", "shop", "--json").ok().json()
    assert [one["kept"] for one in listed] == [True, True, False, False]
    for words in (
        ("rollback", "shop", "v2"),
        ("releases", "info", "shop", "v1"),
        ("promote", "shop", "v1", "--to", "shop"),
    ):
        cli(*words).failed(3 if words[0] != "promote" else 2)
    cli("rollback", "shop", "v2").failed(3, "shop v2 is no longer kept", "c0ffee0")
