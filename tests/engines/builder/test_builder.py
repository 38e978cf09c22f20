"""The builder on a real Docker engine, with buildpacks that are a few lines of shell."""

import gzip
import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import docker.errors
import docker.utils
import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import (
    BuildError,
    DetectError,
    SourceError,
)
from gitreceive.model import AppName, Build, Layer, Stack
from tests.engines.builder.case import (
    LAYER,
    WEB,
    HeardLog,
    Make,
    fails,
    request,
    run,
    write_buildpack,
    write_order,
)

pytestmark = pytest.mark.docker


def blobs(build: Build) -> dict[object, object]:
    return {layer.diff_id: layer.blob for layer in build.layers}


def test_a_build_gives_layers_processes_and_config(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build=LAYER + WEB + "echo made > made-here", detect="echo because")
    write_order(packs, ("one",))
    build, log, contents = run(make(), request({"hello": b"hi\n"}, stack))
    assert [layer.title for layer in build.layers] == ["test/one:deps", "launcher", "config", "app"]
    assert contents["app"] == {"workspace/hello": b"hi\n", "workspace/made-here": b"made\n"}
    assert contents["test/one:deps"]["layers/test_one/deps/env.launch/GREETER"] == b"layers"
    assert build.buildpacks == ("test/one@1.0",)
    assert [(p.name, p.command) for p in build.processes] == [("web", ("/cnb/process/web",))]
    assert build.config["Entrypoint"] == ["/cnb/process/web"]
    assert build.config["User"] == "1000:1000"
    assert build.run_image == stack.run
    assert "-----> Detected: test/one 1.0\ntest/one: because\n-----> test/one 1.0" in log.text
    assert "deps are made" in log.text


