"""The builder on a real Docker engine, with buildpacks that are a few lines of shell."""

import contextlib
import gzip
import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import docker.errors
import docker.utils
import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings, process_environment
from gitreceive.engines.docker_builder import DockerBuilder
from gitreceive.errors import (
    BuildError,
    BuildLimitError,
    CanceledError,
    ConfigError,
    DetectError,
    SourceError,
    UnavailableError,
)
from gitreceive.model import AppName, Build, Layer, Stack
from gitreceive.ports import BuildRequest
from tests.engines.builder_case import HeardLog, request, test_stack, write_buildpack, write_order

pytestmark = pytest.mark.docker

WEB = """
cat > $CNB_LAYERS_DIR/launch.toml <<END
[[processes]]
type = "web"
command = ["sh", "-c", "cat hello; echo from $GREETER"]
default = true
END
"""
LAYER = """
layer=$CNB_LAYERS_DIR/deps
if [ -d $layer ]; then echo "deps are there"; else
  mkdir -p $layer/env.launch; echo -n layers > $layer/env.launch/GREETER
  seq 1 20000 > $layer/numbers; echo "deps are made"
fi
printf '[types]\\nlaunch = true\\ncache = true\\n[metadata]\\nkey = "a"\\n' > $layer.toml
"""

Make = Callable[..., DockerBuilder]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return test_stack(tmp_path_factory.mktemp("stack"))


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    options = docker.utils.kwargs_from_env(environment=process_environment())
    with contextlib.closing(docker.APIClient(version="auto", **options)) as client:
        yield client


@pytest.fixture
def make(tmp_path: Path, client: docker.APIClient) -> Iterator[Make]:
    """A builder over the buildpacks in ``tmp_path / "packs"``."""
    (tmp_path / "packs").mkdir()
    made: list[DockerBuilder] = []

    def builder(**settings: object) -> DockerBuilder:
        settings.setdefault("network", "none")
        values = BuildSettings(buildpacks=str(tmp_path / "packs"), **settings)  # type: ignore[arg-type]
        made.append(DockerBuilder(values, tmp_path / "data"))
        return made[-1]

    yield builder
    for one in made:
        one.sweep()
        one.forget(AppName("shop"))
        one.close()


@pytest.fixture
def packs(tmp_path: Path, make: Make) -> Path:
    return tmp_path / "packs"


def run(builder: DockerBuilder, asked: BuildRequest) -> tuple[Build, HeardLog, dict[str, dict[str, bytes]]]:
    """The build, what was logged, and each layer's files by title."""
    log = HeardLog()
    with builder.build(asked, log, Cancellation()) as build:
        contents = {layer.title: files_of(layer) for layer in build.layers if layer.path}
    return build, log, contents


def fails(builder: DockerBuilder, asked: BuildRequest, log: HeardLog | None = None) -> None:
    with builder.build(asked, log or HeardLog(), Cancellation()):
        pytest.fail("the build went well")


