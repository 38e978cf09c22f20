"""The docker target on a real engine."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.config import DockerSettings, Settings
from gitreceive.engines.docker_target import DockerTarget
from gitreceive.engines.docker_target.containers import owner
from gitreceive.errors import RolloutError
from gitreceive.model import (
    CronRun,
    Digest,
    ImageRef,
    LogQuery,
    LogSource,
    OneOff,
    UserName,
)
from tests.engines.health_contract import HealthContract
from tests.engines.images import client, python_image
from tests.engines.stage import Stage
from tests.engines.target_contract import TargetContract

pytestmark = pytest.mark.docker

FIRST_PORT = 18100


@pytest.fixture(scope="session")
def image() -> Iterator[ImageRef]:
    with python_image() as ref:
        yield ref


@pytest.fixture
def engine() -> Iterator[docker.APIClient]:
    found = client()
    yield found
    found.close()


class Ground(Stage):
    """A stage with a data folder, as the server of an app has it."""

    def __init__(self, image: ImageRef, data_dir: Path, **docker_settings: Any) -> None:
        values = {"first_port": FIRST_PORT, "deadline": 20, "drain": 10} | docker_settings
        self.settings = Settings(data_dir=data_dir, docker=DockerSettings(**values))
        super().__init__(DockerTarget(self.settings), image)

    def containers(self, engine: docker.APIClient) -> list[Any]:
        return list(engine.containers(all=True, filters={"label": f"gitreceive.app={self.app}"}))


@pytest.fixture
def make(image: ImageRef, tmp_path: Path) -> Iterator[Callable[..., Ground]]:
    with ExitStack() as stack:

        def ground(**settings: Any) -> Ground:
            made = Ground(image, tmp_path, **settings)
            stack.callback(made.target.stop)
            stack.callback(made.target.destroy, made.app)
            return made

        yield ground


@pytest.fixture
def ground(make: Callable[..., Ground]) -> Ground:
    return make()


class TestContract(HealthContract, TargetContract):
    """What every target keeps."""

    @pytest.fixture
    def stage(self, image: ImageRef, tmp_path: Path) -> Iterator[Stage]:
        settings = Settings(data_dir=tmp_path, docker=DockerSettings(first_port=FIRST_PORT, deadline=20))
        made = Stage(DockerTarget(settings), image)
        yield made
        made.target.destroy(made.app)
        made.target.stop()


def wait_for(condition: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def test_containers_are_confined(ground: Ground, engine: docker.APIClient) -> None:
    ground.roll_out(ground.release(1))
    seen = engine.inspect_container(ground.containers(engine)[0]["Id"])
    host = seen["HostConfig"]
    assert seen["Config"]["User"] == "1000:1000"
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Memory"] == host["MemorySwap"] == 512 << 20
    assert host["PidsLimit"] == 1024
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert not host["Binds"]
    assert seen["Config"]["Image"] == str(ground.image)


def test_a_run_by_the_clock_is_told_apart_ended_and_removed(ground: Ground) -> None:
    def start(name: str, program: str) -> None:
        asked = OneOff(
            name, ("python3", "-u", "-c", program), program, UserName("ada"), 60, kept=False, entry="clean"
        )
        ground.target.detach(ground.release(1), asked, ground.log, Cancellation())

    def runs() -> dict[str, CronRun]:
        return {run.name: run for run in ground.target.cron_runs(ground.app)}

    assert not ground.target.has_clock
    start("clean-1", "import os; print('swept', os.environ['GREETING']); raise SystemExit(3)")
    start("clean-2", "import time; time.sleep(600)")
    wait_for(lambda: runs()["clean-1"].over)
    first, second = (runs()[name] for name in ("clean-1", "clean-2"))
    assert (first.entry, first.release, first.state, first.exit_code) == ("clean", 1, "failed", 3)
    assert first.ended is not None
    assert first.ended >= first.started
    assert (second.state, second.ended, second.exit_code) == ("up", None, None)
    assert ground.target.one_offs(ground.app) == ()
    assert ground.target.processes(ground.app) == ()
    (line,) = ground.target.logs(ground.app, LogQuery(sources=frozenset({LogSource.CRON})))
    assert (line.text, line.instance, line.process) == ("swept hello-canary", "clean-1", "cron")
    with pytest.raises(RolloutError):  # two servers, or one that was killed: never twice for one time
        start("clean-1", "pass")
    ground.target.end_one_off(ground.app, "clean-2")
    assert runs()["clean-2"].over
    assert ground.target.remove_one_off(ground.app, "clean-1")
    assert set(runs()) == {"clean-2"}


class Client:
    """Asks again and again, on one connection or on a new one each time."""

    def __init__(self, netloc: str, path: str, pause: float, *, keep: bool) -> None:
        self._netloc = netloc
        self._path = path
        self._pause = pause
        self._keep = keep
        self._over = threading.Event()
        self._connection = http.client.HTTPConnection(netloc, timeout=10)
        self._connection.connect()
        self.first_socket = self._connection.sock
        self.failures: list[str] = []
        self.answers: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> bool:
        """Whether it is still the connection that it began with."""
        self._over.set()
        self._thread.join()
        same = self._connection.sock is self.first_socket
        self._connection.close()
        return same

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            try:
                self._connection.request("GET", self._path)
                response = self._connection.getresponse()
                body = response.read()
                assert response.status == 200, response.status
                self.answers.append(body[:2].decode())
            except Exception as error:  # noqa: BLE001  # every failure counts
                self.failures.append(repr(error))
            if not self._keep:
                self._connection.close()


def test_no_request_fails_while_releases_replace_each_other(ground: Ground, engine: docker.APIClient) -> None:
    ground.roll_out(ground.release(1))
    url = ground.target.url(ground.app)
    assert url is not None
    netloc = urlsplit(url).netloc
    fresh = Client(netloc, "/", 0.005, keep=False)
    kept = [
        Client(netloc, "/", 0.005, keep=True),
        Client(netloc, "/", 0.7, keep=True),
        Client(netloc, "/slow", 0.005, keep=True),
        Client(netloc, "/large", 0.2, keep=True),
    ]
    for number in (2, 3, 4):
        ground.roll_out(ground.release(number))
        time.sleep(1)
    same = [client.end() for client in kept]
    fresh.end()
    assert [client.failures for client in (fresh, *kept)] == [[], [], [], [], []]
    assert same == [True, True, True, True], "a kept connection was closed"
    assert {"v1", "v2", "v3", "v4"} <= set(fresh.answers)
    assert {"v1", "v2", "v3", "v4"} <= set(kept[0].answers)
    assert kept[1].answers[-1] == "v4"
    wait_for(lambda: len(ground.containers(engine)) == 1, 40)


def test_a_large_answer_arrives_whole(ground: Ground) -> None:
    ground.roll_out(ground.release(1))
    assert len(ground.get("/large")) == 20 << 20


def test_a_web_that_listens_nowhere_is_told_the_port(make: Callable[..., Ground]) -> None:
    ground = make(deadline=2)
    with pytest.raises(RolloutError, match=r"web did not listen on \$PORT \(8080\) within 2 s") as caught:
        ground.roll_out(ground.release(1, web="import time; print('waiting', flush=True); time.sleep(60)"))
    assert "8080" in caught.value.hint
    assert b"waiting" in ground.said


def test_a_server_that_takes_connections_and_then_dies_is_not_well(ground: Ground) -> None:
    program = "import os, socket, time; s = socket.create_server(('', int(os.environ['PORT']))); time.sleep(1); raise SystemExit(4)"
    with pytest.raises(RolloutError, match="web crashed: exit 4"):
        ground.roll_out(ground.release(1, web=program))


def test_running_out_of_memory_is_said_so(make: Callable[..., Ground]) -> None:
    ground = make(memory="32m")
    with pytest.raises(RolloutError, match=r"web ran out of memory \(OOMKilled, limit 32Mi\)"):
        ground.roll_out(ground.release(1, web="x = b'x' * (200 << 20)"))


def test_an_image_that_cannot_be_pulled_is_said_in_the_registrys_words(ground: Ground) -> None:
    missing = ImageRef(ground.image.repository, Digest("sha256:" + "0" * 64))
    release = ground.release(1)
    with pytest.raises(RolloutError, match=r"cannot pull .*0000"):
        ground.roll_out(replace(release, image=replace(release.image, ref=missing)))


def test_a_dockerfile_that_runs_as_root_is_refused(ground: Ground) -> None:
    release = ground.release(1)
    with pytest.raises(RolloutError, match="would run as root"):
        ground.roll_out(replace(release, image=replace(release.image, buildpacks=("dockerfile",))))


def test_a_restarted_server_finds_everything_as_it_was(ground: Ground) -> None:
    ground.roll_out(ground.release(1))
    url = ground.target.url(ground.app)
    ground.target.stop()
    with pytest.raises(ConnectionRefusedError):
        ground.get()
    again = DockerTarget(ground.settings)
    again.start()
    try:
        wait_for(lambda: _answers(ground))
        assert again.url(ground.app) == url
        assert again.running(ground.app) == 1
        again.roll_out(ground.release(2), ground.log, Cancellation())
        assert again.url(ground.app) == url
        assert ground.get() == "v2 hello-canary"
    finally:
        again.stop()


def _answers(ground: Ground) -> bool:
    try:
        return ground.get().startswith("v")
    except OSError:
        return False


def test_a_web_that_crashes_later_is_started_again_and_found(
    ground: Ground, engine: docker.APIClient
) -> None:
    ground.roll_out(ground.release(1))
    engine.kill(ground.containers(engine)[0]["Id"])
    engine.restart(ground.containers(engine)[0]["Id"])
    wait_for(lambda: _answers(ground))


def test_two_apps_have_two_ports_and_keep_them(make: Callable[..., Ground]) -> None:
    one, other = make(), make()
    other.target = one.target
    one.roll_out(one.release(1))
    other.roll_out(other.release(1))
    ports = one.target.url(one.app), other.target.url(other.app)
    assert ports[0] != ports[1]
    one.roll_out(one.release(2))
    assert one.target.url(one.app) == ports[0]


def test_an_app_destroyed_by_another_process_is_listened_for_no_more(
    ground: Ground, engine: docker.APIClient, request: pytest.FixtureRequest
) -> None:
    ground.roll_out(ground.release(1))
    url = ground.target.url(ground.app)
    assert url is not None
    # a build of the same server, which carries its mark: the forwarder must not stumble over it
    labels = {
        "gitreceive.data": owner(ground.settings.data_dir),
        "gitreceive.app": "x",
        "gitreceive.job": "1",
    }
    build = engine.create_container(str(ground.image), ["true"], labels=labels)
    request.addfinalizer(lambda: engine.remove_container(build["Id"]))
    time.sleep(2)
    elsewhere = DockerTarget(ground.settings)
    elsewhere.destroy(ground.app)
    elsewhere.destroy(ground.app)
    elsewhere.stop()
    assert ground.containers(engine) == []

    def refused() -> bool:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
        try:
            connection.connect()
        except ConnectionRefusedError:
            return True
        finally:
            connection.close()
        return False

    wait_for(refused)
