"""The docker target on a real engine."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import docker
import pytest
import yaml

from gitreceive.cancellation import Cancellation
from gitreceive.config import DockerSettings, Settings
from gitreceive.engines.docker_target import DockerTarget
from gitreceive.errors import CanceledError, RolloutError
from gitreceive.model import (
    AppName,
    CommitId,
    Digest,
    Image,
    ImageRef,
    LogQuery,
    ProcessType,
    Release,
    Secret,
    UserName,
)
from gitreceive.voice import Voice
from tests.engines.images import client, python_image
from tests.engines.target_contract import Stage, TargetContract

pytestmark = pytest.mark.docker

SERVER = """
import http.server, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        if self.path == '/slow':
            time.sleep(2)
        body = (os.environ['GITRECEIVE_RELEASE'] + ' ' + os.environ.get('GREETING', '')).encode()
        if self.path == '/large':
            body = b'x' * (20 << 20)
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        print('served', self.path, os.environ['GITRECEIVE_RELEASE'], flush=True)
    def log_message(self, *arguments):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(('', int(os.environ['PORT'])), Handler).serve_forever()
"""
TICKER = "import time, os\nfor n in range(10**6):\n    print('tick', os.environ['GITRECEIVE_RELEASE'], n, flush=True)\n    time.sleep(0.1)"
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


class Ground:
    """One server's data folder, one app, and what was said."""

    def __init__(self, image: ImageRef, data_dir: Path, **docker_settings: Any) -> None:
        values = {"first_port": FIRST_PORT, "deadline": 20, "drain": 10} | docker_settings
        self.settings = Settings(data_dir=data_dir, docker=DockerSettings(**values))
        self.app = AppName.parse(f"shop-{uuid4().hex[:8]}")
        self.image = image
        self.said = bytearray()
        self.log = Voice(self.said.extend)
        self.target = DockerTarget(self.settings)

    def release(
        self, number: int, web: str | None = SERVER, worker: str | None = None, **changes: Any
    ) -> Release:
        processes = tuple(
            ProcessType(name, ("python3", "-u", "-c", program))
            for name, program in (("web", web), ("worker", worker))
            if program is not None
        )
        release = Release(
            app=self.app,
            number=number,
            image=Image(self.image, processes, None, ("test@1",)),
            commit=CommitId("a" * 40),
            config={"GREETING": Secret("hello-canary")},
            user=UserName("ada"),
            description="Deploy aaaaaaa",
            created_at=datetime.now(UTC),
        )
        return replace(release, **changes)

    def roll_out(self, release: Release) -> None:
        self.target.roll_out(release, self.log, Cancellation())

    def get(self, path: str = "/") -> str:
        url = self.target.url(self.app)
        assert url is not None
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

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


class TestContract(TargetContract):
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


def test_a_crash_is_told_within_seconds_and_the_old_release_still_serves(ground: Ground) -> None:
    ground.roll_out(ground.release(1))
    failed = ground.release(2, web="import sys; print('no such table: carts'); sys.exit(3)")
    began = time.monotonic()
    with pytest.raises(RolloutError, match=r"^web crashed: exit 3$"):
        ground.roll_out(failed)
    assert time.monotonic() - began < 10
    assert b"       no such table: carts\n" in ground.said
    assert ground.get() == "v1 hello-canary"
    ground.target.put_back(failed, ground.release(1), ground.log)
    assert ground.get() == "v1 hello-canary"
    assert ground.target.running(ground.app) == 1
    assert [s.release for s in ground.target.processes(ground.app)] == [1]


def test_a_first_release_that_fails_leaves_nothing(ground: Ground, engine: docker.APIClient) -> None:
    failed = ground.release(1, web="raise SystemExit(1)")
    with pytest.raises(RolloutError):
        ground.roll_out(failed)
    ground.target.put_back(failed, None, ground.log)
    ground.target.put_back(failed, None, ground.log)
    assert ground.containers(engine) == []
    assert ground.target.url(ground.app) is None


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
    with pytest.raises(RolloutError, match=r"web ran out of memory \(limit 32m\)"):
        ground.roll_out(ground.release(1, web="x = b'x' * (200 << 20)"))


def test_a_command_that_is_not_there_is_named(ground: Ground) -> None:
    release = ground.release(1)
    broken = replace(release.image, processes=(ProcessType("web", ("gunicron",)),))
    with pytest.raises(RolloutError, match=r"^web crashed: exit 127 \(exec gunicron failed"):
        ground.roll_out(replace(release, image=broken))
    assert b"gunicron" in ground.said


def test_an_image_that_cannot_be_pulled_is_said_in_the_registrys_words(ground: Ground) -> None:
    missing = ImageRef(ground.image.repository, Digest("sha256:" + "0" * 64))
    release = ground.release(1)
    with pytest.raises(RolloutError, match=r"cannot pull .*0000"):
        ground.roll_out(replace(release, image=replace(release.image, ref=missing)))


