"""What authors of buildpacks use: a skeleton, its lint, and a build with it in the stack."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli

_FILES = ["buildpack.toml", "bin/detect", "bin/build", "test/run", "test/app/main.lua"]


def test_a_new_buildpack_is_a_folder_that_lint_finds_nothing_wrong_with(cli: Cli) -> None:
    said = cli("buildpack", "new", "acme/lua").ok()
    assert said.out.split() == [f"lua/{name}" for name in _FILES]
    assert "try it: gitreceive buildpack test lua" in said.err
    for program in ("bin/detect", "bin/build", "test/run"):
        assert Path("lua", program).stat().st_mode & 0o111
    assert cli("buildpack", "lint", "lua", "--strict").ok().err == "nothing is wrong\n"
    assert cli("buildpack", "lint", "lua", "--json").ok().json() == []


def test_new_says_for_programs_what_it_wrote(cli: Cli) -> None:
    said = cli("buildpack", "new", "acme/lua", "there", "--file", "x.lua", "--json").ok().json()
    assert said == {"id": "acme/lua", "folder": "there", "files": [*_FILES[:-1], "test/app/x.lua"]}


def test_new_writes_over_nothing(cli: Cli) -> None:
    Path("lua").mkdir()
    Path("lua/mine").write_text("mine")
    cli("buildpack", "new", "acme/lua").failed(4, "lua is there already", "name another folder")
    cli("buildpack", "new", "acme/lua", "lua/mine").failed(4, "lua/mine is there already")
    cli("buildpack", "new", "a b").failed(2, "cannot be a buildpack's id")
    assert [path.name for path in Path("lua").iterdir()] == ["mine"]


def test_lint_fails_for_errors_and_with_strict_for_warnings(cli: Cli) -> None:
    cli("buildpack", "new", "acme/lua").ok()
    description = Path("lua/buildpack.toml")
    text = description.read_text()
    description.write_text(text.replace("name =", "nmae ="))
    assert cli("buildpack", "lint", "lua").ok().out.startswith("buildpack.toml:6: warning: 'nmae' is no key")
    assert cli("buildpack", "lint", "lua", "--strict").code == 1
    description.write_text(text.replace("api =", "api"))
    broken = cli("buildpack", "lint", "lua")
    assert (broken.code, broken.err) == (1, "1 found\n")
    assert broken.out.startswith("buildpack.toml:1: error: it cannot be read")
    (found,) = cli("buildpack", "lint", "lua", "--json").json()
    assert (found["level"], found["file"], found["line"]) == ("error", "buildpack.toml", 1)


def test_test_asks_for_what_it_lacks_before_it_builds(cli: Cli) -> None:
    cli("buildpack", "new", "acme/lua").ok()
    cli("buildpack", "test", "lua").failed(6, "no stack to build in", "--build-image")
    cli("buildpack", "test", "lua", "--build-image", "debian:12").failed(2, "REPOSITORY@sha256")
    cli("buildpack", "test", "lua", "--app", "nowhere").failed(2, "nowhere")
    Path("lua/test/app/main.lua").unlink()
    Path("lua/test/app").rmdir()
    cli("buildpack", "test", "lua").failed(3, "lua has no test/app", "--app DIR")
    Path("lua/bin/build").chmod(0o644)
    refused = cli("buildpack", "test", "lua")
    assert (refused.code, refused.out) == (
        1,
        "bin/build: error: it is not executable: chmod +x bin/build\n",
    )


def test_over_ssh_none_of_it_runs(cli: Cli) -> None:
    cli("buildpack", "new", "acme/lua", acting="alice").failed(5, "does not run over SSH")
    assert not Path("lua").exists()


@pytest.mark.docker
def test_a_new_buildpack_builds_its_sample(docker_cli: Cli) -> None:
    docker_cli("buildpack", "new", "acme/lua").ok()
    script = Path("lua/bin/build")
    variable = 'mkdir -p "$tools/env.launch" && printf 5.4 > "$tools/env.launch/LUA_VERSION.default"\n'
    script.write_text(script.read_text() + variable)
    said = docker_cli("buildpack", "test", "lua", "--process", "web").ok()
    assert "-----> Detected: acme/lua 0.1.0\n       acme/lua: main.lua is there" in said.err
    assert "making tools 1" in said.err
    for text in (
        "group\n  acme/lua@0.1.0\n",
        "lua-web  (default)",
        "LUA_VERSION.default  5.4  (acme/lua:tools)",
    ):
        assert text in said.out
    seen = docker_cli("buildpack", "test", "lua", "--json").ok().json()
    assert seen["group"] == ["acme/lua@0.1.0"]
    assert [layer["title"] for layer in seen["layers"]] == ["acme/lua:tools", "app"]
    assert seen["processes"] == [
        {"type": "web", "command": ["lua-web"], "default": True, "buildpack": "acme/lua"}
    ]
    assert list(seen["seconds"]) == ["prepare and detect", "acme/lua 0.1.0"]
    assert not any(path.name != "ledger.db" for path in docker_cli.folder.glob("*.db"))


@pytest.mark.docker
def test_how_a_test_ends_is_its_exit_code(docker_cli: Cli) -> None:
    docker_cli("buildpack", "new", "acme/lua").ok()
    missing = docker_cli("buildpack", "test", "lua", "--process", "worker")
    assert missing.code == 30
    assert "no process type worker" in missing.err
    Path("empty").mkdir()
    docker_cli("buildpack", "test", "lua", "--app", "empty").failed(
        20, "acme/lua 0.1.0 does not take it: no main.lua"
    )
    script = Path("lua/bin/build")
    script.write_text(script.read_text().replace("wanted=1", "no-such-tool; wanted=1"))
    docker_cli("buildpack", "test", "lua").failed(
        30, "acme/lua failed (exit 127)", "no-such-tool is not in the build image"
    )


@pytest.mark.docker
def test_what_a_build_reads_beside_its_inputs_is_told(docker_cli: Cli) -> None:
    docker_cli("buildpack", "new", "acme/lua").ok()
    docker_cli("buildpack", "test", "lua", "--strict").ok()
    _write("lua/test/app/conf/deep/lock.json", "{}")
    script = Path("lua/bin/build")
    script.write_text(script.read_text() + "cat conf/*/lock.json main.lua > /dev/null\n")
    said = docker_cli("buildpack", "test", "lua").ok()
    assert "  bin/build of acme/lua  conf/deep/lock.json, main.lua\n" in said.out
    assert said.out.endswith(
        "buildpack.toml: warning: bin/build of acme/lua reads conf/deep/lock.json, "
        'which metadata.gitreceive.inputs does not cover: add "conf/deep/lock.json"\n'
    )
    strict = docker_cli("buildpack", "test", "lua", "--strict", "--json")
    assert strict.code == 1
    assert [found["level"] for found in strict.json()["findings"]] == ["warning"]
    description = Path("lua/buildpack.toml")
    description.write_text(description.read_text().replace('inputs = ["', 'inputs = ["conf", "'))
    docker_cli("buildpack", "test", "lua", "--strict").ok()


@pytest.mark.docker
def test_a_classic_buildpack_and_a_composite_are_tested_as_they_are(docker_cli: Cli) -> None:
    docker_cli("buildpack", "new", "acme/lua").ok()
    _write("old/bin/detect", "#!/bin/sh\n[ -f main.lua ] && echo Lua\n")
    _write("old/bin/compile", "#!/bin/sh\necho compiling $(ls)\n")
    _write("old/bin/release", "#!/bin/sh\nprintf 'default_process_types:\\n  web: lua main.lua\\n'\n")
    said = docker_cli("buildpack", "test", "old", "--app", "lua/test/app", "--json").ok()
    assert "compiling main.lua" in said.err
    assert said.json()["group"] == ["classic/old@0"]
    assert said.json()["processes"][0]["command"] == ["bash", "-c", "lua main.lua"]

    order = '[[order]]\n[[order.group]]\nid = "acme/lua"\nversion = "0.1.0"\n'
    _write("all/buildpack.toml", 'api = "0.10"\n[buildpack]\nid = "a/all"\nversion = "1.0.0"\n' + order)
    words = ("buildpack", "test", "all", "--app", "lua/test/app")
    docker_cli(*words).failed(6, "buildpack acme/lua 0.1.0 is in the order", "--with DIR")
    assert "  acme/lua@0.1.0\n" in docker_cli(*words, "--with", "lua").ok().out


def _write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    Path(path).chmod(0o755)


@pytest.mark.docker
def test_without_docker_it_says_so(docker_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    docker_cli("buildpack", "new", "acme/lua").ok()
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
        docker_cli("buildpack", "test", "lua").failed(71, "Docker does not answer")
