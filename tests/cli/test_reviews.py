from datetime import UTC, datetime, timedelta

import pytest

from gitreceive.model import App, AppName, Review, ReviewRules, UserName
from tests.cli.conftest import Cli
from tests.cli.people import has_key
from tests.cli.place import Place

SHOP = AppName("shop")
UNTIL = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def review(place: Place, branch: str = "fix") -> App:
    name = AppName(f"shop-{branch}")
    return place.ledger.create_app(name, UserName("alice"), branch, Review(SHOP, branch, UNTIL))


def test_review_apps_are_listed_with_their_app_and_on_their_own(cli: Cli, place: Place) -> None:
    assert "git push -o review shop BRANCH" in cli("reviews", "list", "shop").ok().err
    review(place)
    (found,) = cli("reviews", "list", "shop", "--json", acting="alice").ok().json()
    assert (found["name"], found["branch"], found["release"]) == ("shop-fix", "fix", None)
    assert datetime.fromisoformat(found["until"]) == UNTIL
    assert "shop-fix" in cli("reviews", "list", "--app", "shop").ok().out
    assert cli("apps", "info", "shop", "--json").ok().json()["reviews"] == ["shop-fix"]
    info = cli("apps", "info", "shop-fix", "--json").ok().json()
    assert info["review_of"] == "shop, branch fix"
    assert info["git_url"].endswith("/shop")
    listed = {app["name"]: app["review_of"] for app in cli("apps", "list", "--json").ok().json()}
    assert listed == {"shop": None, "shop-fix": "shop"}


def test_rules_are_set_one_by_one_and_shown(cli: Cli, place: Place) -> None:
    assert place.ledger.app(SHOP).reviews == ReviewRules(seconds=5 * 86400)
    cli("reviews", "set", "shop", "--on").ok()
    cli("reviews", "set", "shop", "--lifetime", "12h", "--inherit", "A, B,A").ok()
    assert place.ledger.app(SHOP).reviews == ReviewRules(True, 12 * 3600, ("A", "B"))
    shown = cli("reviews", "set", "shop", "--off", "--inherit", "", "--json", acting="alice").ok().json()
    assert shown == {"app": "shop", "on": False, "lifetime": 43200, "inherit": []}
    said = cli("reviews", "set", "--app", "shop").ok().out
    assert [line.split()[0] for line in said.splitlines()] == ["made", "lifetime", "inherit"]
    assert "12h after" in said


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--lifetime", "soon"), 2, "'soon' is not a length of time"),
        (("--lifetime", "1s"), 2, "1s is not between 60 s and a year"),
        (("--lifetime", "999d"), 2, "999d is not between"),
        (("--inherit", "A-B"), 2, "'A-B' is not the name of a variable"),
    ],
)
def test_rules_that_cannot_be_are_refused(
    cli: Cli, place: Place, words: tuple[str, ...], code: int, text: str
) -> None:
    cli("reviews", "set", "shop", *words).failed(code, text)
    assert place.ledger.app(SHOP).reviews == ReviewRules()


def test_a_review_app_has_no_rules_of_its_own(cli: Cli, place: Place) -> None:
    review(place)
    cli("reviews", "set", "shop-fix", "--on").failed(2, "is a review app itself", "set it for shop")


def test_who_may_not_see_the_app_sees_no_review_of_it(cli: Cli, place: Place) -> None:
    has_key(place.ledger, "bob")
    review(place)
    for words in (("list", "shop"), ("set", "shop", "--on"), ("list", "shop-fix")):
        cli("reviews", *words, acting="bob").failed(5, "bob may not")


def test_a_review_app_that_is_kept_longer_is_listed_so(cli: Cli, place: Place) -> None:
    place.ledger.keep_review(review(place).name, UNTIL + timedelta(days=1))
    assert "2026-01-03T03:04:05" in cli("reviews", "list", "shop").ok().out
