"""The image's config, as other tools read it (Platform API, "Exporter", "Labels")."""

import datetime as dt
import json
from typing import Any

import pytest

from gitreceive.engines.docker_builder.result import make_build
from gitreceive.model import Blob, Digest, ImageRef, Layer, Stack
from tests.engines.builder.case import request

_REF = ImageRef.parse("registry.example/base@sha256:" + "a" * 64)
_STACK = Stack("test", _REF, _REF, 1, 1, {}, dt.datetime(2020, 1, 1, tzinfo=dt.UTC))


def _config(default: str = "web") -> dict[str, Any]:
    done = {
        "buildpacks": ["x/a@1"],
        "processes": ["web"],
        "default": default,
        "labels": {"io.buildpacks.lifecycle.metadata": "a buildpack's", "mine": "1"},
        "contents": [{"key": "x/a", "version": "1", "layers": {"deps": {"launch": True}}}],
    }
    blob = Blob(Digest("sha256:" + "b" * 64), 1, "type")
    titles = ("x/a:deps", "launcher", "config", "app")
    layers = tuple(Layer(t, Digest(f"sha256:{n:064}"), blob, None) for n, t in enumerate(titles))
    return dict(make_build(request({}, _STACK), _STACK, done, layers, {}).config)


def test_labels_name_every_layer_and_the_commit() -> None:
    labels = _config()["Labels"]
    lifecycle = json.loads(labels["io.buildpacks.lifecycle.metadata"])
    assert lifecycle["buildpacks"][0]["layers"] == {"deps": {"launch": True, "sha": f"sha256:{0:064}"}}
    assert lifecycle["app"] == [{"sha": f"sha256:{3:064}"}]
    project = json.loads(labels["io.buildpacks.project.metadata"])
    assert project == {"source": {"type": "git", "version": {"commit": "c0ffee" + "0" * 34}}}
    assert labels["mine"] == "1"


@pytest.mark.parametrize(
    ("default", "entrypoint"), [("web", "/cnb/process/web"), ("", "/cnb/lifecycle/launcher")]
)
def test_the_entrypoint_is_the_default_process_else_the_launcher(default: str, entrypoint: str) -> None:
    config = _config(default)
    assert (config["Entrypoint"], config["WorkingDir"]) == ([entrypoint], "/workspace")
    assert {"CNB_LAYERS_DIR=/layers", "CNB_APP_DIR=/workspace"} < set(config["Env"])
    assert config["Env"][0].startswith("PATH=/cnb/process:")
