"""What a build reaches, tried from inside: a buildpack knocks at each address and reports."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import docker
import docker.utils
import pytest

from gitreceive.config import BuildSettings, process_environment
from gitreceive.engines.build_networks import GuardedNetworks
from gitreceive.engines.docker_builder import DockerBuilder
from gitreceive.errors import ConfigError
from gitreceive.model import AppName, Stack
from tests.engines.builder.case import request, run, write_buildpack, write_order

pytestmark = pytest.mark.docker

# a socket that is bound to the interface skips the kernel's look into routes, and UDP needs no answer to carry something away
KNOCK = r"""
python3 - <<'END'
import json, socket
def tcp(host, port, device=False):
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(kind) as knock:
        knock.settimeout(4)
        try:
            if device:
                knock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\0")
            knock.connect((host, port))
        except OSError as error:
            return type(error).__name__
        return "reached"
def udp(host, port):
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(kind, socket.SOCK_DGRAM) as knock:
        try:
            knock.sendto(b"x", (host, port))
        except OSError as error:
            return type(error).__name__
        return "sent"
def name(host):
    try:
        return sorted({found[4][0] for found in socket.getaddrinfo(host, 80)})
    except OSError as error:
        return type(error).__name__
asked = json.load(open("asked"))
answers = {}
for host, port in asked["places"]:
    answers[f"{host} {port}"] = [tcp(host, port), tcp(host, port, True), udp(host, port)]
answers["names"] = {host: name(host) for host in asked["names"]}
print("answers:", json.dumps(answers))
END
"""

METADATA = [["169.254.169.254", 80], ["169.254.170.2", 80], ["100.100.100.200", 80], ["fd00:ec2::254", 80]]
PRIVATE = [["10.96.0.1", 443], ["172.31.255.1", 443], ["192.168.1.1", 6443]]


class Site:
    """A builder whose builds knock at places and names."""

    def __init__(self, data: Path, stack: Stack, settings: BuildSettings) -> None:
        self._stack = stack
        self.networks = GuardedNetworks(settings, data)
        self.builder = DockerBuilder(settings, data, networks=self.networks)

    def knock(self, *places: list[object], names: tuple[str, ...] = ()) -> dict[str, Any]:
        asked = json.dumps({"places": places, "names": names}).encode()
        _, log, _ = run(self.builder, request({"asked": asked, "hello": b""}, self._stack))
        (line,) = [line for line in log.text.splitlines() if line.startswith("answers: ")]
        found: dict[str, Any] = json.loads(line.removeprefix("answers: "))
        return found


Build = Callable[..., Site]


@pytest.fixture
def site(tmp_path: Path, stack: Stack) -> Iterator[Build]:
    packs = tmp_path / "packs"
    packs.mkdir()
    write_buildpack(packs, "one", build=KNOCK)
    write_order(packs, ("one",))
    made: list[Site] = []

    def build(**settings: object) -> Site:
        values = BuildSettings(buildpacks=str(packs), **settings)  # type: ignore[arg-type]
        made.append(Site(tmp_path / "data", stack, values))
        return made[-1]

    yield build
    with closing(_client()) as client:
        for each in made:
            each.builder.sweep()
            each.builder.forget(AppName("shop"))
            for image in client.images(filters={"label": f"gitreceive.builder={each.builder.owner}"}):
                client.remove_image(image["Id"], force=True)
            each.builder.close()
            left = client.containers(all=True, filters={"label": f"gitreceive.data={each.builder.owner}"})
            assert left == []


def _client() -> docker.APIClient:
    return docker.APIClient(version="auto", **docker.utils.kwargs_from_env(environment=process_environment()))


@contextmanager
def listening() -> Iterator[int]:
    """Something of this host answers on all of its addresses, as an API server or a registry would."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        server.settimeout(0.2)
        stop = threading.Event()

        def answer() -> None:
            while not stop.is_set():
                try:
                    server.accept()[0].close()
                except TimeoutError:
                    continue

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def _gateway() -> str:
    with closing(_client()) as client:
        found = client.inspect_network("bridge")["IPAM"]["Config"][0]
        return str(found.get("Gateway") or found["Subnet"].rpartition(".")[0] + ".1")