def test_a_dockerfile_that_runs_as_root_is_refused(ground: Ground) -> None:
    release = ground.release(1)
    with pytest.raises(RolloutError, match="would run as root"):
        ground.roll_out(replace(release, image=replace(release.image, buildpacks=("dockerfile",))))


def test_a_cancel_stops_the_roll_out_within_seconds(ground: Ground, engine: docker.APIClient) -> None:
    cancel = Cancellation()
    release = ground.release(1, web="import time; time.sleep(60)")
    threading.Timer(1.5, cancel.request, ("enough",)).start()
    began = time.monotonic()
    with pytest.raises(CanceledError):
        ground.target.roll_out(release, ground.log, cancel)
    assert time.monotonic() - began < 5
    ground.target.put_back(release, None, ground.log)
    assert ground.containers(engine) == []


def test_rolling_out_the_same_release_again_keeps_its_containers(
    ground: Ground, engine: docker.APIClient
) -> None:
    ground.roll_out(ground.release(1, scale={"web": 2}))
    before = {c["Id"] for c in ground.containers(engine)}
    ground.roll_out(ground.release(1, scale={"web": 2}))
    assert {c["Id"] for c in ground.containers(engine)} == before
    assert len(before) == 2


def test_process_types_and_replicas_that_are_gone_are_removed(
    ground: Ground, engine: docker.APIClient
) -> None:
    ground.roll_out(ground.release(1, worker=TICKER, scale={"web": 2}))
    assert len(ground.containers(engine)) == 3
    ground.roll_out(ground.release(2))
    wait_for(lambda: len(ground.containers(engine)) == 1, 40)


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
    ground: Ground, engine: docker.APIClient
) -> None:
    ground.roll_out(ground.release(1))
    url = ground.target.url(ground.app)
    assert url is not None
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


def test_a_process_runs_once_with_config_output_and_exit_code(
    ground: Ground, engine: docker.APIClient
) -> None:
    program = "import os, sys; print('migrated', os.environ['GREETING'][:5]); sys.exit(7)"
    process = ProcessType("release", ("python3", "-c", program))
    assert ground.target.run_once(ground.release(1), process, ground.log, Cancellation()) == 7
    assert b"       migrated hello\n" in ground.said
    assert ground.containers(engine) == []


def test_a_cancel_stops_what_runs_once(ground: Ground, engine: docker.APIClient) -> None:
    cancel = Cancellation()
    threading.Timer(1, cancel.request, ("enough",)).start()
    process = ProcessType("release", ("python3", "-c", "import time; time.sleep(60)"))
    began = time.monotonic()
    with pytest.raises(CanceledError):
        ground.target.run_once(ground.release(1), process, ground.log, cancel)
    assert time.monotonic() - began < 5
    assert ground.containers(engine) == []


def test_logs_are_by_time_and_by_process(ground: Ground) -> None:
    ground.roll_out(ground.release(1, worker=TICKER))
    ground.get("/here")
    wait_for(lambda: "served /here v1" in [line.text for line in ground.target.logs(ground.app, LogQuery())])
    lines = list(ground.target.logs(ground.app, LogQuery(lines=5)))
    assert len(lines) == 5
    assert [line.time for line in lines] == sorted(line.time for line in lines)
    web = list(ground.target.logs(ground.app, LogQuery(process="web")))
    assert {line.process for line in web} == {"web"}
    assert list(ground.target.logs(ground.app, LogQuery(lines=0))) == []
    recent = list(ground.target.logs(ground.app, LogQuery(lines=None, since_seconds=1)))
    assert 0 < len(recent) <= 13


def test_followed_logs_go_on_into_the_next_release_without_a_gap(ground: Ground) -> None:
    ground.roll_out(ground.release(1, worker=TICKER))
    lines = ground.target.logs(ground.app, LogQuery(process="worker", lines=3, follow=True))
    seen = [next(lines).text for _ in range(8)]
    ground.roll_out(ground.release(2, worker=TICKER))
    while not seen[-1].startswith("tick v2"):
        seen.append(next(lines).text)
    seen += [next(lines).text for _ in range(3)]
    lines.close()  # type: ignore[attr-defined]
    first = [int(text.split()[2]) for text in seen if text.startswith("tick v1")]
    assert first == list(range(first[0], first[0] + len(first)))
    second = [int(text.split()[2]) for text in seen if text.startswith("tick v2")]
    assert second == list(range(len(second)))


def test_the_plan_shows_what_would_run_and_hides_config(ground: Ground) -> None:
    text = ground.target.plan(ground.release(1, worker=TICKER, scale={"worker": 2}))
    assert "hello-canary" not in text
    bodies = list(yaml.safe_load_all(text))
    assert [body["Labels"]["gitreceive.process"] for body in bodies] == ["web", "worker", "worker"]
    assert bodies[0]["Image"] == str(ground.image)
    assert "GREETING=***" in bodies[0]["Env"]


def test_the_engine_passes_its_checks(ground: Ground) -> None:
    assert [check.name for check in ground.target.check() if not check.ok] == []
