"""Who may do what: by role, and by what a token was made for."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from gitreceive import model
from gitreceive.access import check_admin, check_person, check_whole, may, permitted, require
from gitreceive.acting import Actor
from gitreceive.errors import ForbiddenError
from gitreceive.model import (
    App,
    AppName,
    Permission,
    Reach,
    Role,
    Scope,
    User,
    UserName,
    parse_role,
    parse_scope,
)
from gitreceive.stories.revocation import withdrawn
from tests.fake_ledger import FakeLedger

SHOP = App(AppName("shop"), UserName("ann"), "main", datetime(2026, 1, 1, tzinfo=UTC))
BOB = User(UserName("bob"), admin=False)
ANN = User(UserName("ann"), admin=False)
ROOT = User(UserName("root"), admin=True)
V, D, C, P, A = Permission  # P: operate


@dataclass(frozen=True)
class Given:
    """The same role for everybody."""

    has: Role | None = None

    def role(self, user: UserName, app: AppName) -> Role | None:
        return self.has


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (None, set()),
        (Role.VIEWER, {V}),
        (Role.DEVELOPER, {V, D, C}),
        (Role.OPERATOR, {V, D, C, P}),
        (Role.ADMIN, {V, D, C, P, A}),
    ],
)
def test_each_role_allows_what_the_page_says(role: Role | None, allowed: set[Permission]) -> None:
    assert permitted(BOB, SHOP, Given(role)) == allowed
    for permission in Permission:
        assert may(permission, BOB, SHOP, Given(role)) == (permission in allowed)


def test_an_owner_and_the_servers_administrators_may_all_whatever_they_were_given() -> None:
    for user in (ANN, ROOT):
        for role in (None, Role.VIEWER):
            assert permitted(user, SHOP, Given(role)) == set(Permission)


def test_a_higher_role_allows_all_that_a_lower_one_does() -> None:
    ranked = sorted(Role, key=lambda role: role.rank)
    assert ranked[0] is Role.VIEWER
    for low, high in pairwise(ranked):
        assert permitted(BOB, SHOP, Given(low)) < permitted(BOB, SHOP, Given(high))


@pytest.mark.parametrize(
    ("scopes", "reached"),
    [
        ({Scope.READ}, {V}),
        ({Scope.DEPLOY}, {V, D}),
        ({Scope.CONFIG}, {V, C}),
        ({Scope.DEPLOY, Scope.CONFIG}, {V, D, C}),
        ({Scope.ALL}, set(Permission)),
        (set(), set()),
    ],
)
def test_a_token_narrows_what_its_user_may_and_widens_nothing(
    scopes: set[Scope], reached: set[Permission]
) -> None:
    reach = Reach(frozenset(scopes))
    for who in (ANN, ROOT):
        token = User(who.name, who.admin, reach=reach)
        assert permitted(token, SHOP, Given()) == reached
    viewer = User(BOB.name, admin=False, reach=reach)
    assert permitted(viewer, SHOP, Given(Role.VIEWER)) == reached & {V}
    assert permitted(viewer, SHOP, Given()) == set()


def test_a_token_of_other_apps_gives_nothing_here() -> None:
    for apps in (frozenset[AppName](), frozenset({AppName("blog")})):
        assert (
            permitted(User(ANN.name, admin=True, reach=Reach(frozenset(Scope), apps)), SHOP, Given()) == set()
        )
    own = Reach(frozenset({Scope.DEPLOY}), frozenset({SHOP.name}))
    assert permitted(User(ANN.name, admin=False, reach=own), SHOP, Given()) == {V, D}


def test_what_was_given_for_an_app_holds_for_its_review_apps() -> None:
    ledger = FakeLedger()
    ledger.create_app(SHOP.name, ANN.name, "main")
    ledger.add_user(BOB.name, admin=False)
    ledger.give(model.Given(SHOP.name, model.Party(BOB.name), Role.DEVELOPER))
    until = datetime(2026, 2, 1, tzinfo=UTC)
    review = ledger.create_app(AppName("shop-fix"), ANN.name, "fix", model.Review(SHOP.name, "fix", until))
    assert permitted(BOB, review, ledger) == {V, D, C}
    token = User(BOB.name, admin=False, reach=Reach(frozenset({Scope.DEPLOY}), frozenset({SHOP.name})))
    assert permitted(token, review, ledger) == {V, D}
    other = User(BOB.name, admin=False, reach=Reach(frozenset({Scope.DEPLOY}), frozenset({AppName("x")})))
    assert permitted(other, review, ledger) == set()


def test_who_is_suspended_may_nothing() -> None:
    for user in (User(ANN.name, admin=False, suspended=True), User(ROOT.name, admin=True, suspended=True)):
        assert permitted(user, SHOP, Given(Role.ADMIN)) == set()
        with pytest.raises(ForbiddenError, match="suspended"):
            require(V, user, SHOP, Given(Role.ADMIN))
        for check in (check_admin, check_person, check_whole):
            with pytest.raises(ForbiddenError, match="suspended"):
                check(user, "do it")


def test_a_refusal_says_what_who_and_whom_to_ask() -> None:
    with pytest.raises(ForbiddenError, match="bob may not push to shop") as caught:
        require(D, BOB, SHOP, Given(Role.VIEWER))
    assert "ann" in caught.value.hint
    assert "access add shop bob" in caught.value.hint
    token = User(ANN.name, admin=False, reach=Reach(frozenset({Scope.READ})))
    with pytest.raises(ForbiddenError, match="token of ann does not reach so far: it may not push to shop"):
        require(D, token, SHOP, Given())


def test_a_token_administers_the_server_only_if_it_was_made_for_all_and_makes_nothing_that_outlives_it() -> (
    None
):
    everything = User(ROOT.name, admin=True, reach=Reach(frozenset({Scope.ALL})))
    check_admin(everything, "do it")
    for reach in (Reach(frozenset({Scope.DEPLOY})), Reach(frozenset({Scope.ALL}), frozenset({SHOP.name}))):
        with pytest.raises(ForbiddenError, match="token"):
            check_admin(User(ROOT.name, admin=True, reach=reach), "do it")
    with pytest.raises(ForbiddenError, match="no token may make tokens"):
        check_person(everything, "make tokens")
    with pytest.raises(ForbiddenError, match="only an administrator may do it"):
        check_admin(BOB, "do it")


def test_nothing_is_withdrawn_from_whom_nothing_was_taken() -> None:
    ledger = FakeLedger()
    ledger.add_key(BOB.name, "ssh-ed25519", "B1", "", "SHA256:one", admin=False)
    ledger.create_app(SHOP.name, BOB.name, "main")
    actor = Actor(BOB.name, key="SHA256:one")
    assert withdrawn(actor, [(SHOP.name, D)], ledger) == ""
    ledger.delete_app(SHOP.name)
    assert withdrawn(actor, [(SHOP.name, D)], ledger) == ""
    ledger.create_app(SHOP.name, ANN.name, "main")
    assert withdrawn(actor, [(SHOP.name, D)], ledger) == "bob may no longer deploy shop"
    assert withdrawn(Actor(BOB.name, key="SHA256:two"), (), ledger) == "the key SHA256:two was removed"
    assert "no longer good" in withdrawn(Actor(BOB.name, token="abc"), (), ledger)


def test_roles_and_scopes_that_there_are_not_are_told_with_those_that_there_are() -> None:
    assert (parse_role("viewer"), parse_scope("all")) == (Role.VIEWER, Scope.ALL)
    for parse in (parse_role, parse_scope):
        with pytest.raises(Exception, match="'root' is not a") as caught:
            parse("root")
        assert "use one of" in getattr(caught.value, "hint", "")