def files_of(layer: Layer) -> dict[str, bytes]:
    assert layer.path is not None
    raw = gzip.decompress(layer.path.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return {
            member.name: content.read() if (content := tar.extractfile(member)) else b""
            for member in tar
            if not member.isdir() and not member.issym()
        }


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


def test_downloads_outlive_a_failed_build_and_a_secret_among_them_does_not(
    make: Make, packs: Path, stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("s3cr3t-canary-value\n")
    script = """
    for name in clean leaky; do
      [ ! -f $1/$name/file ] || echo $name is there
      mkdir -p $1/$name; echo $name >> $1/$name/file
      printf '[types]\\ncache = true\\n' > $1/$name.toml
    done
    [ ! -f leak ] || cat /platform/secrets/TOKEN > $1/leaky/token
    [ ! -f leak ] || exit 1
    """
    write_buildpack(packs, "one", build=script + WEB)
    write_order(packs, ("one",))
    builder = make(secrets={"TOKEN": str(tmp_path / "token")})
    with pytest.raises(BuildError):
        fails(builder, request({"leak": b""}, stack))
    _, log, _ = run(builder, request({"hello": b""}, stack))
    assert "clean is there" in log.text
    assert "leaky is there" not in log.text


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


def test_a_build_past_its_time_is_stopped(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build="sleep 60")
    write_order(packs, ("one",))
    began = time.monotonic()
    with pytest.raises(BuildLimitError, match="longer than 2 seconds"):
        fails(make(timeout=2), request({"hello": b""}, stack))
    assert time.monotonic() - began < 20


def test_a_build_out_of_memory_says_so(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build="python3 -c 'x = bytearray(512 << 20); print(len(x))'")
    write_order(packs, ("one",))
    with pytest.raises(BuildLimitError, match="out of its memory, 128m"):
        fails(make(memory="128m"), request({"hello": b""}, stack))


def test_a_canceled_build_ends_within_a_second_and_leaves_no_container(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    write_buildpack(packs, "one", build="echo begun; sleep 60")
    write_order(packs, ("one",))
    builder, cancel, log = make(), Cancellation(), HeardLog()
    canceled: list[float] = []

    def cancel_once_begun() -> None:
        while "begun" not in log.text:
            time.sleep(0.01)
        canceled.append(time.monotonic())
        cancel.request("canceled by ada")

    thread = threading.Thread(target=cancel_once_begun)
    thread.start()
    with (
        pytest.raises(CanceledError, match="canceled by ada"),
        builder.build(request({}, stack), log, cancel),
    ):
        pytest.fail("the build went well")
    thread.join()
    assert time.monotonic() - canceled[0] < 2
    assert not client.containers(
        all=True, filters={"label": [f"gitreceive.data={builder.owner}", "gitreceive.job"]}
    )


def test_secrets_reach_the_build_but_never_the_log(
    make: Make, packs: Path, stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("s3cr3t-canary-value\n")
    show = "cat /platform/secrets/TOKEN; stat -c %a /platform/secrets/TOKEN; base64 /platform/secrets/TOKEN\n"
    write_buildpack(packs, "one", build=show + WEB)
    write_order(packs, ("one",))
    _, log, _ = run(make(secrets={"TOKEN": str(tmp_path / "token")}), request({"hello": b""}, stack))
    assert log.output.startswith(b"***\n400\n***")
    assert "canary" not in log.text
    assert "czNjcjN0LWNhbmFyeS" not in log.text


@pytest.mark.parametrize(
    "place_and_name",
    [
        ("$CNB_LAYERS_DIR/deps/deep/conf", "test/one:deps: deep/conf"),
        ("deep/conf", "layer app: /workspace/deep/conf"),
    ],
)
def test_a_secret_in_a_layer_fails_the_build(
    place_and_name: tuple[str, str], make: Make, packs: Path, stack: Stack, tmp_path: Path
) -> None:
    place, named = place_and_name
    (tmp_path / "token").write_text("s3cr3t-canary-value\n")
    leak = (
        f'mkdir -p {place}; rmdir {place}; (echo -n "url="; base64 -w0 /platform/secrets/TOKEN) > {place}\n'
    )
    write_buildpack(packs, "one", build=LAYER + leak + WEB)
    write_order(packs, ("one",))
    with pytest.raises(BuildError, match="build secret") as caught:
        fails(make(secrets={"TOKEN": str(tmp_path / "token")}), request({"hello": b""}, stack))
    assert named in caught.value.message


def test_operators_variables_and_authorities_reach_detect_and_build(
    make: Make, packs: Path, stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nour own\n-----END CERTIFICATE-----\n")
    show = 'echo "$INDEX $http_proxy"; cat $1/env/INDEX; grep own $SSL_CERT_FILE $NODE_EXTRA_CA_CERTS'
    write_buildpack(packs, "one", build=show.replace("$1", "$2") + WEB, detect=show)
    write_order(packs, ("one",))
    builder = make(
        env={"INDEX": "http://index/", "HTTP_PROXY": "http://proxy/"}, ca_bundle=str(tmp_path / "ca.pem")
    )
    _, log, contents = run(builder, request({"hello": b""}, stack))
    assert "http://index/ http://proxy/\nhttp://index/" in log.output.decode()
    assert "/platform/ca/ca-bundle.pem:our own" in log.text
    assert not any(b"our own" in content for files in contents.values() for content in files.values())


def test_the_build_is_not_root_and_reaches_neither_docker_nor_the_buildpacks_files(
    make: Make, packs: Path, stack: Stack
) -> None:
    probe = """
    id -u; [ ! -e /var/run/docker.sock ] && echo no socket
    touch /cnb/lifecycle/x /cnb/buildpacks/x /cnb/x 2> /dev/null || echo read-only
    grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status
    """
    write_buildpack(packs, "one", build=probe + WEB)
    write_order(packs, ("one",))
    _, log, _ = run(make(), request({"hello": b""}, stack))
    facts = log.output.decode().split()
    assert facts[:4] == ["1000", "no", "socket", "read-only"]
    assert facts[4:] == ["CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"]


def test_a_flood_of_output_comes_whole_and_in_order(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build="seq 1 300000" + WEB)
    write_order(packs, ("one",))
    _, log, _ = run(make(), request({"hello": b""}, stack))
    assert log.output == "".join(f"{number}\n" for number in range(1, 300001)).encode()


def test_a_dockerfile_is_built_by_docker(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    text = b"ARG GITRECEIVE_RUN_IMAGE\nFROM ${GITRECEIVE_RUN_IMAGE}\nCOPY hello /hello\nEXPOSE 8080\nRUN echo was here\n"
    files = {"Dockerfile": text, "hello": b"hi"}
    log = HeardLog()
    with make().build(request(files, stack), log, Cancellation()) as build:
        assert (build.port, build.buildpacks) == (8080, ("dockerfile",))
        assert [process.name for process in build.processes] == ["web"]
        image = client.inspect_image(build.engine_image)  # type: ignore[no-untyped-call]
        assert image["Config"]["Labels"]["org.opencontainers.image.title"] == "shop"
    assert "was here" in log.text
    with pytest.raises(docker.errors.ImageNotFound):
        client.inspect_image(build.engine_image)  # type: ignore[no-untyped-call]


def test_a_dockerfile_that_fails_says_at_what(make: Make, packs: Path, stack: Stack) -> None:
    files = {"Dockerfile": b"ARG GITRECEIVE_RUN_IMAGE\nFROM $GITRECEIVE_RUN_IMAGE\nRUN echo oops && exit 3\n"}
    log = HeardLog()
    with pytest.raises(BuildError, match=r"the Dockerfile failed: .* returned a non-zero code: 3"):
        fails(make(), request(files, stack), log)
    assert "oops" in log.text


def test_a_dockerfile_that_takes_too_long_is_stopped(make: Make, packs: Path, stack: Stack) -> None:
    files = {"Dockerfile": b"ARG GITRECEIVE_RUN_IMAGE\nFROM $GITRECEIVE_RUN_IMAGE\nRUN sleep 60\n"}
    began = time.monotonic()
    with pytest.raises(BuildLimitError, match="longer than 3 seconds"):
        fails(make(timeout=3), request(files, stack))
    assert time.monotonic() - began < 20


def test_a_dockerfile_build_can_be_canceled(make: Make, packs: Path, stack: Stack) -> None:
    files = {
        "Dockerfile": b"ARG GITRECEIVE_RUN_IMAGE\nFROM $GITRECEIVE_RUN_IMAGE\nRUN echo begun; sleep 60\n"
    }
    cancel = Cancellation()
    timer = threading.Timer(2, cancel.request, ["canceled by ada"])
    timer.start()
    began = time.monotonic()
    with (
        pytest.raises(CanceledError, match="canceled by ada"),
        make().build(request(files, stack), HeardLog(), cancel),
    ):
        pytest.fail("the build went well")
    timer.join()
    assert time.monotonic() - began < 10


def test_an_unknown_buildpack_in_a_push_option_lists_those_that_are_known(
    make: Make, packs: Path, stack: Stack
) -> None:
    write_buildpack(packs, "one", build=WEB)
    write_order(packs, ("one",))
    with pytest.raises(DetectError, match="buildpack=cobol is not a buildpack here") as caught:
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


def test_a_container_of_a_killed_server_is_swept(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    write_buildpack(packs, "one", build="echo begun; sleep 600")
    write_order(packs, ("one",))
    builder, log = make(), HeardLog()
    ended: list[BaseException] = []

    def build() -> None:
        try:
            fails(builder, request({}, stack), log)
        except UnavailableError as error:
            ended.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    while "begun" not in log.text:
        time.sleep(0.01)
    make().sweep()
    thread.join(20)
    assert not client.containers(
        all=True, filters={"label": [f"gitreceive.data={builder.owner}", "gitreceive.job"]}
    )
    assert "ended without a word" in str(ended[0])


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


def test_docker_that_is_down_is_unavailable(
    make: Make, packs: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    write_buildpack(packs, "one", build=WEB)
    write_order(packs, ("one",))
    builder = DockerBuilder(BuildSettings(buildpacks=str(packs)), packs / "data")
    with pytest.raises(UnavailableError, match="Docker does not answer"):
        fails(builder, request({}, stack))


def test_a_secret_too_short_to_find_is_refused_at_once(make: Make, tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("1234567\n")
    with pytest.raises(ConfigError, match="PIN is shorter than 8 characters"):
        make(secrets={"PIN": str(tmp_path / "pin")})
