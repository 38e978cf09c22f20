"""How many are served at once."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from gitreceive.config.limits import LimitSettings
from gitreceive.errors import UnavailableError
from gitreceive.model import AppName, UserName
from gitreceive.receive.crowd import Crowd

ANN, BOB, CAT = UserName("ann"), UserName("bob"), UserName("cat")
SHOP, BLOG, WIKI = AppName("shop"), AppName("blog"), AppName("wiki")
FEW = LimitSettings(sessions=3, user_sessions=2, receiving=3, user_receiving=2, app_receiving=2)


def test_a_user_has_no_more_sessions_than_they_may() -> None:
    crowd = Crowd(FEW)
    with crowd.session(ANN), crowd.session(ANN):
        with pytest.raises(UnavailableError, match="ann has 2 sessions at once already") as full:
            crowd.session(ANN)
        assert "limits.user_sessions" in full.value.hint
        with crowd.session(BOB):
            pass


def test_all_together_have_no_more_sessions_than_the_server_serves() -> None:
    crowd = Crowd(FEW)
    with crowd.session(ANN), crowd.session(ANN), crowd.session(BOB):
        with pytest.raises(UnavailableError, match="the server has 3 sessions at once already") as full:
            crowd.session(CAT)
        assert "limits.sessions" in full.value.hint


def test_a_place_that_is_left_is_free_for_the_next_and_is_left_only_once() -> None:
    crowd = Crowd(FEW)
    first, second = crowd.session(ANN), crowd.session(ANN)
    first.leave()
    first.leave()
    third = crowd.session(ANN)
    with pytest.raises(UnavailableError):
        crowd.session(ANN)
    second.leave()
    third.leave()


def test_a_push_waits_until_another_has_been_received() -> None:
    async def tell() -> list[str]:
        crowd, said = Crowd(FEW), []

        async def receive(user: UserName, app: AppName, until: asyncio.Event) -> None:
            async with crowd.receiving(user, app) as place:
                said.append(f"{user} begins")
                await until.wait()
                place.leave()

        one, other = asyncio.Event(), asyncio.Event()
        tasks = [asyncio.create_task(receive(ANN, app, one)) for app in (SHOP, BLOG)]
        await asyncio.sleep(0)
        waits = asyncio.create_task(receive(ANN, WIKI, other))
        passes = asyncio.create_task(receive(BOB, WIKI, other))
        await asyncio.sleep(0.01)
        assert said == ["ann begins", "ann begins", "bob begins"]
        one.set()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0.01)
        other.set()
        await asyncio.gather(waits, passes)
        return said

    assert asyncio.run(tell()) == ["ann begins", "ann begins", "bob begins", "ann begins"]


@pytest.mark.parametrize(
    ("pushes", "who"),
    [([(ANN, SHOP), (BOB, SHOP)], "shop"), ([(ANN, SHOP), (BOB, BLOG), (BOB, BLOG)], "the server")],
)
def test_a_push_that_has_waited_too_long_is_told_which_limit_it_met(
    pushes: list[tuple[UserName, AppName]], who: str
) -> None:
    async def tell() -> None:
        crowd = Crowd(FEW, patience=0.01)
        async with AsyncExitStack() as stack:
            for user, app in pushes:
                await stack.enter_async_context(crowd.receiving(user, app))
            async with crowd.receiving(CAT, SHOP):
                pass

    with pytest.raises(
        UnavailableError, match=f"{who} has . pushes to receive at once already; nothing was changed"
    ):
        asyncio.run(tell())
