"""System packages on a real Docker engine, from the stack's real indexes: made once, shared, confined, told plainly."""

import gzip
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import docker
import docker.utils
import pytest

from gitreceive.buildpacks.system_packages import of_aptfile
from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings, process_environment
from gitreceive.engines.build_networks import GuardedNetworks
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.engines.stacks import DerivedStacks
from gitreceive.errors import (
    BuildLimitError,
    CanceledError,
    ConfigError,
    GitreceiveError,
    SourceError,
)
from gitreceive.model import PACKAGES_LABEL, STACK_IMAGE_LABEL, ImageRef, Stack
from tests.engines.builder.case import HeardLog
from tests.engines.oci_images import build, layer
from tests.engines.packages.settings import SETTINGS

pytestmark = [pytest.mark.docker, pytest.mark.registry]


@pytest.fixture(scope="module")
def registry(stack: Stack) -> Iterator[OciRegistry]:
    with closing(
        OciRegistry(stack.run.repository.partition("/")[0], insecure=False, environment=process_environment())
    ) as registry:
        yield registry


@pytest.fixture(scope="module")
def client() -> Iterator[docker.APIClient]:
    options = docker.utils.kwargs_from_env(environment=process_environment())
    with closing(docker.APIClient(version="auto", **options)) as client:
        yield client


@dataclass
class Server:
    """One that knows what is in its folder, and a log of what it says."""

    folder: Path
    registry: OciRegistry
    settings: BuildSettings = SETTINGS

    def stacks(self) -> DerivedStacks:
        networks = GuardedNetworks(self.settings, self.folder)
        return DerivedStacks(self.settings, self.folder, self.registry, networks)

    def derive(
        self, stack: Stack, aptfile: bytes, cancel: Cancellation | None = None
    ) -> tuple[Stack, HeardLog]:
        log = HeardLog()
        with closing(self.stacks()) as stacks:
            return stacks.derive(stack, of_aptfile(aptfile), log, cancel or Cancellation()), log


@pytest.fixture(scope="module")
def made(
    stack: Stack, registry: OciRegistry, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Server, Stack, HeardLog]:
    server = Server(tmp_path_factory.mktemp("packages"), registry)
    return server, *server.derive(stack, b"figlet\nlibsodium23\n")


def run(client: docker.APIClient, image: ImageRef, *command: str) -> str:
    """What the command says as the app's own user."""
    client.pull(image.repository, tag=str(image.digest))
    container = client.create_container(str(image), entrypoint=list(command), command=[])["Id"]
    try:
        client.start(container)
        assert client.wait(container)["StatusCode"] == 0, client.logs(container)
        return str(client.logs(container).decode())
    finally:
        client.remove_container(container, force=True)


def labels(client: docker.APIClient, image: ImageRef) -> dict[str, str]:
    client.pull(image.repository, tag=str(image.digest))
    found = client.inspect_image(str(image))["Config"]  # type: ignore[no-untyped-call]
    assert found["User"] == "1000:1000"
    return dict(found["Labels"])


def leftovers(client: docker.APIClient, server: Server) -> list[dict[str, object]]:
    """What holds a network goes by itself, a moment after the builder."""
    label = f"gitreceive.data={DerivedStacks(server.settings, server.folder, server.registry).owner}"
    end = time.monotonic() + 20
    while (found := list(client.containers(all=True, filters={"label": label}))) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def test_both_images_have_the_program_and_the_library(
    made: tuple[Server, Stack, HeardLog], client: docker.APIClient
) -> None:
    _, derived, log = made

    for image in (derived.run, derived.build):
        assert "_" in run(client, image, "figlet", "hello")
        load = "import ctypes; print(ctypes.CDLL('libsodium.so.23').sodium_init())"
        assert run(client, image, "python3", "-c", load).strip() in {"0", "1"}
    assert log.lines[0].startswith("-----> Installing system packages: figlet, libsodium23 (first use")
    assert b"downloading 2 packages" in log.output
    assert any("to the image; that took" in line for line in log.lines)


