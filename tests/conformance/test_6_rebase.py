"""Platform API, "Rebaser" and "Labels": what an image says of itself, and what of it changes with its run image."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from gitreceive.engines.docker_builder.result import make_build
from gitreceive.engines.oci_registry.manifest import Base, assemble
from gitreceive.engines.oci_registry.recover import build_of
from gitreceive.errors import RebaseError
from gitreceive.model import (
    PACKAGES_LABEL,
    Blob,
    Build,
    Digest,
    ImageFacts,
    ImageRef,
    Layer,
    Stack,
)
from gitreceive.stories.rebase import Wish, plan_move
from tests.engines.builder.case import request
from tests.fake_registry import FakeRegistry
from tests.platform import SHOP, World

_BASE = {
    "io.buildpacks.base.distro.name": "debian",
    "io.buildpacks.base.distro.version": "12",
    "io.buildpacks.stack.id": "test",
}


def _layer(title: str) -> Layer:
    number = f"sha256:{title.encode().hex():0>64}"
    return Layer(title, Digest(number), Blob(Digest(number), 1, "type"), None)


def _run_image(top: str, labels: Mapping[str, str] = _BASE) -> Base:
    config = assemble(Base(None, (), {}), Build((), (), None, None, (_layer(top),), {"Labels": dict(labels)}))
    ref = ImageRef("registry.test/run", _layer(top).diff_id)
    return Base(ref, (_layer(top).blob,), json.loads(config.config))


def _built_on(base: Base) -> dict[str, Any]:
    assert base.ref
    stack = Stack("test", base.ref, base.ref, 1, 1, {}, datetime(2020, 1, 1, tzinfo=UTC))
    done = {
        "buildpacks": ["x/a@1"],
        "processes": ["web"],
        "default": "web",
        "labels": {"io.buildpacks.build.metadata": "{}"},
        "contents": [{"key": "x/a", "version": "1", "layers": {"deps": {"launch": True}}}],
    }
    layers = tuple(_layer(title) for title in ("x/a:deps", "launcher", "config", "app"))
    build = make_build(request({}, stack), stack, done, layers, {})
    config: dict[str, Any] = json.loads(assemble(base, build).config)
    return config


def _rebased(config: dict[str, Any], old: Base, new: Base) -> dict[str, Any]:
    blobs = tuple(Blob(Digest(text), 1, "type") for text in config["rootfs"]["diff_ids"])
    image = Base(ImageRef("registry.test/app", _layer("app").diff_id), blobs, config)
    made: dict[str, Any] = json.loads(assemble(new, build_of(image, old.config)).config)
    return made


def _labels(config: Mapping[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = config["config"]["Labels"]
    return labels


def test_labels_of_an_image() -> None:
    labels = _labels(_built_on(_run_image("one")))
    assert {name for name in labels if name.startswith("io.buildpacks.")} == {
        "io.buildpacks.base.distro.name",
        "io.buildpacks.base.distro.version",
        "io.buildpacks.build.metadata",
        "io.buildpacks.lifecycle.metadata",
        "io.buildpacks.project.metadata",
        "io.buildpacks.rebasable",
        "io.buildpacks.stack.id",
    }
    lifecycle = json.loads(labels["io.buildpacks.lifecycle.metadata"])
    assert set(lifecycle) == {"app", "buildpacks", "config", "launcher", "runImage"}
    assert lifecycle["runImage"]["topLayer"] == _layer("one").diff_id


@pytest.mark.parametrize(
    ("base", "rebasable"),
    [
        (_BASE, "true"),
        (_BASE | {"io.buildpacks.rebasable": "true"}, "true"),
        (_BASE | {"io.buildpacks.rebasable": "false"}, "false"),
        (_BASE | {PACKAGES_LABEL: "figlet"}, "false"),
    ],
)
def test_rebasable_unless_the_run_image_was_extended(base: dict[str, str], rebasable: str) -> None:
    assert _labels(_built_on(_run_image("one", base)))["io.buildpacks.rebasable"] == rebasable


def test_the_layers_up_to_the_top_layer_are_replaced_and_the_others_stay() -> None:
    old, new = _run_image("one"), _run_image("two")
    config = _built_on(old)
    rebased = _rebased(config, old, new)
    assert rebased["rootfs"]["diff_ids"] == [
        _layer("two").diff_id,
        *config["rootfs"]["diff_ids"][1:],
    ]
    assert rebased["history"][1:] == config["history"][1:]


def test_the_lifecycle_s_label_names_the_new_run_image_and_is_the_same_else() -> None:
    old, new = _run_image("one"), _run_image("two")
    config = _built_on(old)
    before, after = (
        json.loads(_labels(each)["io.buildpacks.lifecycle.metadata"])
        for each in (config, _rebased(config, old, new))
    )
    assert after.pop("runImage") == {
        "image": "registry.test/run",
        "reference": str(new.ref),
        "topLayer": _layer("two").diff_id,
    }
    del before["runImage"]
    assert after == before


def test_labels_of_the_stack_and_the_base_are_the_new_run_image_s() -> None:
    old = _run_image("one", _BASE | {"io.buildpacks.base.maintainer": "them"})
    newer = {
        "io.buildpacks.base.distro.name": "debian",
        "io.buildpacks.stack.id": "test",
        "io.buildpacks.stack.released": "today",
    }
    rebased = _labels(_rebased(_built_on(old), old, _run_image("two", newer)))
    assert {
        name: value
        for name, value in rebased.items()
        if name.startswith(("io.buildpacks.base.", "io.buildpacks.stack."))
    } == newer


class _Registry(FakeRegistry):
    """Two images: the app's on the old run image, and the new run image."""

    def __init__(self, old: ImageFacts, new: ImageFacts, run: ImageRef) -> None:
        super().__init__()
        self._facts, self._other, self._run = old, new, run

    def facts(self, image: ImageRef) -> ImageFacts:
        return self._other if image == self._run else self._facts


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        (("linux", "amd64", "", {}), ("linux", "amd64", "", {}), ""),
        (("linux", "amd64", "", {}), ("linux", "amd64", "v2", _BASE), ""),
        (("linux", "amd64", "", _BASE), ("linux", "amd64", "", _BASE), ""),
        (("linux", "amd64", "", {}), ("windows", "amd64", "", {}), "the operating system"),
        (("linux", "amd64", "", {}), ("linux", "arm64", "", {}), "the architecture"),
        (("linux", "arm", "v7", {}), ("linux", "arm", "v6", {}), "variant"),
        (("linux", "amd64", "", _BASE), ("linux", "amd64", "", {}), "the distribution"),
        (
            ("linux", "amd64", "", _BASE),
            ("linux", "amd64", "", _BASE | {"io.buildpacks.base.distro.version": "13"}),
            "the distribution's version was 12, and there it is 13",
        ),
        (
            ("linux", "amd64", "", _BASE),
            ("linux", "amd64", "", _BASE | {"io.buildpacks.stack.id": "other"}),
            "the stack's id",
        ),
        (
            ("linux", "amd64", "", {"io.buildpacks.rebasable": "false"}),
            ("linux", "amd64", "", {}),
            "not safe",
        ),
        (
            ("linux", "amd64", "", {"io.buildpacks.rebasable": "false", PACKAGES_LABEL: "figlet"}),
            ("linux", "amd64", "", {}),
            "",
        ),
    ],
)
def test_run_images_are_alike_unless_forced(old: Any, new: Any, refused: str) -> None:
    world = World()
    first, second = world.stack("one"), world.stack("two")
    world.deploy(world.commit("one"))
    below = {"reference": str(first.run), "topLayer": first.run.digest}
    os, architecture, variant, more = old
    labels = more | {"io.buildpacks.lifecycle.metadata": json.dumps({"runImage": below})}
    before, after = ImageFacts(os, architecture, variant, labels), ImageFacts(*new)
    registry = _Registry(before, after, second.run)
    if refused:
        with pytest.raises(RebaseError, match=refused):
            plan_move(SHOP, Wish(), world.ledger, registry)
    assert plan_move(SHOP, Wish(force=bool(refused)), world.ledger, registry).to == second
