"""What the server stands on, to be killed: a Docker engine and a registry of our own, apart from any other on this host, and an API server of a cluster.

The engine has its own folders and socket, and a bridge of its own; it touches no firewall rule, so its containers reach this host and each other,
and nothing else. The API server is a second one of the devcluster, on the same etcd: what the server asks is killed, and the nodes, which ask the
first, go on.
"""

import json
import os
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import docker
import httpx
import yaml

from tests.e2e.cluster_account import cluster_account
from tests.e2e.world import free_ports, run, wait_until

_REGISTRY = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: "{address}"}}
"""
_DEVCLUSTER = Path(__file__).resolve().parent.parent / "devcluster"
_UP_SECONDS = 180.0  # on a machine that has much else to do


@dataclass
class Service:
    """A process that is started, killed and started again. ``answers`` says that it can be used."""

    name: str
    command: list[str]
    log: Path
    answers: Callable[[], bool]
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def start(self) -> None:
        """Raises AssertionError where it does not come up in time."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        wait_until(self._up, f"{self.name} answers; see {self.log}", _UP_SECONDS)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, sent: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(sent)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def _up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended: {self.log.read_text()[-2000:]}"
        return self.answers()


@dataclass(frozen=True)
class Ground:
    """What is somebody else's, and not to be killed, is None. ``cluster`` is its API server; ``env`` leads a server here."""

    docker: Service | None
    registry: Service | None
    env: Mapping[str, str]
    cluster: Service | None = None

    @property
    def registry_address(self) -> str:
        return self.env["GITRECEIVE_REGISTRY"]


@contextmanager
def ground(folder: Path, own: Collection[str], target: str = "docker") -> Iterator[Ground]:
    """All that is our ``own``, of docker, registry and the cluster's API server, runs while inside; what is not is the environment's. ``folder``
    must have a short path: sockets lie in it (unix(7)).
    """
    folder.mkdir(parents=True, exist_ok=True)
    services: dict[str, Service] = {}
    env = {name: os.environ[name] for name in ("DOCKER_HOST", "GITRECEIVE_REGISTRY") if name in os.environ}
    with ExitStack() as running:
        if "registry" in own:
            registry, env["GITRECEIVE_REGISTRY"] = running.enter_context(_registry(folder / "registry"))
            services["registry"] = registry
        if "docker" in own:
            services["docker"] = running.enter_context(_docker(folder / "docker"))
            env["DOCKER_HOST"] = f"unix://{folder}/docker/docker.sock"
        if target == "kubernetes":
            kubeconfig = running.enter_context(cluster_account(folder))
            if "cluster" in own:
                services["cluster"], kubeconfig = running.enter_context(_api_server(folder, kubeconfig))
            env["KUBECONFIG"] = str(kubeconfig)
        yield Ground(services.get("docker"), services.get("registry"), env, services.get("cluster"))


@contextmanager
def _registry(folder: Path) -> Iterator[tuple[Service, str]]:
    folder.mkdir(exist_ok=True)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    config = folder / "config.yml"
    config.write_text(_REGISTRY.format(folder=folder / "images", address=address))

    def answers() -> bool:
        with suppress(httpx.TransportError), httpx.Client(trust_env=False) as client:
            return client.get(f"http://{address}/v2/").status_code == 200
        return False

    program = shutil.which("docker-registry")
    assert program, "docker-registry is not installed: apt-get install docker-registry"
    service = Service("the registry", [program, "serve", str(config)], folder / "log", answers)
    service.start()
    try:
        yield service, address
    finally:
        service.stop()


@contextmanager
def _api_server(folder: Path, kubeconfig: Path) -> Iterator[tuple[Service, Path]]:
    """With a kubeconfig that leads there."""
    document = yaml.safe_load(kubeconfig.read_text())
    cluster = document["clusters"][0]["cluster"]
    (port,) = free_ports(1)
    cluster["server"] = f"https://127.0.0.1:{port}"
    written = folder / "kubeconfig-of-ours"
    written.touch(mode=0o600)
    written.write_text(yaml.safe_dump(document))
    known = ssl.create_default_context(cafile=cluster["certificate-authority"])

    def answers() -> bool:
        with suppress(httpx.TransportError), httpx.Client(verify=known, trust_env=False) as client:
            return client.get(f"{cluster['server']}/readyz").status_code == 200
        return False

    command = [str(_DEVCLUSTER), "api-server", "--port", str(port)]
    service = Service("the API server", command, folder / "api-server.log", answers)
    service.start()
    try:
        yield service, written
    finally:
        service.stop()


@contextmanager
def _docker(folder: Path) -> Iterator[Service]:
    folder.mkdir(exist_ok=True)
    socket = folder / "docker.sock"
    (folder / "daemon.json").write_text("{}\n")
    with _bridge() as bridge, _containerd(folder) as containerd:
        command = ["dockerd", "--config-file", f"{folder}/daemon.json", "--host", f"unix://{socket}"]
        command += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/run"]
        command += ["--pidfile", f"{folder}/docker.pid", "--bridge", bridge, "--containerd", containerd]
        command += ["--iptables=false", "--ip-forward=false", "--ip-masq=false"]

        def answers() -> bool:
            transport = httpx.HTTPTransport(uds=str(socket))
            with suppress(httpx.TransportError), httpx.Client(transport=transport, trust_env=False) as client:
                return client.get("http://docker/_ping").text == "OK"
            return False

        service = Service("dockerd", command, folder / "log", answers)
        service.start()
        try:
            yield service
        finally:
            _end_containers(service, f"unix://{socket}")
            service.stop()
            _unmount_below(folder)


@contextmanager
def _containerd(folder: Path) -> Iterator[str]:
    """Beside dockerd and not below it, as distributions have it: one that is killed leaves its containers running. Its address."""
    address = folder / "containerd.sock"
    places = f'root = "{folder}/containerd"\nstate = "{folder}/containerd-state"\n'
    plugins = 'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
    config = folder / "containerd.toml"
    config.write_text(f'version = 2\n{plugins}{places}[grpc]\naddress = "{address}"\n')
    command = ["containerd", "--config", str(config), "--log-level", "warn"]
    service = Service("containerd", command, folder / "containerd.log", address.exists)
    service.start()
    try:
        yield str(address)
    finally:
        service.stop()


def _end_containers(service: Service, host: str) -> None:
    """Only an engine that runs can end them, and none ends them for it."""
    if service.process is None or service.process.poll() is not None:
        service.start()
    with closing(docker.APIClient(base_url=host, timeout=60)) as client:
        for container in client.containers(all=True):
            with suppress(docker.errors.APIError):
                client.remove_container(container["Id"], force=True, v=True)


@contextmanager
def _bridge() -> Iterator[str]:
    """A network of this host alone, 10.231.N.0/24, under a name that nobody has."""
    links = {link["ifname"] for link in json.loads(run(["ip", "-json", "link", "show"]).ok().out)}
    number = next(n for n in range(250) if f"gr-chaos{n}" not in links)
    name = f"gr-chaos{number}"
    run(["ip", "link", "add", "name", name, "type", "bridge"]).ok()
    try:
        run(["ip", "address", "add", f"10.231.{number}.1/24", "dev", name]).ok()
        run(["ip", "link", "set", name, "up"]).ok()
        yield name
    finally:
        run(["ip", "link", "delete", name])


def _unmount_below(folder: Path) -> None:
    """What an engine that was killed has left mounted."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        run(["umount", place])
    time.sleep(0.1)
