"""Layers that are sent while the build goes on, and those that another app's repository has."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.engines.oci_registry.transport import Patience
from gitreceive.errors import CanceledError, RegistryError
from gitreceive.model import ImageRef, Layer
from tests.engines.oci_images import Notes, build, digest, layer
from tests.engines.real_registry import docker_registry
from tests.engines.scripted_registry import Handler, ScriptedRegistry, serving, status

UPLOAD = "/blobs/uploads/u"


@pytest.fixture
def server() -> Iterator[ScriptedRegistry]:
    with serving() as scripted:
        yield scripted


@pytest.fixture
def engine(server: ScriptedRegistry) -> Iterator[OciRegistry]:
    registry = connected(server.address)
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def real_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("docker-registry")) as address:
        yield address


def connected(address: str) -> OciRegistry:
    patience = Patience(attempts=2, seconds=5, first=0.01)
    return OciRegistry(address, insecure=False, environment={}, login=lambda host: None, patience=patience)


def publish(
    registry: OciRegistry, *layers: Layer, repository: str = "shop", log: Notes | None = None
) -> ImageRef:
    return registry.publish(build(*layers), repository, log or Notes(), Cancellation())


def soon(seen: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_layer_is_there_before_the_build_has_ended_and_is_sent_once(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    runtime, app, log = layer(tmp_path, "runtime"), layer(tmp_path, "app"), Notes()
    with engine.sending("shop", log, Cancellation()) as send:
        send(runtime)
        soon(lambda: runtime.blob.digest in server.blobs.get("shop", {}))

        image = publish(engine, runtime, app, log=log)

    assert set(engine.layers(image)) == {runtime.diff_id, app.diff_id}
    assert server.count("PUT", UPLOAD) == 3  # both layers and the config
    assert "2 layers sent" in log.text


def test_layers_go_several_at_a_time(server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path) -> None:
    together = threading.Barrier(3)

    def wait_for_the_others(_handler: Handler) -> bool:
        together.wait(20)
        return False

    server.fail("PUT", UPLOAD, wait_for_the_others, times=3)
    layers = [layer(tmp_path, title) for title in ("runtime", "dependencies", "app")]
    with engine.sending("shop", Notes(), Cancellation()) as send:
        for one in layers:
            send(one)
        image = publish(engine, *layers)

    assert len(engine.layers(image)) == 3


def test_one_that_did_not_arrive_is_sent_anew_when_it_is_published(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    app, log = layer(tmp_path, "app"), Notes()
    server.fail("PUT", UPLOAD, status(403))
    with engine.sending("shop", Notes(), Cancellation()) as send:
        send(app)
        soon(lambda: server.count("PUT", UPLOAD) == 1)  # and not the config's, which is sent beside it
        image = publish(engine, app, log=log)

    assert set(engine.layers(image)) == {app.diff_id}
    assert "sending app" in log.text


def test_one_that_cannot_be_sent_fails_the_publish_and_not_the_build(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    app = layer(tmp_path, "app")
    server.fail("PUT", UPLOAD, status(403), times=99)
    with engine.sending("shop", Notes(), Cancellation()) as send:
        send(app)
        soon(lambda: server.count("PUT", UPLOAD) == 1)
        with pytest.raises(RegistryError, match="403"):
            publish(engine, app)


def test_what_is_under_way_ends_with_a_canceled_push(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    cancel, app = Cancellation(), layer(tmp_path, "app")
    server.fail("PUT", UPLOAD, status(503, {"Retry-After": "30"}), times=99)
    with engine.sending("shop", Notes(), cancel) as send:
        send(app)
        soon(lambda: server.count("PUT", UPLOAD) == 1)
        cancel.request("alice canceled it")
        with pytest.raises(CanceledError, match="alice"):
            engine.publish(build(app), "shop", Notes(), cancel)
    assert server.count("PUT", UPLOAD) == 1
    with pytest.raises(CanceledError), engine.sending("shop", Notes(), cancel):
        pass


def test_a_layer_of_another_app_is_taken_over_and_no_byte_of_it_is_sent(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    runtime, ours, theirs = layer(tmp_path, "runtime"), layer(tmp_path, "ours"), layer(tmp_path, "theirs")
    publish(engine, runtime, ours)
    sent = server.count("PUT", UPLOAD)
    with engine.sending("blog", Notes(), Cancellation()) as send:
        send(runtime)
        image = publish(engine, runtime, theirs, repository="blog")

    assert set(engine.layers(image)) == {runtime.diff_id, theirs.diff_id}
    assert server.count("PUT", UPLOAD) == sent + 2  # their own layer and config
    assert server.count("POST", "mount=") == 1


def test_a_server_that_was_restarted_learns_again_where_layers_are(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    runtime = layer(tmp_path, "runtime")
    first = publish(engine, runtime)
    restarted = connected(server.address)
    restarted.layers(first)  # as the next push of that app asks

    publish(restarted, replace(runtime, path=None), repository="blog")

    restarted.close()
    assert runtime.blob.digest in server.blobs["blog"]


def test_where_a_registry_does_not_give_the_other_apps_layer_it_is_sent(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    refused, gone = layer(tmp_path, "refused"), layer(tmp_path, "gone")
    publish(engine, refused, gone)
    server.fail("POST", "mount=.*from=shop", status(403))
    publish(engine, refused, repository="blog")
    del server.blobs["shop"][gone.blob.digest]
    server.blobs["blog"].pop(gone.blob.digest, None)

    image = publish(engine, refused, gone, repository="blog")

    assert set(engine.layers(image)) == {refused.diff_id, gone.diff_id}


@pytest.mark.registry
def test_debians_registry_takes_a_layer_over_from_another_app(real_address: str, tmp_path: Path) -> None:
    engine, runtime = connected(real_address), layer(tmp_path, "runtime")
    mine, theirs = (f"t/{digest(str(tmp_path / name).encode()).short}" for name in ("mine", "theirs"))
    with engine.sending(mine, Notes(), Cancellation()) as send:
        send(runtime)
        publish(engine, runtime, repository=mine)

    image = publish(
        engine, replace(runtime, path=None), repository=theirs
    )  # there is nothing that could be sent

    assert set(engine.layers(image)) == {runtime.diff_id}
    engine.close()
