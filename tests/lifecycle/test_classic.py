"""Classic buildpacks of a few lines, from a source to the frames of an image, as a build container does it."""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gitreceive.lifecycle import frames, profile_scripts
from gitreceive.lifecycle.classic import is_classic, stack
from gitreceive.lifecycle.folder import FolderError, load
from gitreceive.lifecycle.launch import apply_layers
from gitreceive.lifecycle.phases import Channel, serve
from gitreceive.lifecycle.place import Place
from tests.engines.builder.case import archive, write_buildpack

DETECT = 'test -f "$1/main.txt" && echo Text'


def write_classic(packs: Path, name: str, *, detect: str = DETECT, **programs: str) -> None:
    for program, script in {"detect": detect, **programs}.items():
        file = packs / name / "bin" / program
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/bash\nset -eu\n{textwrap.dedent(script)}\n")
        file.chmod(0o755)


def write_order(packs: Path, *ids: str) -> None:
    groups = "".join(f'[[order.group]]\nid = "{identity}"\n' for identity in ids)
    (packs / "order.toml").write_text(f"[[order]]\n{groups}")


@dataclass
class Built:
    """``event`` is the last one; ``layers`` are files (links: where they lead) by title, ``reused`` titles of what was not sent."""

    event: dict[str, Any]
    layers: dict[str, dict[str, str]] = field(default_factory=dict)
    diff_ids: dict[str, str] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)


class World:
    """A place for builds; what one leaves in the layers is there for the next."""

    def __init__(self, root: Path) -> None:
        self.packs = root / "packs"
        self.packs.mkdir()
        self._root = root
        self._builds = 0
        (root / "layers").mkdir()
        (root / "launcher" / "gitreceive" / "lifecycle").mkdir(parents=True)
        for name in ("__init__.py", "lifecycle/__init__.py", "lifecycle/env.py", "lifecycle/launch.py"):
            (root / "launcher" / "gitreceive" / name).touch()
        (root / "launcher" / "launcher").touch()
        self.platform = root / "platform"

    def build(
        self,
        files: Mapping[str, bytes],
        *,
        known: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> Built:
        self._builds += 1
        app = self._root / f"app{self._builds}"
        self.platform = self._root / f"platform{self._builds}"
        for folder in (app, self.platform):
            folder.mkdir()
        place = Place(self._root / "layers", app, self.platform, self.packs, self._root / "launcher")
        order = [[asdict(m) for m in group] for group in load(self.packs).order]
        sent, received = io.BytesIO(), io.BytesIO()
        request = {
            "mark": "",
            "env": dict(env or {}),
            "secrets": dict(secrets or {}),
            "ca_bundle": "",
            "target": {"os": "linux"},
            "stack": "s",
            "known": list(known),
            "nocache": False,
            "order": order,
        }
        frames.write_message(sent.write, request)
        with archive(files) as source:
            frames.write_stream(sent.write, iter(lambda: source.read(4096), b""))
        sent.seek(0)
        serve(
            Channel(sent.read, received.write), place, {"PATH": os.environ["PATH"], "TMPDIR": str(self._root)}
        )
        received.seek(0)
        return _read(received)


def _read(stream: io.BytesIO) -> Built:
    built = Built({})
    while True:
        event = frames.read_message(stream.read)
        if event["event"] == "reuse":
            built.reused.append(event["title"])
            built.diff_ids[event["title"]] = event["diff_id"]
        elif event["event"] == "layer":
            content = b"".join(frames.read_stream(stream.read))
            built.diff_ids[event["title"]] = f"sha256:{hashlib.sha256(content).hexdigest()}"
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                built.layers[event["title"]] = {m.name: _content(tar, m) for m in tar if not m.isdir()}
        else:
            built.event = event
            return built


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member) if member.isreg() else None
    return file.read().decode(errors="replace") if file else member.linkname


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return World(tmp_path)


def _metadata(built: Built) -> dict[str, Any]:
    return dict(json.loads(built.layers["config"]["layers/config/metadata.json"]))


def test_compile_gets_the_three_folders_and_its_result_is_the_app(world: World) -> None:
    write_classic(
        world.packs,
        "text",
        compile='cp "$1/main.txt" "$1/copy.txt"; ls "$2" > "$1/cache-was"; echo x > "$2/kept"; cat "$3/COLOUR" > "$1/colour"',
    )
    write_order(world.packs, "classic/text")
    first = world.build({"main.txt": b"hi\n"}, env={"COLOUR": "red"})
    assert first.event["event"] == "done"
    assert first.event["buildpacks"] == ["classic/text@0"]
    assert first.layers["app"]["workspace/copy.txt"] == "hi\n"
    assert first.layers["app"]["workspace/colour"] == "red"
    assert first.layers["app"]["workspace/cache-was"] == ""
    second = world.build({"main.txt": b"hi\n"}, env={"COLOUR": "red"})
    assert second.layers["app"]["workspace/cache-was"] == "kept\n"


