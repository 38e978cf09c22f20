"""The short form of scripts/load: with fewer at once, no promise is broken. How long it takes is for the long form to say."""

import pytest

from scripts.loading.connections import connections
from scripts.loading.followers import followers
from scripts.loading.ground import Ground
from scripts.loading.many_apps import many_apps
from scripts.loading.race import race
from scripts.loading.rate import rate
from tests.e2e.world import Server

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


@pytest.fixture
def ground(docker_server: Server) -> Ground:
    return Ground(docker_server)


def test_many_pushes_to_many_apps_at_once_all_go_live(ground: Ground) -> None:
    assert many_apps(ground, apps=4).faults == []


def test_of_many_who_push_to_one_app_exactly_one_wins_each_round(ground: Ground) -> None:
    assert race(ground, clients=4, rounds=2).faults == []


def test_many_connections_at_once_are_all_served(ground: Ground) -> None:
    assert connections(ground, 20).faults == []


def test_pushes_that_keep_coming_are_all_queued(ground: Ground) -> None:
    assert rate(ground, seconds=2, a_second=5, apps=2).faults == []


def test_many_followers_of_one_build_all_see_the_whole_log(ground: Ground) -> None:
    assert followers(ground, 10, lines=30).faults == []
