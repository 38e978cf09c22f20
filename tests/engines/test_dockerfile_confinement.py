"""What the steps of a Dockerfile may, and what they reach."""

from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings, Settings
from gitreceive.engines.build_networks import GuardedNetworks
from gitreceive.engines.dockerfile_builder import DockerfileBuilder
from gitreceive.errors import BuildError, BuildLimitError, ConfigError, SourceError
from gitreceive.model import AppName, CommitId, JobId, PushOptions, Source, SourceEntry, Stack
from gitreceive.ports import BuildRequest
from gitreceive.voice import Voice
from tests.engines.builder.test_egress import listening
from tests.engines.images import client
from tests.engines.test_dockerfile_builder import _tar

pytestmark = pytest.mark.docker

_KNOCK = (
    "import socket, sys\\n"
    "for place in sys.argv[1:]:\\n"
    "    host, _, port = place.rpartition(':')\\n"
    "    try:\\n"
    "        socket.create_connection((host, int(port)), 4)\\n"
    "        print(place, 'reached')\\n"
    "    except OSError as error:\\n"
    "        print(place, type(error).__name__)\\n"
)

Attempt = Callable[..., str]


@pytest.fixture
def attempt(tmp_path: Path, stack: Stack) -> Iterator[Attempt]:
    """Builds a Dockerfile on the stack; the log."""
    made: list[tuple[DockerfileBuilder, GuardedNetworks]] = []
    app = AppName.parse(f"dock-{uuid4().hex[:8]}")

    def build(dockerfile: str, *, stack_known: bool = True, **settings: Any) -> str:
        values = BuildSettings(**settings)
        networks = GuardedNetworks(values, tmp_path / "data")
        builder = DockerfileBuilder(Settings(data_dir=tmp_path / "data", build=values), networks)
        made.append((builder, networks))
        text = (
            f'ARG GITRECEIVE_BUILD_IMAGE\nFROM $GITRECEIVE_BUILD_IMAGE\n{dockerfile}\nUSER 1000\nCMD ["x"]\n'
        )
        said = bytearray()
        request = BuildRequest(
            job=JobId(1),
            source=Source(app, CommitId("b" * 40)),
            options=PushOptions(),
            stack=stack if stack_known else None,
            previous={},
            archive=nullcontext(_tar({"Dockerfile": text})),
            root=(SourceEntry("Dockerfile", "file", len(text)),),
            tree=lambda: iter(()),
        )
        with builder.build(request, Voice(said.extend), Cancellation()):
            return said.decode()

    yield build
    for builder, networks in made:
        builder.forget(app)
        networks.close()


def test_the_steps_of_a_dockerfile_reach_what_other_builds_do(attempt: Attempt) -> None:
    with listening() as port, listening() as named, closing(client()) as engine:
        gateway = engine.inspect_network("bridge")["IPAM"]["Config"][0].get("Gateway") or "172.17.0.1"
        places = ["169.254.169.254:80", "10.96.0.1:443", f"{gateway}:{port}", f"{gateway}:{named}"]
        step = f'RUN printf "{_KNOCK}" > /tmp/knock && python3 /tmp/knock {" ".join(places)}'
        said = attempt(step, egress_hosts=(f"{gateway}:{named}",))
    for place in places[:-1]:
        assert f"{place} OSError" in said
    assert f"{places[-1]} reached" in said


def test_one_file_of_a_dockerfiles_step_cannot_be_larger_than_a_builds_disk(attempt: Attempt) -> None:
    with pytest.raises(BuildError, match="failed"):
        attempt("RUN fallocate -l 2G /huge", egress="none", disk="1g")


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(
            ["head -c 40M /dev/zero > /tmp/a; head -c 40M /dev/zero > /tmp/b; sleep 60"],
            id="one step that runs",
        ),
        pytest.param(
            ["head -c 40M /dev/zero > /tmp/a", "head -c 40M /dev/zero > /tmp/b && sleep 60"],
            id="steps together",
        ),
        pytest.param(["head -c 40M /dev/zero > /tmp/a", "head -c 40M /dev/zero > /tmp/b"], id="quick ones"),
    ],
)
def test_a_dockerfile_whose_steps_have_too_much_on_disk_is_stopped(
    attempt: Attempt, steps: list[str]
) -> None:
    token = uuid4().hex  # Docker has no step of this name already
    with pytest.raises(BuildLimitError, match="more than 64m on disk") as caught:
        attempt("\n".join(f"RUN : {token}; {step}" for step in steps), egress="none", disk="64m")
    assert "build.disk" in caught.value.hint


def test_a_dockerfile_is_not_built_on_a_disk_that_is_nearly_full(attempt: Attempt) -> None:
    with pytest.raises(BuildLimitError, match=r"Docker's disk has only \d+ MB left"):
        attempt("RUN true", egress="none", disk_reserve="900000g")


def test_what_the_engine_would_fetch_for_a_dockerfile_is_refused_before_it_is_asked(attempt: Attempt) -> None:
    with pytest.raises(SourceError, match="would fetch"):
        attempt("ADD http://169.254.169.254/ /x", egress="none")


def test_a_dockerfile_is_not_built_in_another_runtime_than_the_one_that_is_asked_for(
    attempt: Attempt,
) -> None:
    with pytest.raises(ConfigError, match="default runtime, runc, and builds may run in runsc only"):
        attempt("RUN true", egress="none", runtime="runsc")


def test_without_a_stack_there_is_nothing_to_hold_a_network_with(attempt: Attempt) -> None:
    with pytest.raises(ConfigError, match="there is no stack"):
        attempt("RUN true", stack_known=False)
