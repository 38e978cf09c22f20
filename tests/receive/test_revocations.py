"""Open sessions end when what they stand on is taken away, however many are open."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any

import pytest

from gitreceive.acting import Actor
from gitreceive.errors import UnavailableError
from gitreceive.model import AppName, Happening, Outcome, Permission, User, UserName
from gitreceive.receive import revocations
from gitreceive.receive.revocations import Revocations
from tests.fake_ledger import FakeLedger

ANN, BEN, SHOP = UserName("ann"), UserName("ben"), AppName("shop")
NEEDS = (SHOP, Permission.VIEW)


class CountingLedger(FakeLedger):
    """``asked`` for people, ``looks`` for events; the next ``broken`` looks fail."""

    asked = looks = broken = 0
    spoilt = False

    def user(self, name: UserName) -> User:
        self.asked += 1
        return super().user(name)

    def newest_event(self, after: int = 0, but: Collection[str] = ()) -> int:
        self.looks += 1
        if self.spoilt:
            raise RuntimeError("unforeseen")
        if self.broken:
            self.broken -= 1
            raise UnavailableError("the ledger does not answer")
        return super().newest_event(after, but)


@pytest.fixture
def ledger() -> CountingLedger:
    ledger = CountingLedger()
    for name in (ANN, BEN):
        ledger.add_user(name, admin=False)
        ledger.create_app(AppName(f"{SHOP}-{name}") if name != ANN else SHOP, name, "main")
    return ledger


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "_SECONDS", 0.01)
    monkeypatch.setattr(revocations, "_GRACE", 0.0)


def meanwhile(ledger: FakeLedger, act: Callable[[Revocations], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(act(Revocations(ledger)))


async def looked(ledger: CountingLedger, times: int = 3) -> None:
    until = ledger.looks + times
    while ledger.looks < until:  # noqa: ASYNC110  what is waited for is done in another thread
        await asyncio.sleep(0.005)


def pushed(ledger: FakeLedger, verb: str = "push") -> None:
    ledger.record(Happening(ANN, "key", "", verb, SHOP, "build 1", Outcome.DONE))


def test_whoever_is_suspended_leaves_and_nobody_else(ledger: CountingLedger) -> None:
    async def act(open_: Revocations) -> None:
        ann = [asyncio.create_task(open_.withdrawal(Actor(ANN), NEEDS)) for _ in range(3)]
        ben = asyncio.create_task(open_.withdrawal(Actor(BEN)))
        await looked(ledger)
        assert not any(task.done() for task in (*ann, ben))
        ledger.change_user(ANN, suspended=True)
        for task in ann:
            assert "ann" in await asyncio.wait_for(task, 10)
        await looked(ledger)
        assert not ben.done()
        ben.cancel()

    meanwhile(ledger, act)


def test_what_was_taken_before_the_first_look_ends_the_session(ledger: CountingLedger) -> None:
    async def act(open_: Revocations) -> None:
        stays = asyncio.create_task(open_.withdrawal(Actor(BEN)))
        await looked(ledger)
        ledger.change_user(ANN, suspended=True)
        await looked(ledger)
        assert "ann" in await asyncio.wait_for(open_.withdrawal(Actor(ANN)), 10)
        stays.cancel()

    meanwhile(ledger, act)


def test_many_sessions_cost_one_look_and_pushes_cost_none_at_people(ledger: CountingLedger) -> None:
    async def act(open_: Revocations) -> None:
        tasks = [asyncio.create_task(open_.withdrawal(Actor(ANN), NEEDS)) for _ in range(200)]
        await looked(ledger)
        asked, looks = ledger.asked, ledger.looks
        assert asked <= 2  # one for all, who have the same
        for _ in range(5):
            pushed(ledger)
            pushed(ledger, "build")
            await looked(ledger, 1)
        assert ledger.asked == asked
        assert ledger.looks - looks < 50
        pushed(ledger, "keys remove")
        await looked(ledger)
        assert ledger.asked == asked + 1
        for task in tasks:
            task.cancel()

    meanwhile(ledger, act)


def test_what_could_not_be_looked_at_is_looked_at_again(ledger: CountingLedger) -> None:
    async def act(open_: Revocations) -> None:
        task = asyncio.create_task(open_.withdrawal(Actor(ANN)))
        await looked(ledger)
        ledger.broken = 3
        ledger.change_user(ANN, suspended=True)
        assert "ann" in await asyncio.wait_for(task, 10)

    meanwhile(ledger, act)


def test_nobody_looks_once_all_have_left_and_again_for_the_next(ledger: CountingLedger) -> None:
    async def act(open_: Revocations) -> None:
        task = asyncio.create_task(open_.withdrawal(Actor(ANN)))
        await looked(ledger)
        task.cancel()
        await asyncio.sleep(0.1)
        before = ledger.looks
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(0.1)
        assert ledger.looks == before
        task = asyncio.create_task(open_.withdrawal(Actor(ANN)))
        await looked(ledger)
        task.cancel()

    meanwhile(ledger, act)


def test_where_looking_fails_unforeseen_nobody_goes_on_unseen(ledger: CountingLedger) -> None:
    async def act(open_: Revocations) -> None:
        tasks = [asyncio.create_task(open_.withdrawal(Actor(who))) for who in (ANN, BEN)]
        await looked(ledger)
        ledger.spoilt = True
        for task in tasks:
            with pytest.raises(RuntimeError, match="unforeseen"):
                await asyncio.wait_for(task, 10)

    meanwhile(ledger, act)
