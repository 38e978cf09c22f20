"""Docker behind a proxy that spoils what passes: what may be asked again is, what may not is not, and nothing ends without an end."""

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from docker.errors import APIError

from gitreceive.cancellation import Cancellation
from gitreceive.config import DockerSettings, Settings
from gitreceive.config.building import BuildSettings
from gitreceive.dockerd import Client
from gitreceive.engines.build_networks import GuardedNetworks
from gitreceive.engines.docker_target import DockerTarget
from gitreceive.engines.docker_target.engine import Engine
from gitreceive.errors import EngineAwayError, RolloutError, UnavailableError
from gitreceive.model import ImageRef, ProcessType
from gitreceive.patience import Patience
from tests.engines.images import client, python_image
from tests.engines.stage import Stage
from tests.faults.kinds import (
    Fault,
    Faults,
    half_open,
    latency,
    reset_after,
    reset_before,
    slow_loris,
    status,
    truncate,
)
from tests.faults.ways import docker_behind

pytestmark = pytest.mark.docker

QUICK = Patience(attempts=6, seconds=5, first=0.01)
PASSING = {
    "latency": latency(0.2),
    "429": status(429, {"Retry-After": "1"}),
    "500": status(500),
    "503": status(503),
    "reset before": reset_before(),
    "reset after": reset_after(),
    "reset inside": reset_after(40),
    "truncate": truncate(200),
    "half-open": half_open(),
    "slow loris": slow_loris(0.5),
}


@pytest.fixture(scope="module")
def image() -> Iterator[ImageRef]:
    with python_image() as ref:
        yield ref


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def host(faults: Faults, tmp_path: Path) -> Iterator[str]:
    with docker_behind(faults, os.environ.get("DOCKER_HOST", ""), tmp_path) as found:
        yield found


@pytest.fixture
def engine(host: str) -> Iterator[Client]:
    """It waits longer than a busy Docker takes: whatever is asked twice, a fault was the reason."""
    found = Client(QUICK, base_url=host, timeout=60, whole_seconds=60)
    yield found
    found.close()


@pytest.fixture
def hasty(host: str) -> Iterator[Client]:
    found = Client(QUICK, base_url=host, timeout=2, whole_seconds=3)
    yield found
    found.close()


def body(image: ImageRef, *command: str) -> dict[str, object]:
    return {"Image": str(image), "Cmd": list(command), "Labels": {"tests": "faults"}}


@pytest.fixture
def container(image: ImageRef) -> Iterator[str]:
    """One that is not started."""
    direct = client()
    made = direct.create_container_from_config(  # type: ignore[no-untyped-call]
        body(image, "python3", "-c", "import time; time.sleep(60)"), f"faults-{uuid4().hex[:8]}"
    )["Id"]
    yield made
    direct.remove_container(made, force=True)
    direct.close()


@pytest.mark.parametrize("name", PASSING)
def test_a_question_is_answered_after_a_fault(hasty: Client, faults: Faults, name: str) -> None:
    faults.next("GET", "/info", PASSING[name], times=1 if name in {"half-open", "slow loris"} else 2)

    assert hasty.info()["ID"]
    assert faults.counts[PASSING[name].kind] >= 1


@pytest.mark.parametrize(
    "fault", [reset_before(), reset_after(), reset_after(30), status(500)], ids=lambda f: f.kind
)
def test_a_container_whose_making_was_not_confirmed_is_found_and_not_made_twice(
    engine: Client, faults: Faults, image: ImageRef, fault: Fault
) -> None:
    name = f"faults-{uuid4().hex[:8]}"
    faults.next("POST", "/containers/create", fault)

    made = engine.create_container_from_config(body(image, "true"), name)["Id"]
    try:
        assert [c["Id"] for c in engine.containers(all=True, filters={"name": name})] == [made]
        assert faults.count("POST", "/containers/create") == 2
    finally:
        engine.remove_container(made)


def test_somebody_elses_container_of_that_name_is_not_taken_for_ours(
    engine: Client, faults: Faults, container: str, image: ImageRef
) -> None:
    taken = engine.inspect_container(container)["Name"].lstrip("/")
    faults.next("POST", "/containers/create", reset_after())

    with pytest.raises(APIError, match="already in use"):
        engine.create_container_from_config(body(image, "true"), taken)


def test_starting_naming_and_ending_may_be_asked_twice(
    engine: Client, faults: Faults, container: str
) -> None:
    name = f"faults-{uuid4().hex[:8]}"
    faults.next("POST", "/(start|rename|stop|wait)", *[reset_after()] * 3)

    engine.start(container)
    engine.name(container, name)
    engine.stop(container, timeout=0)

    assert engine.await_end(container) == 137
    assert engine.inspect_container(container)["Name"] == f"/{name}"
    assert faults.count("POST", "/containers/.*/(start|rename|stop)") == 6


def test_a_command_in_a_container_is_never_begun_twice(
    engine: Client, faults: Faults, container: str
) -> None:
    engine.start(container)
    made = engine.exec_create(container, ["sh", "-c", "echo once >> /tmp/runs"])["Id"]
    faults.next("POST", "/exec/.*/start", reset_after())

    with pytest.raises((requests.RequestException, OSError)):
        engine.exec_start(made)
    assert faults.count("POST", "/exec/.*/start") == 1


