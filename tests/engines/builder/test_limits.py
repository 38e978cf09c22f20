"""What holds a build in bounds: limits, cancellation, secrets."""

import threading
import time
from pathlib import Path

import docker
import docker.errors
import docker.utils
import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder import DockerBuilder
from gitreceive.errors import (
    BuildError,
    BuildLimitError,
    CanceledError,
    ConfigError,
    UnavailableError,
)
from gitreceive.model import Stack
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
