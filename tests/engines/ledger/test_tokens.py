"""Tokens: shown once, kept hashed, and good for what they were made for and as long."""

from datetime import UTC, datetime, timedelta

import pytest

from gitreceive.errors import NotFoundError
from gitreceive.model import NewToken, Reach, Scope, Secret, Token, draw_token
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, BLOG, BOB, SHOP, opened
from tests.fake_ledger import FakeLedger

DAY = timedelta(days=1)
DEPLOY = Reach(frozenset({Scope.DEPLOY}), frozenset({SHOP, BLOG}))
_NARROW = Reach(frozenset({Scope.READ}))


def has_key(ledger: Ledger) -> None:
    ledger.add_key(ANN, "ssh-ed25519", "A1", "", "SHA256:one", admin=False)


def made(ledger: Ledger, reach: Reach = DEPLOY, lifetime: timedelta = DAY) -> tuple[NewToken, Token]:
    drawn = draw_token()
    return drawn, ledger.create_token(drawn, ANN, "ci", reach, lifetime, BOB)


def test_a_token_gives_its_user_as_far_as_it_was_made_for(ledger: Ledger) -> None:
    has_key(ledger)
    drawn, token = made(ledger)
    grant = ledger.grant_of_token(drawn.text)
    assert grant
    assert (grant.user.name, grant.user.admin, grant.user.reach) == (ANN, False, DEPLOY)
    assert grant.token.id == token.id == drawn.id
    assert (token.name, token.created_by, token.expires_at - token.created_at) == ("ci", BOB, DAY)
    assert ledger.grant_of_id(token.id)


def test_a_token_of_all_apps_is_not_one_of_none(ledger: Ledger) -> None:
    has_key(ledger)
    for reach in (Reach(frozenset(Scope)), Reach(frozenset({Scope.READ}), frozenset())):
        drawn, _ = made(ledger, reach)
        grant = ledger.grant_of_token(drawn.text)
        assert grant
        assert grant.user.reach == reach


def test_what_is_no_token_gives_nothing(ledger: Ledger) -> None:
    has_key(ledger)
    drawn, token = made(ledger)
    text = drawn.text.reveal()
    other = draw_token()
    wrong = (
        "",
        text[:-1],
        text + "A",
        text.upper(),
        f" {text}",
        f"{text}\n",
        f"grt_{token.id}_{'A' * 43}",
        other.text.reveal(),
        text.replace(token.id, other.id),
        f"grt_{token.id}_{drawn.hash[:43]}",
        "grt_' OR 1=1 --_x",
        "ü" * 60,
    )
    assert [ledger.grant_of_token(Secret(shown)) for shown in wrong] == [None] * len(wrong)
    assert ledger.tokens()[0].last_used_at is None


def test_a_revoked_token_gives_nothing_and_the_others_go_on(ledger: Ledger) -> None:
    has_key(ledger)
    drawn, token = made(ledger)
    kept, _ = made(ledger)
    assert ledger.revoke_token(token.id).id == token.id
    assert ledger.grant_of_token(drawn.text) is None
    assert ledger.grant_of_id(token.id) is None
    assert ledger.grant_of_token(kept.text)
    with pytest.raises(NotFoundError, match=token.id):
        ledger.revoke_token(token.id)


def test_an_expired_token_gives_nothing_and_is_still_listed(ledger: Ledger) -> None:
    has_key(ledger)
    drawn, token = made(ledger, lifetime=timedelta(0))
    assert ledger.grant_of_token(drawn.text) is None
    assert ledger.grant_of_id(token.id) is None
    assert [known.id for known in ledger.tokens()] == [token.id]


def test_that_a_token_was_used_is_noted(ledger: Ledger) -> None:
    has_key(ledger)
    drawn, token = made(ledger)
    assert token.last_used_at is None
    ledger.grant_of_token(drawn.text)
    (used,) = ledger.tokens(ANN)
    assert used.last_used_at
    assert abs(used.last_used_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert ledger.tokens(BOB) == ()


def test_a_token_is_for_somebody_who_is_there(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="ann"):
        made(ledger, _NARROW)


def test_no_token_can_be_read_from_the_ledger(sqlite_url: str) -> None:
    ledger = opened(sqlite_url)
    has_key(ledger)
    drawn, _ = made(ledger)
    secret = drawn.text.reveal().rpartition("_")[2]
    with ledger._database.reading() as connection:
        rows = str(connection.exec_driver_sql("SELECT * FROM tokens").fetchall())
    assert drawn.hash in rows
    assert secret not in rows
    assert secret not in repr(drawn)
    ledger.close()


def test_the_use_of_a_token_is_written_once_a_minute(sqlite_url: str) -> None:
    ledger = opened(sqlite_url)
    has_key(ledger)
    drawn, _ = made(ledger)
    ledger.grant_of_token(drawn.text)
    before = ledger.tokens()
    ledger.grant_of_token(drawn.text)
    assert ledger.tokens() == before
    ledger.close()


def test_a_token_expires_by_the_ledgers_clock() -> None:
    time = datetime(2026, 1, 1, tzinfo=UTC)
    ledger = FakeLedger(lambda: time)
    has_key(ledger)
    drawn, _ = made(ledger)
    assert ledger.grant_of_token(drawn.text)
    time += DAY
    assert ledger.grant_of_token(drawn.text) is None
