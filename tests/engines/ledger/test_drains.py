"""Where apps' logs are sent, as the ledgers keep it."""

import pytest

from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import MOST_DRAINS, AppName, Secret, UserName
from gitreceive.ports import Ledger

SHOP, ADA = AppName("shop"), UserName("ada")
URL = Secret("https://token@logs.example.com/in")


def test_a_drain_is_kept_with_its_secrets_and_removed(ledger: Ledger) -> None:
    headers = {"Authorization": Secret("Bearer canary")}
    added = ledger.add_drain(SHOP, ADA, URL, headers)
    assert ledger.drains(SHOP) == ledger.drains() == (added,)
    assert (added.app, added.user, added.url, added.headers) == (SHOP, ADA, URL, headers)
    assert "canary" not in repr(added)
    assert ledger.remove_drain(SHOP, added.id) == added
    assert ledger.drains() == ()


def test_an_id_is_never_used_again(ledger: Ledger) -> None:
    first = ledger.add_drain(SHOP, ADA, URL, {})
    ledger.remove_drain(SHOP, first.id)
    assert ledger.add_drain(SHOP, ADA, URL, {}).id != first.id


def test_an_app_has_a_drain_once_and_only_so_many(ledger: Ledger) -> None:
    ledger.add_drain(SHOP, ADA, URL, {})
    with pytest.raises(ConflictError):
        ledger.add_drain(SHOP, ADA, URL, {})
    for number in range(1, MOST_DRAINS):
        ledger.add_drain(SHOP, ADA, Secret(f"https://{number}.example.com/"), {})
    with pytest.raises(ConflictError):
        ledger.add_drain(SHOP, ADA, Secret("https://more.example.com/"), {})


def test_what_is_not_there_is_told_and_drains_go_with_their_app(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError):
        ledger.add_drain(AppName("nowhere"), ADA, URL, {})
    added = ledger.add_drain(SHOP, ADA, URL, {})
    with pytest.raises(NotFoundError):
        ledger.remove_drain(AppName("blog"), added.id)
    ledger.delete_app(SHOP)
    assert ledger.drains() == ()
