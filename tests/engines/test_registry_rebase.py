"""Rebasing in a registry: the contract on all of them, and what of an image's config follows its run image."""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.engines.oci_registry.manifest import Base, assemble
from gitreceive.engines.oci_registry.recover import build_of
from gitreceive.errors import RegistryError
from gitreceive.model import Build, Digest, ImageRef, Layer
from gitreceive.ports import Registry
from tests.engines.oci_images import Notes, build, digest, layer
from tests.engines.test_registry import oci, real_address, registry, repository, scripted

__all__ = ["oci", "real_address", "registry", "repository", "scripted"]

_BUILDERS: dict[str, object] = {
    "Env": ["PATH=/cnb/process:/bin", "CNB_APP_DIR=/workspace"],
    "Entrypoint": ["/cnb/process/web"],
    "User": "1000:1000",
    "WorkingDir": "/workspace",
    "Labels": {"io.buildpacks.rebasable": "true", "io.buildpacks.lifecycle.metadata": '{"app":[]}'},
}


def publish(registry: Registry, made: Build, repository: str) -> ImageRef:
    return registry.publish(made, repository, Notes(), Cancellation())


def rebase(
    registry: Registry, image: ImageRef, run: ImageRef, repository: str, log: Notes | None = None
) -> ImageRef:
    return registry.rebase(image, run, repository, log or Notes(), Cancellation())


# --- the contract ---------------------------------------------------------------------------------------------------


def test_a_rebased_image_is_the_one_that_a_build_on_the_new_run_image_would_be(
    registry: Registry, repository: str, tmp_path: Path
) -> None:
    old = publish(registry, build(layer(tmp_path, "libssl 1")), f"{repository}-run")
    new = publish(registry, build(layer(tmp_path, "libssl 2")), f"{repository}-run")
    made = build(layer(tmp_path, "dependencies"), layer(tmp_path, "app"), run_image=old, config=_BUILDERS)
    image = publish(registry, made, repository)

    rebased = rebase(registry, image, new, repository)

    assert rebased == publish(registry, replace(made, run_image=new), repository)
    assert rebased != image
    assert registry.facts(rebased).run_image == new
    assert rebase(registry, image, new, repository) == rebased
    assert rebase(registry, rebased, old, repository) == image


def test_an_image_tells_its_labels_and_its_run_image(
    registry: Registry, repository: str, tmp_path: Path
) -> None:
    labels = {"io.buildpacks.stack.id": "test"}
    run = publish(registry, build(layer(tmp_path, "system"), config={"Labels": labels}), f"{repository}-run")
    image = publish(registry, build(layer(tmp_path, "app"), run_image=run, config=_BUILDERS), repository)

    facts = registry.facts(image)

    assert (facts.os, facts.run_image) == ("linux", run)
    assert facts.labels["io.buildpacks.stack.id"] == "test"
    assert facts.labels["io.buildpacks.rebasable"] == "true"
    assert registry.facts(run).run_image is None


def test_an_image_that_is_gone_or_lies_on_nothing_is_not_rebased(
    registry: Registry, repository: str, tmp_path: Path
) -> None:
    bare = publish(registry, build(layer(tmp_path, "app")), repository)
    with pytest.raises(RegistryError, match="does not say which"):
        rebase(registry, bare, bare, repository)
    gone = replace(bare, digest=digest(b"nothing"))
    with pytest.raises(RegistryError, match="no longer has"):
        rebase(registry, gone, bare, repository)
    with pytest.raises(RegistryError, match="no longer has"):
        registry.facts(gone)


# --- over HTTP ------------------------------------------------------------------------------------------------------


def test_the_app_s_layers_are_not_sent_and_the_run_image_s_are_taken_over(
    oci: OciRegistry, repository: str, tmp_path: Path
) -> None:
    old = publish(oci, build(layer(tmp_path, "libssl 1")), f"{repository}-run")
    new = publish(oci, build(layer(tmp_path, "libssl 2")), f"{repository}-run")
    app = layer(tmp_path, "app")
    image = publish(oci, build(app, run_image=old, config=_BUILDERS), repository)
    assert app.path
    app.path.unlink()
    log = Notes()

    rebased = rebase(oci, image, new, repository, log)

    assert list(oci.layers(rebased))[1:] == list(oci.layers(image))[1:]
    assert "1 layer taken over from the stack" in log.text
    assert "1 layer already there" in log.text
    assert "sent" not in log.text


