"""A control plane for the tests of this folder alone: what it is taught to serve would change what others find on a shared one."""

from collections.abc import Iterator

import pytest

from tests.certificates import issue
from tests.cli.conftest import cli, ledger
from tests.own_cluster.aggregated_api import AggregatedApi, Kind, serving
from tests.own_cluster.control_plane import chosen, control_plane
from tests.own_cluster.played_operators import KINDS, PlayedOperators

__all__ = ["cli", "cluster", "ledger", "operators"]

WAYS = (
    Kind("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute"),
    Kind("route.openshift.io/v1", "routes", "Route"),
)


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AggregatedApi]:
    """With the kinds of all operators that are declared, and of all ways to lead people to an app."""
    authority, folder = issue(name="tests"), tmp_path_factory.mktemp("own-cluster")
    with control_plane(folder / "plane", authority) as config:
        api = AggregatedApi((*KINDS, *WAYS), PlayedOperators(config))
        with serving(api, config, authority):
            yield api


@pytest.fixture
def operators(cluster: AggregatedApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedOperators]:
    """They work at once, in the cluster that is meant now, which forgets in the end what they were asked for."""
    operators = cluster.applied
    assert isinstance(operators, PlayedOperators)
    operators.go_on.set()
    operators.waiting.clear()
    with chosen(operators.config, monkeypatch):
        yield operators
    cluster.refuses = ""
    with cluster.lock:
        cluster.objects.clear()
        cluster.sent.clear()
