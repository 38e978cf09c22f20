"""A classic buildpack in a real build container, and its process in a container made of the image."""

import gzip
from pathlib import Path

import docker
import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.model import Stack
from tests.engines.builder.case import HeardLog, Make, request, run
from tests.lifecycle.test_classic import write_classic, write_order

pytestmark = pytest.mark.docker

COMPILE = """
mkdir -p /app/.heroku "$1/.heroku/text/bin" "$1/.profile.d"
printf '#!/bin/sh\\necho "$GREETING from $0 in $HOME"\\n' > "$1/.heroku/text/bin/greet"
chmod +x "$1/.heroku/text/bin/greet"
echo 'export GREETING=hello PATH="$HOME/.heroku/text/bin:$PATH"' > "$1/.profile.d/text.sh"
echo "stack $STACK, home $HOME, cache $(ls "$2")"; touch "$2/kept"
"""
RELEASE = """printf 'default_process_types:\\n  web: greet; env | grep -c GREETING\\n'"""


def test_a_classic_buildpack_builds_an_image_whose_process_has_its_profile(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    write_classic(packs, "text", compile=COMPILE, release=RELEASE)
    write_order(packs, "classic/text")
    log = HeardLog()
    with make().build(request({"main.txt": b"hi\n"}, stack), log, Cancellation()) as build:
        assert "stack heroku-22, home /app, cache \n" in log.text
        titles = [layer.title for layer in build.layers]
        assert titles == ["classic/text:profile", "launcher", "config", "slice 1", "app"]
        client.pull(build.run_image.repository, tag=build.run_image.digest)  # type: ignore[union-attr]
        container = client.create_container(
            str(build.run_image),
            entrypoint=build.config["Entrypoint"],  # type: ignore[arg-type]
            environment=build.config["Env"],  # type: ignore[arg-type]
            working_dir=build.config["WorkingDir"],  # type: ignore[arg-type]
            user=build.config["User"],  # type: ignore[arg-type]
        )["Id"]
        try:
            for layer in build.layers:
                assert layer.path is not None
                client.put_archive(container, "/", gzip.decompress(layer.path.read_bytes()))
            client.start(container)
            assert client.wait(container)["StatusCode"] == 0
            said = client.logs(container).decode()
            assert said == "hello from /app/.heroku/text/bin/greet in /app\n1\n"
        finally:
            client.remove_container(container, force=True)


def test_a_change_of_the_app_sends_only_the_apps_layer(make: Make, packs: Path, stack: Stack) -> None:
    write_classic(packs, "text", compile=COMPILE, release=RELEASE)
    write_order(packs, "classic/text")
    builder = make()
    first, _, _ = run(builder, request({"main.txt": b"one\n"}, stack))
    previous = {layer.diff_id: layer.blob for layer in first.layers}
    second, log, contents = run(builder, request({"main.txt": b"two\n"}, stack, previous=previous))
    assert list(contents) == ["app"]
    assert contents["app"]["workspace/main.txt"] == b"two\n"
    assert [layer.title for layer in second.layers] == [layer.title for layer in first.layers]
    assert "cache kept\n" in log.text