@pytest.mark.registry
def test_an_image_whose_old_run_image_is_swept_away_can_still_be_rebased(
    real_address: str, repository: str, tmp_path: Path
) -> None:
    with closing(_client(real_address)) as oci:
        labels = {"io.buildpacks.stack.id": "a", "io.buildpacks.base.distro.name": "debian"}
        old = publish(oci, build(layer(tmp_path, "one"), config={"Labels": labels}), f"{repository}-run")
        image = publish(oci, build(layer(tmp_path, "app"), run_image=old, config=_BUILDERS), repository)
        new = publish(oci, build(layer(tmp_path, "two")), f"{repository}-run")
    name = old.repository.partition("/")[2]
    gone = httpx.delete(f"http://{real_address}/v2/{name}/manifests/{old.digest}", trust_env=False)
    assert gone.is_success

    with closing(_client(real_address)) as oci:
        rebased = oci.facts(rebase(oci, image, new, repository))

    assert rebased.run_image == new
    assert "io.buildpacks.stack.id" not in rebased.labels
    assert rebased.labels["io.buildpacks.rebasable"] == "true"


def _client(address: str) -> OciRegistry:
    return OciRegistry(address, insecure=False, environment={}, login=lambda _host: None)


# --- what follows the run image -------------------------------------------------------------------------------------


def run_image(config: Mapping[str, Any], *layers: Layer) -> Base:
    made = assemble(Base(None, (), {}), build(*layers, config=config))
    return _as_base(made.config, layers)


def _as_base(config: bytes, layers: tuple[Layer, ...]) -> Base:

    ref = ImageRef("r.test/run", Digest("sha256:" + digest(config)[7:]))
    return Base(ref, tuple(layer.blob for layer in layers), json.loads(config))


def moved(old: Base, new: Base, app: tuple[Layer, ...], config: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The config of a rebased image, and that of a build on the new run image."""
    below = tuple(Layer("", ident, blob, None) for ident, blob in zip(_ids(old), old.layers, strict=True))
    image = _as_base(assemble(old, build(*app, config=config)).config, (*below, *app))
    return (
        assemble(new, build_of(image, old.config)).config,
        assemble(new, build(*app, config=config)).config,
    )


def _ids(base: Base) -> list[Digest]:
    return [Digest(text) for text in base.config["rootfs"]["diff_ids"]]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"Env": ["PATH=/bin", "LANG=C"]}, {"Env": ["PATH=/usr/bin:/bin", "LANG=C.UTF-8", "TZ=UTC"]}),
        ({"Env": ["LANG=C", "GONE=1"]}, {"Env": ["LANG=C"]}),
        ({"User": "1000:1000", "WorkingDir": "/workspace"}, {"User": "0:0", "WorkingDir": "/"}),
        ({"Cmd": ["bash"]}, {"Cmd": ["sh"], "Entrypoint": ["/tini"]}),
        ({"StopSignal": "SIGQUIT"}, {"ExposedPorts": {"80/tcp": {}}}),
        ({"Labels": {"io.buildpacks.base.distro.version": "12", "a": "1"}}, {"Labels": {"b": "2"}}),
        ({}, {"Labels": {"io.buildpacks.rebasable": "false"}}),
    ],
)
def test_the_config_is_that_of_a_build_on_the_new_run_image(
    old: dict[str, Any], new: dict[str, Any], tmp_path: Path
) -> None:
    app = (layer(tmp_path, "dependencies"), layer(tmp_path, "app"))
    before, after = run_image(old, layer(tmp_path, "one")), run_image(new, layer(tmp_path, "two"))
    rebased, built = moved(before, after, app, _BUILDERS)
    assert rebased == built


def test_a_run_image_that_holds_its_top_layer_twice_is_exchanged_whole(tmp_path: Path) -> None:
    empty, system = layer(tmp_path, "empty"), layer(tmp_path, "system")
    before = run_image({}, empty, system, empty)
    rebased, built = moved(before, run_image({}, system), (layer(tmp_path, "app"),), _BUILDERS)
    assert rebased == built
