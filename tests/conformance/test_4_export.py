"""Buildpack API, "Phase #6: Export" and "Slice Layers"; Platform API, "Exporter", "Labels"."""

import json
import tomllib
from pathlib import Path

import pytest

from gitreceive.lifecycle.image import lifecycle_label
from gitreceive.lifecycle.layers import ContractError
from gitreceive.lifecycle.slices import split
from tests.conformance.workshop import Made, Workshop


def _launch_toml(text: str) -> str:
    return f"cat > $CNB_LAYERS_DIR/launch.toml <<'END'\n{text}\nEND\n"


def _process(kind: str, command: str = "true", more: str = "") -> str:
    return f'[[processes]]\ntype = "{kind}"\ncommand = ["{command}"]\n{more}\n'


def _done(made: Made) -> Made:
    assert made.event["event"] == "done", made.event
    return made


def test_layers_in_the_order_of_how_seldom_they_change(shop: Workshop) -> None:
    deps = "mkdir $1/deps; printf '[types]\\nlaunch = true\\n' > $1/deps.toml; echo '{}' > $1/deps.sbom.spdx.json"
    shop.buildpack("a", deps + "\n" + _launch_toml('[[slices]]\npaths = ["big"]'))
    shop.order("a")
    made = _done(shop.build({"big": "x", "small": "y"}))
    assert made.titles == ["test/a:deps", "sbom", "launcher", "config", "slice 1", "app"]


def test_a_reproducible_image(shop: Workshop) -> None:
    shop.buildpack(
        "a", "mkdir $1/deps; date +%N > $1/deps.toml; printf '[types]\\nlaunch = true\\n' > $1/deps.toml"
    )
    shop.order("a")
    first, second = _done(shop.build({"a": "x"})), _done(shop.build({"a": "x"}))
    assert first.ids == second.ids
    for files in first.layers.values():
        assert {(m.mtime, m.uname, m.gname) for m in files.values()} == {(315532801, "", "")}


def test_process_types_are_links_to_the_launcher(shop: Workshop) -> None:
    shop.buildpack("a", _launch_toml(_process("web") + _process("worker")))
    shop.order("a")
    config = _done(shop.build()).layers["config"]
    links = {name: member.linkname for name, member in config.items() if member.issym()}
    assert links == {f"cnb/process/{kind}": "/cnb/lifecycle/launcher" for kind in ("web", "worker")}


@pytest.mark.parametrize(
    ("first", "second", "commands", "default"),
    [
        (_process("a", "1"), _process("b", "2"), {"a": "1", "b": "2"}, ""),
        (_process("a", "1"), _process("a", "2"), {"a": "2"}, "a"),
        (_process("a", "1", "default = true"), _process("b", "2"), {"a": "1", "b": "2"}, "a"),
        (
            _process("a", "1", "default = true"),
            _process("b", "2", "default = true"),
            {"a": "1", "b": "2"},
            "b",
        ),
        (
            _process("a", "1", "default = true") + _process("c", "3"),
            _process("a", "2"),
            {"a": "2", "c": "3"},
            "",
        ),
    ],
)
def test_later_processes_replace_earlier_ones(
    first: str, second: str, commands: dict[str, str], default: str, shop: Workshop
) -> None:
    shop.buildpack("a", _launch_toml(first))
    shop.buildpack("b", _launch_toml(second))
    shop.order("a b")
    made = _done(shop.build())
    metadata = tomllib.loads(made.contents["layers/config/metadata.toml"].decode())
    assert {p["type"]: p["command"][0] for p in metadata["processes"]} == commands
    assert metadata.get("buildpack-default-process-type", "") == made.event["default"] == default
    assert [b["id"] for b in metadata["buildpacks"]] == ["test/a", "test/b"]


def test_the_last_label_of_a_key_counts(shop: Workshop) -> None:
    shop.buildpack(
        "a", _launch_toml('[[labels]]\nkey = "k"\nvalue = "1"\n[[labels]]\nkey = "l"\nvalue = "1"')
    )
    shop.buildpack("b", _launch_toml('[[labels]]\nkey = "k"\nvalue = "2"'))
    shop.order("a b")
    labels = _done(shop.build()).event["labels"]
    assert (labels["k"], labels["l"]) == ("2", "1")


def test_a_buildpack_cannot_replace_the_label_of_the_build(shop: Workshop) -> None:
    shop.buildpack("a", _launch_toml('[[labels]]\nkey = "io.buildpacks.build.metadata"\nvalue = "1"'))
    shop.order("a")
    assert json.loads(_done(shop.build()).event["labels"]["io.buildpacks.build.metadata"])["buildpacks"]