def test_release_gives_processes_that_a_later_buildpack_replaces(world: World) -> None:
    write_classic(
        world.packs,
        "a",
        compile="true",
        release="printf 'default_process_types:\\n  web: one\\n  clock: tick\\nconfig_vars:\\n  A: b\\n'",
    )
    write_classic(
        world.packs, "b", compile="true", release="printf 'default_process_types:\\n  web: two $PORT\\n'"
    )
    write_order(world.packs, "classic/a")
    alone = world.build({"main.txt": b""})
    assert alone.event["processes"] == ["web", "clock"]
    profile = {Path(name).name: content for name, content in alone.layers["classic/a:profile"].items()}
    assert (profile["A.default"], profile["HOME.override"]) == ("b", "/app")
    assert alone.layers["config"]["app"].startswith("/")
    write_order(world.packs, "classic/a", "classic/b")
    both = world.build({"main.txt": b""})
    assert both.event["processes"] == ["web"]
    (web,) = _metadata(both)["processes"]
    assert web["command"] == ["bash", "-c", "two $PORT"]


def test_a_buildpacks_export_reaches_the_next_one(world: World) -> None:
    write_classic(
        world.packs,
        "first",
        compile='here=$(dirname "$0")/..; printf "export PATH=\\"/first/bin:\\$PATH\\" LINES=\\"1\n2\\"\n" > $here/export',
    )
    write_classic(world.packs, "second", compile='echo "${PATH%%:*} $LINES" > "$1/seen"')
    write_buildpack(world.packs, "third", build='echo "${PATH%%:*}" > seen-too')
    write_order(world.packs, "classic/first", "classic/second", "test/third")
    built = world.build({"main.txt": b""})
    assert built.layers["app"]["workspace/seen"] == "/first/bin 1\n2\n"
    assert built.layers["app"]["workspace/seen-too"] == "/first/bin\n"
    assert not (world.packs / "first" / "export").exists()