def test_the_image_runs_its_process_with_the_layers_environment(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    write_buildpack(packs, "one", build=LAYER + WEB.replace("$GREETER", "\\$GREETER"))
    write_order(packs, ("one",))
    with make().build(request({"hello": b"hi\n"}, stack), HeardLog(), Cancellation()) as build:
        client.pull(build.run_image.repository, tag=build.run_image.digest)  # type: ignore[union-attr]
        container = client.create_container(
            str(build.run_image),
            entrypoint=build.config["Entrypoint"],  # type: ignore[arg-type]
            environment=build.config["Env"],  # type: ignore[arg-type]
            user=build.config["User"],  # type: ignore[arg-type]
        )["Id"]
        try:
            for layer in build.layers:
                assert layer.path is not None
                client.put_archive(container, "/", gzip.decompress(layer.path.read_bytes()))
            client.start(container)
            assert client.wait(container)["StatusCode"] == 0
            assert client.logs(container) == b"hi\nfrom layers\n"
        finally:
            client.remove_container(container, force=True)


def test_the_same_source_gives_the_same_layers_without_caches(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build=LAYER + WEB)
    write_order(packs, ("one",))
    builder = make()
    first, _, _ = run(builder, request({"hello": b"hi\n"}, stack))
    second, log, _ = run(builder, request({"hello": b"hi\n"}, stack, options=("nocache",)))
    assert "deps are made" in log.text
    assert [layer.blob for layer in first.layers] == [layer.blob for layer in second.layers]


def test_layers_are_told_of_as_they_are_finished_and_their_files_are_whole_then(
    make: Make, packs: Path, stack: Stack
) -> None:
    write_buildpack(packs, "one", build=LAYER + WEB)
    write_order(packs, ("one",))
    told: list[tuple[str, str]] = []

    def finished(layer: Layer) -> None:
        assert layer.path
        told.append((layer.title, f"sha256:{hashlib.sha256(layer.path.read_bytes()).hexdigest()}"))

    build, _, _ = run(make(), replace(request({"hello": b"hi\n"}, stack), finished=finished))
    assert told == [(layer.title, layer.blob.digest) for layer in build.layers]


def test_a_one_line_change_ships_the_app_alone(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build=LAYER + WEB)
    write_order(packs, ("one",))
    builder = make()
    first, _, _ = run(builder, request({"hello": b"hi\n"}, stack))
    second, log, _ = run(builder, request({"hello": b"ho\n"}, stack, previous=blobs(first)))  # type: ignore[arg-type]
    assert "deps are there" in log.text
    assert [layer.title for layer in second.layers if layer.path] == ["app"]
    assert [layer.diff_id for layer in first.layers[:-1]] == [layer.diff_id for layer in second.layers[:-1]]


def test_layers_the_registry_lost_are_sent_again(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build=LAYER + WEB)
    write_order(packs, ("one",))
    builder = make()
    first, _, _ = run(builder, request({"hello": b"hi\n"}, stack))
    second, _, contents = run(builder, request({"hello": b"ho\n"}, stack, previous={}))
    assert "layers/test_one/deps/numbers" in contents["test/one:deps"]
    assert first.layers[0].blob == second.layers[0].blob


def test_a_failed_build_names_the_buildpack_its_exit_code_and_its_last_error(
    make: Make, packs: Path, stack: Stack
) -> None:
    write_buildpack(packs, "one", build="echo 'error: no such thing'; echo bye; exit 7")
    write_order(packs, ("one",))
    with pytest.raises(BuildError, match=r"^test/one failed \(exit 7\): no such thing$"):
        fails(make(), request({"hello": b""}, stack))


def test_the_line_at_which_a_script_failed_is_told(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build="set -e\n\ncp nothing there")
    write_order(packs, ("one",))
    log = HeardLog()
    with pytest.raises(BuildError, match=r"^test/one failed \(exit 1\): cp: cannot stat 'nothing'"):
        fails(make(), request({"hello": b""}, stack), log)
    assert "failed at bin/build, line 4: cp nothing there" in log.lines


def test_the_line_of_python_that_raised_is_told(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build="")
    write_order(packs, ("one",))
    (packs / "one/bin/build").write_text("#!/usr/bin/python3\nimport json\n\njson.loads('{')\n")
    log = HeardLog()
    with pytest.raises(BuildError, match=r"^test/one failed \(exit 1\): json"):
        fails(make(), request({"hello": b""}, stack), log)
    assert "failed at bin/build, line 4" in log.lines


def test_a_layer_that_a_failed_build_changed_is_not_used_again(make: Make, packs: Path, stack: Stack) -> None:
    broken = "if [ -f break ]; then echo x >> $layer/numbers; exit 1; fi"
    write_buildpack(packs, "one", build=LAYER + broken + WEB)
    write_order(packs, ("one",))
    builder = make()
    run(builder, request({"hello": b""}, stack))
    with pytest.raises(BuildError):
        fails(builder, request({"break": b""}, stack))
    _, log, contents = run(builder, request({"hello": b""}, stack))
    assert "deps are made" in log.text
    assert not contents["test/one:deps"]["layers/test_one/deps/numbers"].endswith(b"x\n")


def test_a_layer_that_a_failed_build_left_alone_is_used_again(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build=LAYER + "[ ! -f break ] || exit 1" + WEB)
    write_order(packs, ("one",))
    builder = make()
    run(builder, request({"hello": b""}, stack))
    with pytest.raises(BuildError):
        fails(builder, request({"break": b""}, stack))
    _, log, _ = run(builder, request({"hello": b""}, stack))
    assert "deps are there" in log.text


def test_an_undetected_source_is_told_all_that_was_tried(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build="", detect="echo no one.txt; exit 100", detects=("one.txt",))
    write_buildpack(packs, "two", build="", detect="exit 100")
    write_order(packs, ("one",), ("two",))
    log = HeardLog()
    with pytest.raises(DetectError, match=r"^no buildpack matched: is onne\.txt meant to be one\.txt\?$"):
        fails(make(), request({"onne.txt": b""}, stack), log)
    assert "test/one 1.0 does not take it: no one.txt" in log.text
    assert "test/two 1.0 does not take it" in log.text
    assert "files at the root: onne.txt" in log.text


def test_a_flood_of_output_comes_whole_and_in_order(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build="seq 1 300000" + WEB)
    write_order(packs, ("one",))
    _, log, _ = run(make(), request({"hello": b""}, stack))
    assert log.output == "".join(f"{number}\n" for number in range(1, 300001)).encode()


def test_an_unknown_buildpack_in_a_push_option_lists_those_that_are_known(
    make: Make, packs: Path, stack: Stack
) -> None:
    write_buildpack(packs, "one", build=WEB)
    write_order(packs, ("one",))
    with pytest.raises(DetectError, match="cobol is not a buildpack here") as caught:
        fails(make(), request({"hello": b""}, stack, options=("buildpack=cobol",)))
    assert caught.value.hint == "known: test/one"


def test_a_stack_that_changes_drops_the_caches_and_says_so(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build=LAYER + WEB)
    write_order(packs, ("one",))
    builder = make()
    run(builder, request({"hello": b""}, stack))
    other = Stack("test", stack.build, stack.build, 0, 0, stack.packages, stack.created_at)
    _, log, _ = run(builder, request({"hello": b""}, other))
    assert "caches are dropped: the stack has changed" in log.text
    assert "deps are made" in log.text


def test_forget_removes_the_caches(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build=LAYER + WEB)
    write_order(packs, ("one",))
    builder = make()
    run(builder, request({"hello": b""}, stack))
    builder.forget(AppName("shop"))
    builder.forget(AppName("shop"))
    _, log, _ = run(builder, request({"hello": b""}, stack))
    assert "deps are made" in log.text


def test_an_error_of_the_source_is_the_builds_error(make: Make, packs: Path, stack: Stack) -> None:
    from contextlib import contextmanager
    from dataclasses import replace

    @contextmanager
    def unreadable() -> Iterator[io.BytesIO]:
        raise SourceError("the commit cannot be read")
        yield io.BytesIO()

    write_buildpack(packs, "one", build=WEB)
    write_order(packs, ("one",))
    with pytest.raises(SourceError, match="the commit cannot be read"):
        fails(make(), replace(request({}, stack), archive=unreadable()))
