import itertools
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitreceive.model import Stack
from tests.e2e.cluster_account import cluster_account
from tests.e2e.world import Clone, Developer, Server, running, signing


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of the account that servers of the tests have in the cluster: all that is tried with one is tried with what it may do."""
    with cluster_account(tmp_path_factory.mktemp("account")) as path:
        yield path


@pytest.fixture(scope="session")
def make_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, stack: Stack
) -> Callable[..., Server]:
    def make(target: str, **settings: str) -> Server:
        if target == "kubernetes":
            settings = {"KUBECONFIG": str(request.getfixturevalue("kubeconfig")), **settings}
        server = Server(tmp_path_factory.mktemp(f"server-{target}"), target, settings)
        server.cli(
            "stack", "create", stack.name, "--build-image", str(stack.build), "--run-image", str(stack.run)
        ).ok()
        return server

    return make


@pytest.fixture(
    scope="package",
    params=[
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("kubernetes", marks=pytest.mark.kubernetes),
    ],
)
def server(request: pytest.FixtureRequest, make_server: Callable[..., Server]) -> Iterator[Server]:
    """One server for each target, shared by the scenarios: each brings its own app. It is gone when other tests begin."""
    with running(make_server(request.param)) as server:
        yield server


@pytest.fixture(scope="package")
def docker_server(
    make_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """For scenarios in which the target does not matter. It signs what it builds."""
    with running(make_server("docker", **signing(tmp_path_factory.mktemp("keys")))) as server:
        yield server


@pytest.fixture
def alice(server: Server) -> Developer:
    return server.developer("alice")


_counter = itertools.count(1)


@pytest.fixture
def app_name() -> str:
    return f"shop-{secrets.token_hex(3)}-{next(_counter)}"


@pytest.fixture
def new_app(alice: Developer, app_name: str) -> Iterator[Callable[[str], Clone]]:
    """Makes this scenario's app, which goes with it."""
    yield lambda sample: alice.creates(app_name, sample)
    alice.server.let_go(app_name)