def test_it_is_one_layer_on_the_stacks_own_without_lists_caches_and_logs(
    made: tuple[Server, Stack, HeardLog], stack: Stack, registry: OciRegistry, tmp_path: Path
) -> None:
    _, derived, _ = made

    for base, image in ((stack.run, derived.run), (stack.build, derived.build)):
        below, all_of_it = registry.blobs(base), registry.blobs(image)
        assert all_of_it[:-1] == below
        registry.fetch(image, all_of_it[-1], tmp_path / "layer", Cancellation())
        with tarfile.open(tmp_path / "layer") as layer:
            files = {entry.name for entry in layer if not entry.isdir()}
        assert "usr/bin/figlet-figlet" in files
        passing = (
            "var/log/",
            "var/cache/",
            "var/lib/apt/lists/",
            "tmp/",
            "run/",
            "root/",
            "usr/sbin/policy-rc.d",
        )
        assert not [name for name in files if name.startswith(passing)]
        assert b"PRIVATE KEY" not in gzip.decompress((tmp_path / "layer").read_bytes())


def test_the_images_say_what_they_were_made_of(
    made: tuple[Server, Stack, HeardLog], stack: Stack, client: docker.APIClient
) -> None:
    _, derived, _ = made

    assert labels(client, derived.run)[PACKAGES_LABEL] == "figlet libsodium23"
    assert labels(client, derived.run)[STACK_IMAGE_LABEL] == str(stack.run)
    assert derived.name.startswith(f"{stack.name}+")
    assert derived.run_bytes > stack.run_bytes


def test_another_app_and_the_next_server_find_what_was_made(
    made: tuple[Server, Stack, HeardLog], stack: Stack
) -> None:
    server, derived, _ = made

    again, log = replace(server, settings=replace(SETTINGS, network="none")).derive(
        stack, b"# the same\nlibsodium23\nfiglet\n"
    )

    assert again == derived
    assert log.lines == ["-----> System packages: figlet, libsodium23 (installed before, 0.4 MB)"]


def test_the_same_packages_make_the_same_image_anywhere(
    made: tuple[Server, Stack, HeardLog], stack: Stack, registry: OciRegistry, tmp_path: Path
) -> None:
    _, derived, _ = made

    again, log = Server(tmp_path, registry).derive(stack, b"figlet\nlibsodium23\n")

    assert (again.run, again.build) == (derived.run, derived.build)
    assert "first use" in log.lines[0]


def test_what_the_registry_lost_is_made_again(
    made: tuple[Server, Stack, HeardLog], stack: Stack, tmp_path: Path
) -> None:
    server, derived, _ = made
    (tmp_path / "system-packages").mkdir()
    for record in server.folder.rglob("*.json"):
        kept = json.loads(record.read_text())
        image = ImageRef.parse(kept["image"])
        lost = f"{image.repository}@sha256:{'0' * 64}"
        (tmp_path / "system-packages" / record.name).write_text(json.dumps({**kept, "image": lost}))

    again, log = replace(server, folder=tmp_path).derive(stack, b"figlet\nlibsodium23\n")

    assert again == derived
    assert "first use" in log.lines[0]


