"""Users, teams, and what they were given."""

from datetime import timedelta

import pytest

from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import AppName, Given, Party, Reach, Role, Scope, User, UserName, draw_token
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, BLOG, BOB, SHOP

CI = UserName("ci")
WEB, OPS = UserName("web"), UserName("ops")


@pytest.fixture
def people(ledger: Ledger) -> Ledger:
    """Ann and bob, who own shop and blog, and ci, who owns nothing."""
    for name in (ANN, BOB, CI):
        ledger.add_key(name, "ssh-ed25519", f"KEY-{name}", "", f"SHA256:{name}", admin=False)
    return ledger


def test_a_user_may_be_there_before_any_key(empty: Ledger) -> None:
    assert empty.add_user(ANN, admin=True) == User(ANN, admin=True)
    empty.add_key(ANN, "ssh-ed25519", "A1", "", "SHA256:one", admin=False)
    assert empty.users() == (User(ANN, admin=True),)
    with pytest.raises(ConflictError, match="ann"):
        empty.add_user(ANN, admin=False)


def test_a_suspended_user_comes_in_by_nothing_until_taken_back(people: Ledger) -> None:
    drawn = draw_token()
    people.create_token(drawn, CI, "x", Reach(frozenset(Scope)), timedelta(days=1), CI)
    assert people.change_user(CI, suspended=True).suspended
    assert people.user(CI).suspended
    assert people.user_of_key("ssh-ed25519", "KEY-ci") is None
    key = people.key("ssh-ed25519", "KEY-ci")
    assert key
    assert key.user == CI
    assert people.grant_of_token(drawn.text) is None
    people.change_user(CI, suspended=False)
    assert people.user_of_key("ssh-ed25519", "KEY-ci") == User(CI, admin=False)
    assert people.grant_of_token(drawn.text)


def test_only_what_is_said_of_a_user_changes(people: Ledger) -> None:
    people.change_user(CI, admin=True)
    assert people.change_user(CI, suspended=True) == User(CI, admin=True, suspended=True)
    people.add_key(CI, "ssh-ed25519", "C2", "", "SHA256:two", admin=False)
    assert people.change_user(CI, admin=False) == User(CI, admin=False, suspended=True)
    with pytest.raises(NotFoundError, match="eve"):
        people.change_user(UserName("eve"), admin=True)


def test_a_removed_user_leaves_nothing_that_opens_anything(people: Ledger) -> None:
    drawn = draw_token()
    people.create_token(drawn, CI, "x", Reach(frozenset(Scope)), timedelta(days=1), CI)
    people.create_team(WEB)
    people.add_member(WEB, CI)
    people.give(Given(SHOP, Party(CI), Role.ADMIN))
    assert people.remove_user(CI).name == CI
    assert people.user_of_key("ssh-ed25519", "KEY-ci") is None
    assert people.grant_of_token(drawn.text) is None
    assert (people.access(SHOP), people.tokens(), people.teams()[0].members) == ((), (), ())
    people.add_user(CI, admin=False)
    assert people.role(CI, SHOP) is None
    with pytest.raises(NotFoundError, match="eve"):
        people.remove_user(UserName("eve"))


def test_who_owns_an_app_is_not_removed(people: Ledger) -> None:
    with pytest.raises(ConflictError, match="ann owns shop"):
        people.remove_user(ANN)
    people.set_owner(SHOP, BOB)
    assert people.app(SHOP).owner == BOB
    people.remove_user(ANN)
    for app, owner in ((SHOP, ANN), (AppName("none"), BOB)):
        with pytest.raises(NotFoundError):
            people.set_owner(app, owner)


