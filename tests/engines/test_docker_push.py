"""What Docker says while it pushes becomes a digest or an error, never a false success."""

import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.engines.docker_push import DockerPush, connect
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.errors import CanceledError, RegistryError
from gitreceive.model import Build, Digest, ImageRef
from gitreceive.patience import Patience
from tests.engines.oci_images import Notes, build, layer, tar
from tests.engines.real_registry import docker_registry
from tests.fake_registry import FakeRegistry

DIGEST = Digest("sha256:" + "d" * 64)
IMAGE = Build(("dockerfile",), (), 8080, None, (), {}, engine_image="sha256:" + "e" * 64)


class SpokenEngine:
    """An engine that says what it is told to."""

    def __init__(self, *events: dict[str, Any], silent: threading.Event | None = None) -> None:
        self.events = events
        self.silent = silent
        self.tags: list[tuple[str, str, str]] = []
        self.closed = False

    def tag(self, image: str, repository: str, tag: str, *, force: bool) -> None:
        self.tags.append((image, repository, tag))

    def push(self, repository: str, *, tag: str, stream: bool, decode: bool) -> Iterator[dict[str, Any]]:
        yield from self.events
        if self.silent:
            self.silent.wait(20)

    def close(self) -> None:
        self.closed = True


def pushing(
    *events: dict[str, Any], silent: threading.Event | None = None
) -> tuple[DockerPush, SpokenEngine, FakeRegistry]:
    engine = SpokenEngine(*events, silent=silent)
    registry = FakeRegistry("registry.test/team")
    registry.images[ImageRef("registry.test/team/shop", DIGEST)] = IMAGE
    quick = Patience(attempts=3, first=0.01)
    return DockerPush(registry, "registry.test/team", lambda: engine, quick), engine, registry  # type: ignore[arg-type, return-value]


def test_the_digest_is_the_one_that_docker_reports() -> None:
    push, engine, _ = pushing(
        {"status": "The push refers to repository"},
        {"status": "Pushed", "id": "abc"},
        {"status": "Layer already exists", "id": "def"},
        {"progressDetail": {}, "aux": {"Tag": "x", "Digest": DIGEST, "Size": 3}},
    )
    log = Notes()

    assert push.publish(IMAGE, "shop", log, Cancellation()) == ImageRef("registry.test/team/shop", DIGEST)
    assert engine.tags == [(IMAGE.engine_image, "registry.test/team/shop", "e" * 12)]
    assert engine.closed
    assert log.lines[:2] == ["layer abc sent", "layer def already there"]


@pytest.mark.parametrize(
    ("said", "times"), [("received unexpected HTTP status: 503", 3), ("denied: not yours", 1)]
)
def test_what_may_pass_is_pushed_again_and_what_may_not_is_not(said: str, times: int) -> None:
    push, engine, _ = pushing({"error": said})

    with pytest.raises(RegistryError, match=said[:12]):
        push.publish(IMAGE, "shop", Notes(), Cancellation())
    assert len(engine.tags) == times


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("unauthorized: authentication required", "docker login"),
        ("http: server gave HTTP response to HTTPS client", "insecure-registries"),
        ("received unexpected HTTP status: 500", "push again"),
    ],
)
def test_an_error_inside_the_stream_fails_the_publish(said: str, hint: str) -> None:
    push, _, _ = pushing({"status": "Pushed", "id": "a"}, {"errorDetail": {"message": said}, "error": said})

    with pytest.raises(RegistryError, match=said[:12]) as caught:
        push.publish(IMAGE, "shop", Notes(), Cancellation())
    assert hint in caught.value.hint


def test_a_stream_that_ends_without_a_digest_fails_the_publish() -> None:
    push, _, _ = pushing({"status": "Pushed", "id": "a"})

    with pytest.raises(RegistryError, match="no digest"):
        push.publish(IMAGE, "shop", Notes(), Cancellation())


def test_a_digest_that_the_registry_does_not_have_fails_the_publish() -> None:
    push, _, registry = pushing({"aux": {"Digest": DIGEST}})
    registry.images.clear()

    with pytest.raises(RegistryError, match="no longer has"):
        push.publish(IMAGE, "shop", Notes(), Cancellation())


def test_a_cancel_is_heard_while_docker_is_silent() -> None:
    silent, cancel = threading.Event(), Cancellation()
    push, _, _ = pushing({"status": "Preparing"}, silent=silent)
    timer = threading.Timer(0.2, cancel.request, ("carol canceled it",))
    timer.start()
    began = time.monotonic()

    with pytest.raises(CanceledError, match="carol"):
        push.publish(IMAGE, "shop", Notes(), cancel)
    assert time.monotonic() - began < 2
    silent.set()
    timer.join()


def test_other_builds_go_straight_to_the_registry(tmp_path: Path) -> None:
    push, engine, registry = pushing()
    made = build(layer(tmp_path, "app"))

    image = push.publish(made, "shop", Notes(), Cancellation())

    assert registry.images[image] == made
    assert push.size(image) == registry.size(image)
    assert not engine.tags


@pytest.mark.docker
@pytest.mark.registry
def test_a_real_engine_s_image_arrives_in_a_real_registry(tmp_path: Path) -> None:
    # not by trying: docker-py leaves its socket open where nobody answers
    if not os.environ.get("DOCKER_HOST") and not Path("/var/run/docker.sock").exists():
        pytest.skip("there is no Docker engine: set DOCKER_HOST")
    client = connect()
    with docker_registry(tmp_path) as address:
        registry = OciRegistry(address, insecure=False, environment={}, login=lambda host: None)
        content = io.BytesIO(tar({"hello": os.urandom(1000)}))
        client.import_image_from_data(content.getvalue(), repository=f"{address}/shop", tag="made")
        image = client.inspect_image(f"{address}/shop:made")["Id"]  # type: ignore[no-untyped-call]
        made = Build(("dockerfile",), (), None, None, (), {}, engine_image=image)
        try:
            ref = DockerPush(registry, address).publish(made, "shop", Notes(), Cancellation())
            assert len(registry.layers(ref)) == 1
            assert registry.size(ref) > 0
        finally:
            client.remove_image(image, force=True)
            client.close()
            registry.close()
