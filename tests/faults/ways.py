"""Docker, the registry and the cluster of this machine, each behind a proxy; what a program is told to find them there."""

import base64
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.certificates import issue
from tests.faults.kinds import Faults
from tests.faults.proxy import Upstream, proxying


@contextmanager
def docker_behind(faults: Faults, host: str, folder: Path) -> Iterator[str]:
    """The ``DOCKER_HOST`` of a proxy before the engine at the unix socket ``host``."""
    socket = folder / "docker.sock"
    with proxying(Upstream(path=host.removeprefix("unix://") or "/var/run/docker.sock"), faults, at=socket):
        yield f"unix://{socket}"


@contextmanager
def registry_behind(faults: Faults, address: str) -> Iterator[str]:
    """The address of a proxy before the registry HOST:PORT, which speaks plain HTTP."""
    host, _, port = address.rpartition(":")
    with proxying(Upstream(host=host, port=int(port)), faults) as mine:
        yield f"127.0.0.1:{mine}"


@contextmanager
def cluster_behind(faults: Faults, kubeconfig: Path, folder: Path) -> Iterator[Path]:
    """A kubeconfig that leads to a proxy with an authority of its own. The proxy is to the cluster who the given one says."""
    document = yaml.safe_load(kubeconfig.read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    there = urlsplit(cluster["server"])
    upstream = Upstream(
        host=str(there.hostname), port=there.port or 443, tls=_as_client(cluster, user, folder)
    )
    authority = issue(name="faults")
    issued = issue("localhost", by=authority, name="localhost")
    pem = folder / "proxy.pem"
    pem.write_text(issued.key_pem + issued.pem)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(pem)
    with proxying(upstream, faults, tls=ours) as port:
        written = folder / "kubeconfig"
        leading = {
            "server": f"https://localhost:{port}",
            "certificate-authority-data": _encoded(authority.pem),
        }
        written.write_text(
            yaml.safe_dump(
                document | {"clusters": [{"name": document["clusters"][0]["name"], "cluster": leading}]}
            )
        )
        yield written


def _as_client(cluster: dict[str, Any], user: dict[str, Any], folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
    )
    if "client-key-data" in user:
        pem = folder / "client.pem"
        pem.touch(mode=0o600)
        pem.write_bytes(
            base64.b64decode(user["client-key-data"]) + base64.b64decode(user["client-certificate-data"])
        )
        context.load_cert_chain(pem)
    return context


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@contextmanager
def all_behind(
    faults: dict[str, Faults], environment: dict[str, str], folder: Path
) -> Iterator[dict[str, str]]:
    """The environment of a server that has all of them behind proxies; ``faults`` by ``docker``, ``registry``, ``cluster``."""
    with ExitStack() as stack:
        changed = {
            "DOCKER_HOST": stack.enter_context(
                docker_behind(faults["docker"], environment.get("DOCKER_HOST", ""), folder)
            ),
            "GITRECEIVE_REGISTRY": stack.enter_context(
                registry_behind(
                    faults["registry"], environment.get("GITRECEIVE_REGISTRY") or "127.0.0.1:5000"
                )
            ),
        }
        if environment.get("KUBECONFIG"):
            behind = cluster_behind(faults["cluster"], Path(environment["KUBECONFIG"]), folder)
            changed["KUBECONFIG"] = str(stack.enter_context(behind))
        yield changed