def test_report_runs_after_a_failure_too_and_is_shown_then(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    write_classic(
        world.packs, "text", compile="echo no disk; exit 7", report='echo "reason: $(ls $2 | wc -l)"'
    )
    write_order(world.packs, "classic/text")
    built = world.build({"main.txt": b""})
    assert (built.event["kind"], built.event["buildpack"], built.event["code"]) == (
        "buildpack",
        "classic/text",
        7,
    )
    said = capfd.readouterr().err
    assert "no disk" in said
    assert "bin/report says:\nreason: 0" in said


def test_a_report_that_fails_does_no_harm(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    write_classic(world.packs, "text", compile="true", report="exit 3")
    write_order(world.packs, "classic/text")
    assert world.build({"main.txt": b""}).event["event"] == "done"
    assert "bin/report failed with exit code 3, which does no harm" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("release", "why"),
    [
        ("echo Traceback", "what bin/release prints cannot be used: line 1, 'Traceback'"),
        ("exit 4", "it failed with exit code 4"),
    ],
)
def test_a_release_that_cannot_be_read_fails_the_build(
    release: str, why: str, world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    write_classic(world.packs, "text", compile="true", release=release)
    write_order(world.packs, "classic/text")
    assert world.build({"main.txt": b""}).event["kind"] == "buildpack"
    assert why in capfd.readouterr().err


def test_an_export_that_fails_fails_the_build(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    write_classic(world.packs, "text", compile='echo "return 5" > "$(dirname "$0")/../export"')
    write_order(world.packs, "classic/text")
    assert world.build({"main.txt": b""}).event["kind"] == "buildpack"
    assert "its export file failed with exit code 5" in capfd.readouterr().err


def test_whoever_does_not_detect_is_passed_over(world: World) -> None:
    write_classic(world.packs, "no", compile="true", detect="echo not mine; exit 1")
    write_order(world.packs, "classic/no")
    built = world.build({"main.txt": b""})
    assert built.event["kind"] == "detect"
    (verdict,) = built.event["verdicts"]
    assert (verdict["verdict"], verdict["reason"]) == ("fail", "not mine")


def test_what_does_not_change_with_the_app_is_not_sent_again(world: World) -> None:
    make = 'mkdir -p "$1/node_modules/a" "$1/.heroku/run"; echo 1 > "$1/node_modules/a/i.js"; echo 2 > "$1/.heroku/run/x"'
    write_classic(world.packs, "text", compile=make)
    write_order(world.packs, "classic/text")
    first = world.build({"main.txt": b"one"})
    assert first.layers["slice 2"] == {"workspace/node_modules/a/i.js": "1\n"}
    assert first.layers["slice 1"] == {"workspace/.heroku/run/x": "2\n"}
    assert list(first.layers["app"]) == ["workspace/main.txt"]
    second = world.build({"main.txt": b"two"}, known=tuple(first.diff_ids.values()))
    assert second.reused == ["slice 1", "slice 2"]
    changed = {title for title, diff_id in second.diff_ids.items() if first.diff_ids[title] != diff_id}
    assert changed <= {"app", "config"}  # the config names the app's folder, which here is another
    assert second.event["inputs"] is None


def test_curl_is_given_the_operators_settings(world: World) -> None:
    write_classic(
        world.packs,
        "text",
        compile='cat "$CURL_HOME/.curlrc" | wc -l > "$1/lines"; echo "$STACK" > "$1/stack"',
    )
    write_order(world.packs, "classic/text")
    content = base64.b64encode(b'connect-to = "a:443:b:8443"\n').decode()
    built = world.build({"main.txt": b""}, secrets={"curlrc": content}, env={"STACK": "heroku-26"})
    assert built.layers["app"]["workspace/lines"].strip() == "1"
    assert built.layers["app"]["workspace/stack"] == "heroku-26\n"


def test_profile_scripts_change_the_environment_of_every_process(world: World, tmp_path: Path) -> None:
    script = 'export COLOUR="$COLOUR and blue" WHERE="$HOME"; echo said; sleep 5 & disown'
    write_classic(
        world.packs, "text", compile=f"mkdir -p $1/.profile.d; echo '{script}' > $1/.profile.d/a.sh"
    )
    write_order(world.packs, "classic/text")
    assert world.build({"main.txt": b""}).event["event"] == "done"
    layer = tmp_path / "layers" / "classic_text" / "profile"
    (layer / "env.launch" / "HOME.override").write_text(str(tmp_path / "app1"))
    env = {"PATH": os.environ["PATH"], "COLOUR": "red"}
    apply_layers(env, {"layers": [str(layer), str(layer)]}, "web")
    assert env["COLOUR"] == "red and blue"  # once, though two buildpacks have the program
    assert env["WHERE"] == str(tmp_path / "app1")


def test_a_profile_script_that_ends_the_shell_is_told(tmp_path: Path) -> None:
    (tmp_path / ".profile").write_text("exit 0\n")
    assert profile_scripts.source(dict(os.environ), str(tmp_path)) is None


def test_variables_are_written_as_toml_whatever_they_hold() -> None:
    values = {"A": 'quo"te\n\\', "B": "ü\x7f", "C": ""}
    assert tomllib.loads(profile_scripts.as_toml(values)) == values


@pytest.mark.parametrize(
    ("content", "limit"), [("max\n", None), ("536870912\n", 536870912), ("9223372036854771712\n", None)]
)
def test_the_memory_limit_is_read_from_either_version_of_cgroups(
    content: str, limit: int | None, tmp_path: Path
) -> None:
    (tmp_path / "limit").write_text(content)
    assert profile_scripts.memory_limit((str(tmp_path / "absent"), str(tmp_path / "limit"))) == limit


@pytest.mark.parametrize(
    ("libc", "expected"),
    [
        ("glibc 2.36", "heroku-22"),
        ("glibc 2.41", "heroku-24"),
        ("glibc 2.31", "heroku-22"),
        ("musl 1.2", "heroku-22"),
    ],
)
def test_the_stack_is_the_newest_whose_programs_run(libc: str, expected: str) -> None:
    assert stack(libc) == expected


def test_a_folder_is_classic_by_its_compile_and_what_its_toml_says(world: World) -> None:
    write_classic(world.packs, "text", compile="true")
    write_buildpack(world.packs, "cnb", build="true")
    (world.packs / "text" / "buildpack.toml").write_text('[buildpack]\nname = "Text"\n')
    assert is_classic(world.packs / "text")
    assert not is_classic(world.packs / "cnb")
    (world.packs / "cnb" / "bin" / "compile").write_text("")
    assert not is_classic(world.packs / "cnb")


def test_a_classic_folder_without_detect_is_refused(world: World) -> None:
    write_classic(world.packs, "text", compile="true")
    (world.packs / "text" / "bin" / "detect").unlink()
    write_order(world.packs, "classic/text")
    with pytest.raises(FolderError, match="has no bin/detect"):
        load(world.packs)


def test_the_profile_program_runs_alone(tmp_path: Path) -> None:
    (tmp_path / ".profile").write_text("export GREETING=hello\n")
    read, write = os.pipe()
    program = (
        f"import os, sys; os.dup2({write}, 3); os.execv(sys.executable, [sys.executable, '-IS', sys.argv[1]])"
    )
    subprocess.run(
        [sys.executable, "-c", program, profile_scripts.__file__],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        pass_fds=[write],
        check=True,
    )
    os.close(write)
    with open(read, encoding="utf-8") as file:
        assert tomllib.loads(file.read())["GREETING"] == "hello"
