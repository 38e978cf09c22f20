"""A server that was lost is made anew of a backup of its ledger; and an app moves to another server."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.world import Server, running

pytestmark = pytest.mark.e2e


@pytest.fixture(
    params=[
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("kubernetes", marks=pytest.mark.kubernetes),
    ]
)
def lone_server(request: pytest.FixtureRequest, make_server: Callable[..., Server]) -> Iterator[Server]:
    """One that may be lost."""
    with running(make_server(request.param, GITRECEIVE_PASSPHRASE="correct horse")) as server:
        yield server


def test_a_server_that_was_lost_serves_on_from_its_ledger_and_the_registry(
    lone_server: Server, make_server: Callable[..., Server], app_name: str
) -> None:
    server = lone_server
    alice = server.developer("alice")
    shop = alice.creates(app_name, "static")
    alice.ssh("config", "set", shop.app, "WHERE=here").ok()
    for number in (1, 2):
        shop.commit(f"Number {number}", {"index.html": f"number {number}\n"})
        shop.push().ok()
    backup = server.folder / "backup.db"
    server.cli("ledger", "backup", str(backup)).ok().says("with 1 app")

    assert server.stop() == 0
    data = server.folder / "data"
    lost = data.rename(server.folder / "lost")
    data.mkdir(mode=0o700)
    shutil.copy2(backup, data / "ledger.db")
    for name in ("ledger.key", "host_key"):
        shutil.copy2(lost / name, data / name)
    server.start()

    assert shop.get() == "number 2\n"
    server.cli("doctor").ok()
    alice.ssh("rollback", shop.app).ok().says("v3 is live after")
    assert shop.get() == "number 1\n"
    assert alice.ssh("config", "get", shop.app, "WHERE").ok().out == "here\n"
    shop.commit("Number 3", {"index.html": "number 3\n"})
    shop.push().ok().says("v4 is live after")
    assert shop.get() == "number 3\n"

    sealed = subprocess.run(
        [sys.executable, "-m", "gitreceive", "apps", "export", shop.app],
        env=server.env,
        capture_output=True,
        check=True,
    ).stdout
    assert b"here" not in sealed
    with running(make_server(server.target, GITRECEIVE_PASSPHRASE="correct horse")) as other:
        done = subprocess.run(
            [sys.executable, "-m", "gitreceive", "apps", "import"],
            env=other.env,
            input=sealed,
            capture_output=True,
            check=True,
        )
        assert b"v5 is live after" in done.stderr
        assert other.cli("config", "get", shop.app, "WHERE").ok().out == "here\n"
        server.cli("apps", "destroy", shop.app, "--confirm", shop.app).ok()
        other.cli("rollback", shop.app, "v2").ok().says("v6 is live after")
