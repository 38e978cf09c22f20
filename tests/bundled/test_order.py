"""``order.toml`` and the build plans together: who builds an app with the files of several languages."""

import json
import os

import pytest

from gitreceive.buildpacks.order import arrange, find
from gitreceive.lifecycle.detect import detect
from gitreceive.lifecycle.folder import load
from gitreceive.lifecycle.place import Variables
from gitreceive.model import BuildpackRef, Choice
from tests.bundled.bench import BUILDPACKS, Bench

_BUILDS = {"package.json": json.dumps({"scripts": {"build": "node build.js"}})}
_TOOLS = {"package.json": json.dumps({"scripts": {"lint": "eslint ."}, "devDependencies": {"eslint": "9"}})}
_BROKEN = {"package.json": "{"}
_PYTHON = {"requirements.txt": "flask\n"}
_PHP = {"index.php": "<?php"}
_PAGE = {"index.html": "", "public/index.html": ""}
_STATICFILE = {"Staticfile": "root: dist\n"}
_GO = {"go.mod": "module a\n"}


def _group(bench: Bench, files: dict[str, str], wanted: str | None = None) -> list[str]:
    for name, text in files.items():
        (bench.app / name).parent.mkdir(exist_ok=True)
        (bench.app / name).write_text(text)
    folder = load(BUILDPACKS)
    env = Variables({"PATH": os.defpath, "CNB_TARGET_OS": "linux", "CNB_TARGET_ARCH": "amd64"})
    refs = (BuildpackRef.parse(wanted),) if wanted else ()
    order = arrange(folder, Choice("the test", refs), {ref: find(folder, ref, "the test") for ref in refs})
    found = detect(folder, order, bench.app, bench.folder / "platform", env)
    return [buildpack.id.removeprefix("gitreceive/") for buildpack in found.group]


@pytest.mark.parametrize(
    ("files", "group"),
    [
        (_PYTHON | _BUILDS, ["nodejs", "python"]),
        (_GO | _BUILDS, ["nodejs", "go"]),
        (_PHP | _BUILDS, ["nodejs", "php"]),
        (_STATICFILE | _BUILDS, ["nodejs", "static"]),
        (_STATICFILE | _TOOLS, ["static"]),
        (_PAGE | _BUILDS, ["nodejs"]),
        (_PAGE, ["static"]),
        (_PYTHON | _TOOLS, ["python"]),
        (_GO | _TOOLS, ["go"]),
        (_PYTHON | _BROKEN, ["python"]),
        (_PYTHON, ["python"]),
        (_GO | _PYTHON, ["go"]),
        (_BUILDS, ["nodejs"]),
        (_TOOLS, ["nodejs"]),
        (_BROKEN, ["nodejs"]),
        (_PYTHON | _BUILDS | {"Procfile": "web: gunicorn app:app\n"}, ["nodejs", "python", "procfile"]),
        (_TOOLS | {"Procfile": "web: node a.js\n"}, ["nodejs", "procfile"]),
    ],
)
def test_nodejs_builds_for_another_language_where_package_json_has_a_build_script(
    bench: Bench, files: dict[str, str], group: list[str]
) -> None:
    assert _group(bench, files) == group


@pytest.mark.parametrize("package", [_BUILDS, _TOOLS])
@pytest.mark.parametrize("wanted", ["nodejs", "python"])
def test_a_push_that_names_one_language_gets_that_one_alone(
    bench: Bench, package: dict[str, str], wanted: str
) -> None:
    assert _group(bench, _PYTHON | package, wanted) == [wanted]


# notes what it was asked for; its `run build` needs the modules
_NPM = """#!/usr/bin/python3
import sys
from pathlib import Path
with open("asked", "a") as asked:
    print(*sys.argv[1:], file=asked)
if sys.argv[1] == "ci":
    Path("node_modules/tool").mkdir(parents=True)
if sys.argv[1] == "run":
    Path("made.css").write_text(str(Path("node_modules/tool").is_dir()))
"""


def _nodejs_of_the_last_build(bench: Bench) -> None:
    layers = {
        "node": 'asked = "24.x"\nversion = "24.1.0"\n',
        "headers": 'version = "24.1.0"\n',
        "npm": 'asked = "*"\nnode = "24.1.0"\nkind = "npm"\nversion = "11.1.0"\n',
    }
    for name, metadata in layers.items():
        (bench.layers / name / "bin").mkdir(parents=True)
        (bench.layers / f"{name}.toml").write_text(f"[metadata]\n{metadata}")
    npm = bench.layers / "npm" / "bin" / "npm"
    npm.write_text(_NPM)
    npm.chmod(0o755)


def _front_end(bench: Bench) -> None:
    (bench.folder / "plan").write_text('[[entries]]\nname = "node-assets"\n')
    (bench.app / "package.json").write_text(
        json.dumps({"scripts": {"build": "b"}, "devDependencies": {"tool": "1"}})
    )
    (bench.app / "package-lock.json").write_text("{}")


def test_a_front_end_is_built_and_nothing_of_nodejs_goes_into_the_image(bench: Bench) -> None:
    _nodejs_of_the_last_build(bench)
    _front_end(bench)
    built = bench.build("nodejs", NPM_CONFIG_REGISTRY="http://registry.invalid/")
    assert built.status == 0, built.output
    assert "Building the front end with Node.js" in built.output
    assert (bench.app / "made.css").read_text() == "True"
    assert not (bench.app / "node_modules").is_symlink()
    assert bench.processes() == {}
    layers = [path.stem for path in bench.layers.glob("*.toml") if path.stem not in ("launch", "store")]
    assert sorted(layers) == ["asset-modules", "cache", "headers", "node", "npm"]
    assert not [name for name in layers if bench.toml(name)["types"]["launch"]]
    assert bench.inputs() == ["**"]


def test_a_front_ends_modules_are_kept_for_the_next_build(bench: Bench) -> None:
    _nodejs_of_the_last_build(bench)
    _front_end(bench)
    bench.build("nodejs", NPM_CONFIG_REGISTRY="http://registry.invalid/")
    (bench.app / "made.css").unlink()
    bench.restore()
    built = bench.build("nodejs", NPM_CONFIG_REGISTRY="http://registry.invalid/")
    assert built.status == 0, built.output
    assert "Using the modules of the last build" in built.output
    assert (bench.app / "asked").read_text().split("\n")[:3] == [
        "ci --include=dev",
        "run --silent build",
        "run --silent build",
    ]
    assert (bench.app / "made.css").read_text() == "True"


def test_the_same_app_built_as_nodejs_alone_has_a_process_and_its_modules(bench: Bench) -> None:
    _nodejs_of_the_last_build(bench)
    _front_end(bench)
    (bench.app / "server.js").write_text("")
    bench.build("nodejs", NPM_CONFIG_REGISTRY="http://registry.invalid/")
    bench.restore()
    (bench.folder / "plan").write_text("")
    built = bench.build("nodejs", NPM_CONFIG_REGISTRY="http://registry.invalid/")
    assert built.status == 0, built.output
    assert bench.processes() == {"web": ["node", "server.js"]}
    assert (bench.app / "node_modules").readlink() == bench.layers / "modules" / "node_modules"
    for layer in ("node", "modules"):
        assert bench.toml(layer)["types"]["launch"]