def test_a_team_has_its_members_once_and_by_name(people: Ledger) -> None:
    assert people.create_team(WEB).members == ()
    for name in (CI, ANN, CI):
        people.add_member(WEB, name)
    people.create_team(OPS)
    assert [(team.name, team.members) for team in people.teams()] == [(OPS, ()), (WEB, (ANN, CI))]
    assert [team.name for team in people.teams(CI)] == [WEB]
    assert people.remove_member(WEB, CI).members == (ANN,)
    with pytest.raises(NotFoundError, match="ci"):
        people.remove_member(WEB, CI)
    with pytest.raises(NotFoundError, match="eve"):
        people.add_member(WEB, UserName("eve"))
    with pytest.raises(NotFoundError, match="none"):
        people.add_member(UserName("none"), CI)
    with pytest.raises(ConflictError, match="web"):
        people.create_team(WEB)


def test_a_role_is_the_best_of_ones_own_and_of_ones_teams(people: Ledger) -> None:
    assert people.role(CI, SHOP) is None
    people.create_team(WEB)
    people.add_member(WEB, CI)
    people.give(Given(SHOP, Party(WEB, team=True), Role.OPERATOR))
    assert people.role(CI, SHOP) is Role.OPERATOR
    people.give(Given(SHOP, Party(CI), Role.VIEWER))
    assert people.role(CI, SHOP) is Role.OPERATOR
    people.remove_member(WEB, CI)
    assert people.role(CI, SHOP) is Role.VIEWER
    assert people.role(CI, BLOG) is None
    assert people.role(BOB, SHOP) is None


def test_a_team_that_is_gone_gives_nothing_and_neither_does_one_of_its_name(people: Ledger) -> None:
    people.create_team(WEB)
    people.add_member(WEB, CI)
    people.give(Given(SHOP, Party(WEB, team=True), Role.ADMIN))
    assert people.delete_team(WEB).members == (CI,)
    assert people.role(CI, SHOP) is None
    people.create_team(WEB)
    people.add_member(WEB, CI)
    assert people.role(CI, SHOP) is None
    with pytest.raises(NotFoundError, match="ops"):
        people.delete_team(OPS)


def test_what_was_given_is_listed_by_app_and_by_user(people: Ledger) -> None:
    people.create_team(WEB)
    people.add_member(WEB, CI)
    given = [
        Given(BLOG, Party(WEB, team=True), Role.VIEWER),
        Given(SHOP, Party(BOB), Role.DEVELOPER),
        Given(SHOP, Party(CI), Role.VIEWER),
        Given(SHOP, Party(WEB, team=True), Role.OPERATOR),
    ]
    for one in reversed(given):
        people.give(one)
    assert people.access() == tuple(given)
    assert people.access(SHOP) == tuple(given[1:])
    assert people.access(user=CI) == (given[0], given[2], given[3])
    assert people.access(BLOG, BOB) == ()


def test_another_role_is_in_place_of_the_last_and_taken_is_taken(people: Ledger) -> None:
    people.give(Given(SHOP, Party(CI), Role.ADMIN))
    people.give(Given(SHOP, Party(CI), Role.VIEWER))
    assert people.role(CI, SHOP) is Role.VIEWER
    assert people.take(SHOP, Party(CI)).role is Role.VIEWER
    assert people.role(CI, SHOP) is None
    with pytest.raises(NotFoundError, match="ci"):
        people.take(SHOP, Party(CI))


def test_nothing_is_given_to_nobody_or_for_nothing(people: Ledger) -> None:
    for app, party in (
        (AppName("none"), Party(CI)),
        (SHOP, Party(UserName("eve"))),
        (SHOP, Party(WEB, team=True)),
        (SHOP, Party(CI, team=True)),
    ):
        with pytest.raises(NotFoundError):
            people.give(Given(app, party, Role.VIEWER))


def test_what_was_given_for_an_app_goes_with_it(people: Ledger) -> None:
    people.give(Given(SHOP, Party(CI), Role.ADMIN))
    people.delete_app(SHOP)
    people.create_app(SHOP, BOB, "main")
    assert people.role(CI, SHOP) is None
