"""A stack is updated, and an app moves to it: nothing is built, and no request is dropped."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.model import Build, ImageRef, Stack
from tests.e2e.requests import Requests
from tests.e2e.world import Server, running
from tests.engines.oci_images import Notes, layer, tar

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Base:
    """A run image of somebody else's, whose tag goes from one image to the next."""

    registry: OciRegistry
    repository: str
    stack: Stack
    folder: Path

    @property
    def tag(self) -> str:
        return f"{self.stack.run.repository.partition('/')[0]}/{self.repository}:current"

    def offer(self, version: str) -> None:
        """The stack's run image with a package of this version: one layer more, as a patch would be."""
        packages = dict(entry.split("=", 1) for entry in self.stack.packages["run"]) | {"openssl": version}
        status = "\n".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: {number}\n"
            for name, number in packages.items()
        )
        patch = {"etc/patched": f"{version}\n".encode(), "var/lib/dpkg/status": status.encode()}
        made = Build((), (), None, self.stack.run, (layer(self.folder, "patch", tar(patch)),), {})
        image = self.registry.publish(made, self.repository, Notes(), Cancellation())
        self.registry.tag(image, "current", Cancellation())


@pytest.fixture(scope="module")
def base(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    address = stack.run.repository.partition("/")[0]
    with closing(OciRegistry(address, insecure=True, environment={})) as registry:
        name = f"tests/base-{secrets.token_hex(4)}"
        yield Base(registry, name, stack, tmp_path_factory.mktemp("base"))


@pytest.fixture(
    params=[
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("kubernetes", marks=pytest.mark.kubernetes),
    ],
)
def server(
    request: pytest.FixtureRequest, base: Base, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    base.offer("1")
    folder = tmp_path_factory.mktemp(f"server-rebase-{request.param}")
    server = Server(folder, request.param, {"GITRECEIVE_STACK": "ours"})
    server.cli("stack", "create", "--build-image", str(base.stack.build), "--run-image", base.tag).ok()
    with running(server):
        yield server


def test_an_app_moves_to_an_updated_stack_in_seconds_with_its_own_layers_untouched(
    server: Server, base: Base
) -> None:
    alice = server.developer("alice")
    shop = alice.creates(f"shop-{secrets.token_hex(3)}", "flask")
    shop.replace("app.py", 'VERSION = "1"', 'VERSION = open("/etc/patched").read().strip()')
    procfile = (shop.folder / "Procfile").read_text()
    shop.commit("Migrate before each release", {"Procfile": f"{procfile}release: echo migrated\n"})
    shop.push().ok().says("migrated", "v1 is live after")
    assert shop.get() == "Hello from Flask, version 1\n"
    alice.ssh("rebase", shop.app).ok().says("newest")

    base.offer("2")
    server.cli("stack", "update").ok().says("openssl: 1 → 2", "ours 2 is there")
    assert shop.get() == "Hello from Flask, version 1\n"
    alice.ssh("rebase", shop.app, "--dry-run").ok().says("ours 1", "ours 2", "to do")
    with Requests(shop.web() + "/") as requests:
        rebased = alice.ssh("rebase", shop.app).ok()
        requests.until(lambda seen: "Hello from Flask, version 2\n" in seen)

    rebased.says(f"Rebasing {shop.app} v1 to ours 2", "Rolling out v2: web=1", "v2 is live after", "rebase ")
    rebased.does_not_say("migrated", "sending", "gitreceive/python")
    assert requests.failures == []
    newest, first = shop.builds()
    assert (newest["kind"], newest["release"], first["release"]) == ("rebase", 2, 1)
    assert newest["seconds"]["rebase"] < 3
    assert rebased.seconds < 60
    old, new = (list(base.registry.layers(ImageRef.parse(build["image"]))) for build in (first, newest))
    different = [n for n, (before, after) in enumerate(zip(old, new, strict=True)) if before != after]
    assert different == [
        len(list(base.registry.layers(base.stack.run)))
    ]  # the patch, right on the stack's own
    assert shop.remote_head() == shop.head

    shop.commit("Nothing")
    shop.push().ok().says("v3 is live after")
    assert shop.get() == "Hello from Flask, version 2\n"