def _own() -> str:
    """An address of this host that is not the bridge's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect(("198.51.100.1", 9))
        return str(asked.getsockname()[0])


def test_an_open_build_reaches_no_metadata_nothing_private_and_nothing_of_its_host(site: Build) -> None:
    with listening() as port:
        places = [*METADATA, *PRIVATE, [_gateway(), port], [_own(), port]]
        found = site().knock(*places)
        for host, number in places:
            answer = found[f"{host} {number}"]
            # at once, not after a time
            assert set(answer) <= {"OSError", "PermissionError"}, (host, answer)


def test_what_is_named_is_reached_although_it_is_private_and_only_at_its_port(site: Build) -> None:
    with listening() as port, listening() as other:
        gateway = _gateway()
        built = site(env={"INDEX": f"http://ci:pw@{gateway}:{port}/simple"})
        found = built.knock([gateway, port], [gateway, other])
        assert found[f"{gateway} {port}"][:2] == ["reached", "reached"]
        assert "reached" not in found[f"{gateway} {other}"]


def test_metadata_is_out_of_reach_even_where_it_is_named(site: Build) -> None:
    found = site(egress_hosts=("169.254.169.254", "0.0.0.0/0")).knock(*METADATA[:3])
    assert not any("reached" in answer or "sent" in answer for key, answer in found.items() if " " in key)


def test_builds_reach_one_another_at_no_address(site: Build) -> None:
    first, second = site(), site()
    lent = first.networks.lend(_image(first))
    try:
        with closing(_client()) as client:
            holder = client.inspect_container(lent.mode.removeprefix("container:"))
            address = holder["NetworkSettings"]["IPAddress"]
            found = second.knock([address, 8000])
            assert found[f"{address} 8000"] == ["OSError", "OSError", "PermissionError"]
    finally:
        lent.give_back()


def _image(site: Site) -> str:
    site.knock()
    with closing(_client()) as client:
        tags = client.images(filters={"label": f"gitreceive.builder={site.builder.owner}"})[0]["RepoTags"]
        return str(tags[0])


def test_with_indexes_only_what_is_named_is_reached_and_names_are_asked_of_nobody(site: Build) -> None:
    with listening() as port, listening() as other:
        gateway = _gateway()
        built = site(
            egress="indexes", env={"INDEX": f"http://{gateway}:{port}/"}, egress_hosts=("localhost:1",)
        )
        found = built.knock(
            [gateway, port],
            [gateway, other],
            ["1.1.1.1", 443],
            ["1.1.1.1", 53],
            names=("example.com", "localhost"),
        )
        assert found[f"{gateway} {port}"][:2] == ["reached", "reached"]
        for place in (f"{gateway} {other}", "1.1.1.1 443", "1.1.1.1 53"):
            assert set(found[place]) <= {"OSError", "PermissionError"}
        assert found["names"]["example.com"] == "gaierror"
        assert found["names"]["localhost"]


def test_with_none_there_is_no_network(site: Build) -> None:
    found = site(egress="none").knock(["1.1.1.1", 443], names=("example.com",))
    assert found["1.1.1.1 443"] == ["OSError", "OSError", "OSError"]
    assert found["names"] == {"example.com": "gaierror"}


def test_a_network_serves_one_build_after_the_other_and_is_gone_with_the_builder(site: Build) -> None:
    built = site()
    image = _image(built)
    built.builder.close()
    one, two = built.networks.lend(image), built.networks.lend(image)
    assert one.mode != two.mode
    one.give_back()
    again = built.networks.lend(image)
    assert again.mode == one.mode
    again.give_back()
    two.give_back()


_DIES = """
import os, signal, sys
from pathlib import Path
from gitreceive.config import BuildSettings
from gitreceive.engines.build_networks import GuardedNetworks
print(GuardedNetworks(BuildSettings(), Path(sys.argv[1])).lend(sys.argv[2]).mode, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_network_is_gone_with_a_server_that_is_killed(site: Build, stack: Stack, tmp_path: Path) -> None:
    site().knock()  # so that the image is there
    command = [sys.executable, "-c", _DIES, str(tmp_path), str(stack.build)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    container = done.stdout.strip().removeprefix("container:")
    assert container, done.stderr
    with closing(_client()) as client:
        until = time.monotonic() + 60
        while client.containers(all=True, filters={"id": container}):
            assert time.monotonic() < until, "its network is still held"
            time.sleep(0.1)


def test_a_place_that_cannot_be_meant_is_refused_at_once(site: Build) -> None:
    with pytest.raises(ConfigError, match=r"build.egress_hosts: '\*.example.com' is no place"):
        site(egress_hosts=("*.example.com",))