def test_one_that_was_refused_and_not_begun_is_begun(engine: Client, faults: Faults, container: str) -> None:
    engine.start(container)
    made = engine.exec_create(container, ["python3", "-c", "print('well')"])["Id"]
    faults.next("POST", "/exec/.*/start", status(503))

    assert engine.exec_start(made).strip() == b"well"


def test_a_pull_that_breaks_off_is_begun_again(engine: Client, faults: Faults, image: ImageRef) -> None:
    faults.next("POST", "/images/create", status(500), truncate(260), reset_after(300))

    engine.fetch(image.repository, image.digest, Cancellation())
    assert faults.count("POST", "/images/create") == 4


def test_what_there_is_not_is_not_asked_for_again(engine: Client, faults: Faults, image: ImageRef) -> None:
    with pytest.raises(RolloutError, match="cannot pull"):
        engine.fetch(image.repository, "sha256:" + "0" * 64, Cancellation())
    assert faults.count("POST", "/images/create") == 1


@pytest.mark.parametrize("fault", [status(503), half_open(), slow_loris(0.5)], ids=lambda f: f.kind)
def test_an_engine_that_stays_broken_ends_the_call(host: str, faults: Faults, fault: Fault) -> None:
    engine = Client(Patience(attempts=2, seconds=5, first=0.01), base_url=host, timeout=1, whole_seconds=1)
    faults.next(".*", "/info", fault, times=99)

    with pytest.raises((APIError, requests.RequestException)):
        engine.info()
    engine.close()
    assert faults.count("GET", "/info") == 2


def test_nobody_there_is_told_soon_and_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free.getsockname()[1]}")
    began = time.monotonic()

    with pytest.raises(UnavailableError, match="Docker does not answer") as caught:
        Engine(lambda: None).version()
    assert "DOCKER_HOST" in caught.value.hint
    assert time.monotonic() - began < 30


def test_the_log_of_a_release_command_is_whole_and_told_once(
    host: str, faults: Faults, image: ImageRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    stage = Stage(DockerTarget(_settings(tmp_path)), image)
    program = "import time\nfor n in range(60):\n    print('line', n, flush=True)\n    time.sleep(0.02)\nraise SystemExit(7)"
    faults.next("GET", "/logs", reset_after(400), reset_after(700))
    faults.next("POST", "/wait", reset_after())
    process = ProcessType("release", ("python3", "-c", program))
    log = _Said()

    code = stage.target.run_once(stage.release(1), process, log, Cancellation())

    assert code == 7
    assert log.text.split("\n")[:-1] == [f"line {n}" for n in range(60)]
    stage.target.destroy(stage.app)


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # docker-py's, where nobody is there
@pytest.mark.parametrize("code", [0, 3])
def test_a_release_command_that_fails_while_docker_is_away_has_not_failed_by_itself(
    image: ImageRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    there = os.environ.get("DOCKER_HOST", "")
    program = f"import time\nprint('begun', flush=True)\ntime.sleep(5)\nraise SystemExit({code})"
    process, log = ProcessType("release", ("python3", "-c", program)), _Said()
    with ThreadPoolExecutor(1) as pool:
        with docker_behind(Faults(), there, tmp_path) as host:
            monkeypatch.setenv("DOCKER_HOST", host)
            stage = Stage(DockerTarget(_settings(tmp_path)), image)
            running = pool.submit(stage.target.run_once, stage.release(1), process, log, Cancellation())
            while "begun" not in log.text:
                assert not running.done(), running.result()
                time.sleep(0.02)
        time.sleep(0.5)  # nobody is there
        with docker_behind(Faults(), there, tmp_path):
            if code:
                with pytest.raises(
                    EngineAwayError, match=r"Docker went away, and then release ended \(exit 3\)"
                ):
                    running.result(30)
            else:
                assert running.result(30) == 0
            stage.target.destroy(stage.app)


def _settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, docker=DockerSettings(first_port=18500, deadline=20))


class _Said:
    """Takes only what a program printed."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, chunk: bytes) -> None:
        self.text += chunk.decode()

    def step(self, text: str) -> None: ...
    def detail(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def error(self, text: str, hint: str = "") -> None: ...


@pytest.mark.parametrize(
    "path", ["/containers/create", "/attach", "/start"], ids=["create", "attach", "start"]
)
def test_a_network_for_builds_is_lent_after_faults_and_nothing_of_it_stays(
    host: str,
    faults: Faults,
    image: ImageRef,
    path: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    networks = GuardedNetworks(BuildSettings(egress="indexes"), tmp_path)
    # a start has less to say; of an attach it is the first words of what it leads to
    cut = reset_after(40 if path == "/start" else 115)
    faults.next("POST", path, status(503), reset_before(), cut)
    direct = client()
    try:
        lent = networks.lend(str(image))
        assert faults.counts["503"] == faults.counts["reset before"] == faults.counts["reset after"] == 1
        holder = direct.inspect_container(lent.mode.removeprefix("container:"))
        assert holder["State"]["Running"]
        of_server = {"label": f"gitreceive.data={holder['Config']['Labels']['gitreceive.data']}"}
        assert [one["Id"] for one in direct.containers(filters=of_server)] == [holder["Id"]]
        lent.give_back()
        networks.close()
        assert direct.containers(filters=of_server) == []
    finally:
        networks.close()
        direct.close()
