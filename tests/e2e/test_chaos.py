"""scripts/chaos in small: several clients, a fixed order of kills, and nothing is lost."""

import json
import os
from collections.abc import Iterator
from itertools import islice

import pytest

from scripts.survival.chaos import STACK, Chaos, chaos
from scripts.survival.ground import ground
from scripts.survival.killing import order

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

_SEED = 5
_KILLS = 4


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    stacks = json.loads(os.environ["GITRECEIVE_TEST_STACK"])
    stack = next(entry for entry in stacks if entry["name"] == STACK)
    folder = tmp_path_factory.mktemp("chaos")
    with ground(folder, ()) as place, chaos(folder / "server", place, stack, _SEED, apps=2) as run:
        yield run


def test_nothing_is_lost_when_the_server_and_its_builds_are_killed(run: Chaos) -> None:
    run.run(islice(order(_SEED, ("server", "build")), _KILLS), every=_KILLS)
    assert run.found == []
    assert run.killer.number > 0
    assert run.told.accepted