def test_build_metadata_label(shop: Workshop) -> None:
    shop.buildpack(
        "a", _launch_toml(_process("web", "serve", 'args = ["x"]')), toml='homepage = "http://a"\n'
    )
    shop.order("a")
    document = json.loads(_done(shop.build()).event["labels"]["io.buildpacks.build.metadata"])
    assert document["buildpacks"] == [
        {"id": "test/a", "version": "1.0.0", "api": "0.12", "homepage": "http://a"}
    ]
    assert document["processes"] == [
        {
            "type": "web",
            "command": ["serve"],
            "args": ["x"],
            "direct": True,
            "buildpackID": "test/a",
            "exec-env": ["*"],
        }
    ]


def test_lifecycle_metadata_label(shop: Workshop) -> None:
    toml = "[types]\nlaunch = true\ncache = true\n[metadata]\nkey = 1\nday = 2020-01-02\n"
    shop.buildpack(
        "a",
        f"mkdir $1/deps; printf '{toml}' > $1/deps.toml; echo '{{}}' > $1/launch.sbom.syft.json\n"
        + _launch_toml('[[slices]]\npaths = ["*.txt"]'),
    )
    shop.buildpack("b")
    shop.order("a b")
    made = _done(shop.build({"a.txt": "", "b": ""}))
    document = json.loads(lifecycle_label(made.event["contents"], made.ids.items()))
    data = {"key": 1, "day": "2020-01-02"}
    layer = {"sha": made.ids["test/a:deps"], "data": data, "build": False, "launch": True, "cache": True}
    assert document == {
        "app": [{"sha": made.ids["slice 1"]}, {"sha": made.ids["app"]}],
        "buildpacks": [
            {"key": "test/a", "version": "1.0.0", "layers": {"deps": layer}},
            {"key": "test/b", "version": "1.0.0", "layers": {}},
        ],
        "config": {"sha": made.ids["config"]},
        "launcher": {"sha": made.ids["launcher"]},
        "sbom": {"sha": made.ids["sbom"]},
    }


def test_slices_of_earlier_buildpacks_come_first(shop: Workshop) -> None:
    shop.buildpack("a", _launch_toml('[[slices]]\npaths = ["a*", "sub"]\n[[slices]]\npaths = ["nothing"]'))
    shop.buildpack("b", _launch_toml('[[slices]]\npaths = ["*.md"]'))
    shop.order("a b")
    made = _done(shop.build({"a.md": "", "b.md": "", "sub/deep/c.md": "", "keep": ""}))
    names = {
        title: sorted(name for name, member in made.layers[title].items() if member.isreg())
        for title in ("slice 1", "slice 2", "app")
    }
    assert names == {
        "slice 1": ["workspace/a.md", "workspace/sub/deep/c.md"],
        "slice 2": ["workspace/b.md"],
        "app": ["workspace/keep"],
    }
    assert made.event["inputs"] is None, "the app is more than its last layer: the next push needs a build"


@pytest.mark.parametrize(
    ("glob", "taken"),
    [
        ("*", "a.py b.py d/x.py d/e/y.py"),
        ("*.py", "a.py b.py"),
        ("?.py", "a.py b.py"),
        ("[ac].py", "a.py"),
        ("[^a].py", "b.py"),
        ("[a-b].py", "a.py b.py"),
        ("\\a.py", "a.py"),
        ("d", "d/x.py d/e/y.py"),
        ("d/*", "d/x.py d/e/y.py"),
        ("d/*.py", "d/x.py"),
        ("*/*/y.py", "d/e/y.py"),
        ("./d/../a.py", "a.py"),
        ("{app}/a.py", "a.py"),
        (".", "a.py b.py d/x.py d/e/y.py"),
        ("nothing", ""),
        ("!a.py", ""),
        ("[!a].py", "a.py"),
    ],
)
def test_globs_are_those_of_go(glob: str, taken: str, tmp_path: Path) -> None:
    for name in ("a.py", "b.py", "d/x.py", "d/e/y.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = split(tmp_path, [[glob.replace("{app}", str(tmp_path))]])
    assert found == ([frozenset(taken.split())] if taken else [])


@pytest.mark.parametrize("glob", ["[", "[]", "a\\", "[z-a]", ".."])
def test_what_is_no_glob_is_refused(glob: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError):
        split(tmp_path, [[glob]])