def test_of_two_that_need_the_same_one_makes_it_and_the_other_waits(
    stack: Stack, registry: OciRegistry, tmp_path: Path
) -> None:
    server = Server(tmp_path, registry)
    results: list[tuple[Stack, HeardLog]] = []
    threads = [
        threading.Thread(target=lambda: results.append(server.derive(stack, b"tree\n"))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results[0][0] == results[1][0]
    assert (
        sum(log.output.count(b"downloading 1 package ") for _, log in results) == 2
    )  # run and build, each once
    waited = [any("waiting for another push" in line for line in log.lines) for _, log in results]
    assert True in waited


def test_an_image_is_rebased_to_the_next_version_of_its_stack_with_the_same_packages(
    made: tuple[Server, Stack, HeardLog], stack: Stack, registry: OciRegistry, tmp_path: Path
) -> None:
    server, derived, log = made
    app = registry.publish(
        build(layer(tmp_path, "app"), run_image=derived.run), "test-packages", log, Cancellation()
    )
    relabelled = build(run_image=stack.run, config={"Labels": {"test.version": "2"}})
    newer = replace(stack, run=registry.publish(relabelled, f"stacks/{stack.name}-run", log, Cancellation()))
    packages = registry.facts(app).packages
    with closing(server.stacks()) as stacks:
        run_image = stacks.run_image(newer, packages, log, Cancellation())

    rebased = registry.rebase(app, run_image, "test-packages", log, Cancellation())

    facts = registry.facts(rebased)
    assert packages == facts.packages == ("figlet", "libsodium23")
    assert (facts.run_image, facts.stack_image) == (run_image, newer.run)
    assert run_image != derived.run
    assert registry.blobs(rebased) == registry.blobs(app)


def test_packages_that_the_stack_has_add_nothing(
    stack: Stack, registry: OciRegistry, client: docker.APIClient, tmp_path: Path
) -> None:
    derived, log = Server(tmp_path, registry).derive(stack, b"libpq5\n")

    assert registry.blobs(derived.run) == registry.blobs(stack.run)
    assert labels(client, derived.run)[PACKAGES_LABEL] == "libpq5"
    assert "the run image has all of them already" in log.lines


def test_a_package_that_there_is_not_is_told_with_its_line_and_one_that_there_is(
    stack: Stack, registry: OciRegistry, client: docker.APIClient, tmp_path: Path
) -> None:
    server = Server(tmp_path, registry)

    with pytest.raises(SourceError) as caught:
        server.derive(stack, b"tree\n\nlibpqq5\nfiglet=99\n")

    assert 'Aptfile line 3: there is no package "libpqq5" in Debian ' in caught.value.message
    assert 'Aptfile line 4: "figlet" has no version 99 in Debian ' in caught.value.message
    assert "libpq5" in caught.value.hint
    assert "figlet=2" in caught.value.hint
    assert not list(tmp_path.rglob("*.json"))
    assert leftovers(client, server) == []


def test_packages_that_exclude_each_other_are_refused_in_apts_own_words(
    stack: Stack, registry: OciRegistry, tmp_path: Path
) -> None:
    with pytest.raises(
        GitreceiveError, match=r"apt cannot install exim4-daemon-light, sendmail-bin: .*held broken"
    ):
        Server(tmp_path, registry).derive(stack, b"exim4-daemon-light\nsendmail-bin\n")


def test_packages_past_the_limit_are_refused_before_they_are_downloaded(
    stack: Stack, registry: OciRegistry, tmp_path: Path
) -> None:
    server = Server(tmp_path, registry, replace(SETTINGS, system_packages_bytes=100_000))

    with pytest.raises(BuildLimitError, match="take 1 MB on disk") as caught:
        server.derive(stack, b"figlet\n")
    assert "build.system_packages_bytes" in caught.value.hint


def test_without_a_network_it_is_told_at_once(stack: Stack, registry: OciRegistry, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no network") as caught:
        Server(tmp_path, registry, replace(SETTINGS, network="none")).derive(stack, b"figlet\n")
    assert "build.network" in caught.value.hint


def test_it_takes_no_longer_than_a_build_may(
    stack: Stack, registry: OciRegistry, client: docker.APIClient, tmp_path: Path
) -> None:
    server = Server(tmp_path, registry, replace(SETTINGS, timeout=1))

    with pytest.raises(BuildLimitError, match="longer than 1 seconds"):
        server.derive(stack, b"figlet\n")
    assert leftovers(client, server) == []


def test_who_cancels_it_leaves_no_container_and_no_record(
    stack: Stack, registry: OciRegistry, client: docker.APIClient, tmp_path: Path
) -> None:
    server, cancel = Server(tmp_path, registry), Cancellation()
    timer = threading.Timer(1.5, cancel.request, ["dave canceled it"])
    timer.start()

    with pytest.raises(CanceledError, match="dave"):
        server.derive(stack, b"figlet\n", cancel)
    timer.join()
    assert leftovers(client, server) == []
    assert not list(tmp_path.rglob("*.json"))
