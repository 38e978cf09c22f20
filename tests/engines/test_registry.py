"""The contract of ports.Registry, on the fake, on a registry in this process, and on Debian's docker-registry."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.engines.oci_registry.manifest import DOCKER_MANIFEST, INDEX, MANIFEST
from gitreceive.engines.oci_registry.reference import architecture
from gitreceive.engines.oci_registry.transport import Errand
from gitreceive.errors import CanceledError, RegistryError
from gitreceive.model import Build, ImageRef, Layer
from gitreceive.ports import Registry
from tests.engines.oci_images import Notes, build, digest, layer
from tests.engines.real_registry import docker_registry
from tests.engines.scripted_registry import ScriptedRegistry, serving, status
from tests.fake_registry import FakeRegistry


@pytest.fixture(scope="session")
def real_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("docker-registry")) as address:
        yield address


@pytest.fixture
def scripted() -> Iterator[ScriptedRegistry]:
    with serving() as server:
        yield server


_REAL = ["scripted", pytest.param("real", marks=pytest.mark.registry)]


@pytest.fixture(params=["fake", *_REAL])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    if request.param == "fake":
        yield FakeRegistry()
        return
    yield from _oci(request, request.param)


@pytest.fixture(params=_REAL)
def oci(request: pytest.FixtureRequest) -> Iterator[OciRegistry]:
    yield from _oci(request, request.param)


def _oci(request: pytest.FixtureRequest, kind: str) -> Iterator[OciRegistry]:
    address = request.getfixturevalue("real_address" if kind == "real" else "scripted")
    engine = OciRegistry(
        address if isinstance(address, str) else address.address,
        insecure=False,
        environment={},
        login=lambda host: None,
    )
    yield engine
    engine.close()


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """One of its own for each test: the real registry lives as long as the session."""
    return f"t/{digest(request.node.name.encode()).short}"


def publish(registry: Registry, made: Build, repository: str, log: Notes | None = None) -> ImageRef:
    return registry.publish(made, repository, log or Notes(), Cancellation())


# --- the contract ---------------------------------------------------------------------------------------------------


def test_a_published_image_has_the_layers_that_were_built(
    registry: Registry, repository: str, tmp_path: Path
) -> None:
    runtime, app = layer(tmp_path, "runtime"), layer(tmp_path, "app")

    image = publish(registry, build(runtime, app), repository)

    assert dict(registry.layers(image)) == {runtime.diff_id: runtime.blob, app.diff_id: app.blob}
    assert registry.size(image) == runtime.blob.size + app.blob.size
    assert image.repository.endswith(f"/{repository}")


def test_publishing_twice_gives_the_same_digest(registry: Registry, repository: str, tmp_path: Path) -> None:
    made = build(layer(tmp_path, "app"), config={"Env": ["A=1"]})

    assert publish(registry, made, repository) == publish(registry, made, repository)


def test_another_config_is_another_image(registry: Registry, repository: str, tmp_path: Path) -> None:
    app = layer(tmp_path, "app")

    first = publish(registry, build(app, config={"Env": ["A=1"]}), repository)
    second = publish(registry, build(app, config={"Env": ["A=2"]}), repository)

    assert first.digest != second.digest


def test_a_layer_that_the_registry_has_needs_no_file(
    registry: Registry, repository: str, tmp_path: Path
) -> None:
    kept, app = layer(tmp_path, "dependencies"), layer(tmp_path, "app")
    publish(registry, build(kept), repository)

    image = publish(registry, build(replace(kept, path=None), app), repository)

    assert set(registry.layers(image)) == {kept.diff_id, app.diff_id}


def test_a_layer_that_nobody_has_fails_the_publish(
    registry: Registry, repository: str, tmp_path: Path
) -> None:
    lost = replace(layer(tmp_path, "dependencies"), path=None)

    with pytest.raises(RegistryError, match="no longer has the layer dependencies"):
        publish(registry, build(lost), repository)


def test_an_image_that_is_not_there_has_no_layers_and_no_size(
    registry: Registry, repository: str, tmp_path: Path
) -> None:
    image = publish(registry, build(layer(tmp_path, "app")), repository)
    unknown = replace(image, digest=digest(b"nothing"))

    assert not registry.layers(unknown)
    with pytest.raises(RegistryError, match="no longer has"):
        registry.size(unknown)


def test_a_canceled_publish_says_so(registry: Registry, repository: str, tmp_path: Path) -> None:
    cancel = Cancellation()
    cancel.request("alice canceled it")

    with pytest.raises(CanceledError, match="alice"):
        registry.publish(build(layer(tmp_path, "app")), repository, Notes(), cancel)


def test_the_log_ends_with_the_digest(registry: Registry, repository: str, tmp_path: Path) -> None:
    log = Notes()

    image = publish(registry, build(layer(tmp_path, "app")), repository, log)

    assert log.lines[-1] == f"digest {image.digest}"


def test_a_healthy_registry_passes_its_checks(registry: Registry) -> None:
    assert all(check.ok for check in registry.check())


# --- over HTTP ------------------------------------------------------------------------------------------------------


def test_the_layers_of_the_base_come_first_and_are_not_sent_again(
    oci: OciRegistry, repository: str, tmp_path: Path
) -> None:
    system, app = layer(tmp_path, "system"), layer(tmp_path, "app")
    base = publish(oci, build(system), f"{repository}-base")
    log = Notes()

    image = publish(oci, build(app, run_image=base), repository, log)

    assert list(oci.layers(image)) == [system.diff_id, app.diff_id]
    assert "1 layer taken over from the stack" in log.text
    assert "1 layer sent" in log.text


def test_the_config_is_the_base_s_with_the_build_s_on_top(
    oci: OciRegistry, repository: str, tmp_path: Path
) -> None:
    config = {"Env": ["PATH=/bin", "LANG=C"], "Cmd": ["bash"], "User": "1000:1000", "Labels": {"a": "1"}}
    base = publish(oci, build(layer(tmp_path, "system"), config=config), f"{repository}-base")
    on_top = {"Env": ["LANG=C.UTF-8", "X=y=z"], "Entrypoint": ["/cnb/process/web"], "Labels": {"b": "2"}}

    image = publish(oci, build(layer(tmp_path, "app"), run_image=base, config=on_top), repository)

    document = config_of(oci, image)
    runtime = document["config"]
    assert runtime["Env"] == ["PATH=/bin", "LANG=C.UTF-8", "X=y=z"]
    assert runtime["Entrypoint"] == ["/cnb/process/web"]
    assert "Cmd" not in runtime
    assert runtime["User"] == "1000:1000"
    assert runtime["Labels"]["a"] == "1"
    assert runtime["Labels"]["b"] == "2"
    assert runtime["Labels"]["org.opencontainers.image.base.digest"] == base.digest
    assert runtime["Labels"]["org.opencontainers.image.base.name"] == base.repository
    lifecycle = json.loads(runtime["Labels"]["io.buildpacks.lifecycle.metadata"])
    assert lifecycle["runImage"] == {
        "image": base.repository,
        "reference": str(base),
        "topLayer": layer(tmp_path, "system").diff_id,
    }
    assert document["created"] == "1980-01-01T00:00:01Z"
    assert [entry["created_by"] for entry in document["history"]] == ["system", "app"]


def test_what_the_lifecycle_recorded_stays_beside_the_run_image(
    oci: OciRegistry, repository: str, tmp_path: Path
) -> None:
    base = publish(oci, build(layer(tmp_path, "system")), f"{repository}-base")
    labels = {"io.buildpacks.lifecycle.metadata": '{"buildpacks":[{"key":"python"}]}'}

    image = publish(oci, build(layer(tmp_path, "app"), run_image=base, config={"Labels": labels}), repository)

    recorded = json.loads(config_of(oci, image)["config"]["Labels"]["io.buildpacks.lifecycle.metadata"])
    assert recorded["buildpacks"] == [{"key": "python"}]
    assert recorded["runImage"]["reference"] == str(base)


def test_a_base_that_is_gone_is_named_with_the_remedy(
    oci: OciRegistry, repository: str, tmp_path: Path
) -> None:
    there = publish(oci, build(layer(tmp_path, "app")), repository)
    gone = replace(there, digest=digest(b"gone"))

    with pytest.raises(RegistryError, match="no longer has") as caught:
        publish(oci, build(layer(tmp_path, "app"), run_image=gone), repository)
    assert "stack create" in caught.value.hint


def test_an_image_is_copied_unchanged_from_another_registry(
    oci: OciRegistry, repository: str, tmp_path: Path
) -> None:
    with serving() as elsewhere:
        origin = OciRegistry(elsewhere.address, insecure=False, environment={}, login=lambda host: None)
        image = publish(origin, build(layer(tmp_path, "system")), "debian")
        origin.close()

        copied = oci.copy(str(image), repository, Notes(), Cancellation())

    assert copied.digest == image.digest
    assert set(oci.layers(copied)) == {layer(tmp_path, "system").diff_id}


def test_an_image_is_taken_over_by_another_repository_without_being_sent(
    oci: OciRegistry, repository: str, tmp_path: Path
) -> None:
    base = publish(oci, build(layer(tmp_path, "system")), f"{repository}-base")
    image = publish(oci, build(layer(tmp_path, "app"), run_image=base), f"{repository}-staging")
    notes = Notes()

    copied = oci.copy(str(image), repository, notes, Cancellation())

    assert (copied.digest, copied.repository) == (image.digest, image.repository.removesuffix("-staging"))
    assert oci.layers(copied) == oci.layers(image)
    assert "sending layer" not in notes.text
    assert oci.copy(str(image), repository, Notes(), Cancellation()) == copied


def test_an_image_is_removed_with_its_tags_and_alone(
    oci: OciRegistry, repository: str, tmp_path: Path
) -> None:
    base = publish(oci, build(layer(tmp_path, "system")), f"{repository}-base")
    first = publish(oci, build(layer(tmp_path, "one"), run_image=base), repository)
    second = publish(oci, build(layer(tmp_path, "two"), run_image=base), repository)
    oci.tag(first, "newest", Cancellation())
    sizes = {blob.digest: blob.size for blob in oci.contents(first)}
    assert set(sizes) >= {blob.digest for blob in oci.blobs(first)}
    assert len(sizes) == len(oci.blobs(first)) + 1, "and the config"

    assert oci.remove(first)

    assert oci.contents(first) == ()
    assert oci.layers(first) == {}
    assert not oci.remove(first)
    assert len(oci.layers(second)) == 2
    with pytest.raises(RegistryError):
        oci.resolve(f"{first.repository}:newest", Cancellation())
    assert publish(oci, build(layer(tmp_path, "one"), run_image=base), repository) == first, (
        "it may come again"
    )


def test_a_registry_that_deletes_nothing_is_told_with_the_remedy(
    scripted: ScriptedRegistry, tmp_path: Path
) -> None:
    engine = OciRegistry(scripted.address, insecure=False, environment={}, login=lambda host: None)
    image = publish(engine, build(layer(tmp_path, "app")), "shop")
    scripted.fail("DELETE", "/manifests/", status(405, error="UNSUPPORTED"))
    with pytest.raises(RegistryError, match="deletes nothing") as caught:
        engine.remove(image)
    engine.close()
    assert "delete.enabled" in caught.value.hint


def test_of_an_index_this_machine_s_platform_is_taken_and_media_types_stay(
    scripted: ScriptedRegistry, tmp_path: Path
) -> None:
    engine = OciRegistry(scripted.address, insecure=False, environment={}, login=lambda host: None)
    system = layer(tmp_path, "system")
    docker_type = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    index = docker_index(scripted, system, docker_type)

    image = publish(engine, build(layer(tmp_path, "app"), run_image=index), "shop")
    engine.close()

    manifest = json.loads(scripted.manifests["shop"][image.digest][0])
    assert manifest["mediaType"] == MANIFEST
    assert [part["mediaType"] for part in manifest["layers"]] == [
        docker_type,
        layer(tmp_path, "app").blob.media_type,
    ]


def docker_index(server: ScriptedRegistry, system: Layer, media_type: str) -> ImageRef:
    """A Docker image behind an OCI index, put straight into the server."""
    assert system.path
    packed = system.path.read_bytes()
    config = json.dumps(
        {"architecture": architecture(), "os": "linux", "rootfs": {"diff_ids": [system.diff_id]}}
    ).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "digest": digest(config),
            "size": len(config),
        },
        "layers": [{"mediaType": media_type, "digest": system.blob.digest, "size": len(packed)}],
    }
    raw = json.dumps(document).encode()
    other = {
        "digest": digest(b"other"),
        "size": 5,
        "mediaType": DOCKER_MANIFEST,
        "platform": {"os": "linux", "architecture": "s390x"},
    }
    own = {
        **other,
        "digest": digest(raw),
        "size": len(raw),
        "platform": {"os": "linux", "architecture": architecture()},
    }
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [other, own]}).encode()
    server.blobs["debian"] = {system.blob.digest: packed, digest(config): config}
    server.manifests["debian"] = {digest(raw): (raw, DOCKER_MANIFEST), digest(index): (index, INDEX)}
    return ImageRef(f"{server.address}/debian", digest(index))


def config_of(registry: OciRegistry, image: ImageRef) -> dict[str, Any]:
    base = registry._base(build(run_image=image), Errand())
    return dict(base.config)
