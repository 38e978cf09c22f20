"""A locked app is changed by nobody, and says who locked it."""

from collections.abc import Callable

import pytest

from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import AppSettings, Formation, Secret
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, BLOG, BOB, SHOP, push, rollback, settings_change

_CHANGES: dict[str, Callable[[Ledger], object]] = {
    "a push": lambda ledger: ledger.enqueue(push()),
    "a rollback": lambda ledger: ledger.enqueue(rollback()),
    "settings": lambda ledger: ledger.enqueue(settings_change()),
    "settings that are kept": lambda ledger: ledger.keep_settings(
        SHOP, AppSettings(), AppSettings(formation=Formation({"web": 2}))
    ),
    "config that is kept": lambda ledger: ledger.keep_config(SHOP, {}, {"A": Secret("1")}),
    "buildpacks": lambda ledger: ledger.set_buildpacks(SHOP, (), ("x/a",)),
    "another lock": lambda ledger: ledger.lock_app(SHOP, BOB, "mine"),
    "its removal": lambda ledger: ledger.delete_app(SHOP),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_a_locked_app_is_not_changed(ledger: Ledger, change: str) -> None:
    locked = ledger.lock_app(SHOP, ANN, "the sale runs").lock
    assert locked
    assert ledger.app(SHOP).lock == locked
    with pytest.raises(ConflictError, match=r"shop is locked by ann since .* UTC: the sale runs") as error:
        _CHANGES[change](ledger)
    assert "gitreceive unlock shop" in error.value.hint
    assert ledger.jobs() == ()
    ledger.unlock_app(SHOP)
    assert ledger.app(SHOP).lock is None
    _CHANGES[change](ledger)


def test_other_apps_go_on_and_what_was_asked_for_before_is_done(ledger: Ledger) -> None:
    job = ledger.enqueue(push())
    ledger.lock_app(SHOP, ANN, "the sale runs")
    ledger.enqueue(push(BLOG))
    claimed = ledger.claim("server", 60)
    assert claimed
    assert claimed.id == job.id


def test_what_is_open_can_be_opened_and_what_is_not_there_cannot(ledger: Ledger) -> None:
    assert ledger.unlock_app(SHOP).lock is None
    ledger.delete_app(SHOP)
    with pytest.raises(NotFoundError):
        ledger.lock_app(SHOP, ANN, "why not")
    with pytest.raises(NotFoundError):
        ledger.unlock_app(SHOP)
