"""Debian packages into an image, as one layer: apt runs in a confined container of the image, from the image's own indexes."""

import contextlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import docker.utils
from docker.errors import APIError, DockerException, ImageNotFound
from docker.types import LogConfig
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from gitreceive import dockerd
from gitreceive.buildpacks.system_packages import SystemPackage
from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings
from gitreceive.engines.stacks.attached import STDERR, Attached
from gitreceive.engines.stacks.refusals import refusal
from gitreceive.engines.stacks.rootfs import EPOCH, Compressed
from gitreceive.errors import BrokenOffError, BuildLimitError, ConfigError, UnavailableError
from gitreceive.lifecycle.frames import StreamFile
from gitreceive.model import Blob, ImageRef, Layer
from gitreceive.ports import BuildNetworks, Log

_PROGRAM = Path(__file__).with_name("inside.py")
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_TITLE = "system packages"
_CA = "tmp/gitreceive-ca.pem"
_PROXIES = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"})
_MOST_FACTS = 1 << 20
# what apt and dpkg need of root: to own files as others, and to fetch as the user _apt
_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETFCAP", "SETGID", "SETUID"]
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_READ = 1 << 18


@dataclass(frozen=True)
class Installed:
    """The layer, None where the image had all of it; what came, as NAME=VERSION; programs in it that run as somebody else."""

    layer: Layer | None
    packages: tuple[str, ...]
    setuid: tuple[str, ...]


@dataclass(frozen=True)
class Site:
    """Where packages are installed: a Docker engine, what builds may, labels by which a container is found again."""

    client: dockerd.Client
    settings: BuildSettings
    labels: Mapping[str, str]
    log: Log
    cancel: Cancellation
    networks: BuildNetworks


def install(base: ImageRef, packages: Sequence[SystemPackage], path: Path, site: Site) -> Installed:
    """Install the packages into ``base`` and write the layer that this makes to ``path``.

    Raises SourceError for a package that there is not, BuildError with apt's own words, BuildLimitError, UnavailableError,
    ConfigError, CanceledError.
    """
    if "none" in (site.settings.network, site.settings.egress):
        raise ConfigError(
            "system packages cannot be fetched: builds have no network",
            hint="set build.egress and build.network, or have the operator put the packages into the stack",
        )
    with docker_speaks():
        _pull(base, site)
        network = site.networks.lend(str(base))
        container = ""
        try:
            container = _create(base, packages, network.mode, site)
            with (
                Attached(site.client, container) as attached,
                _deadline(lambda: _kill(attached, container, site), site.settings.timeout) as passed,
                site.cancel.stopping(lambda: _kill(attached, container, site)),
            ):
                output = _Output(attached.pieces(), site.log)
                installed = _take(output, path, site.settings.system_packages_bytes)
                code = site.client.await_end(container)
            _explain_end(container, site, passed=passed.is_set(), whole=code == 0 and installed is not None)
        finally:
            if container:
                site.client.remove_container(container, force=True, v=True)
            network.give_back()
    if "problem" in output.facts:
        raise refusal(output.facts, packages, site.settings)
    if installed is None or code != 0:
        raise BrokenOffError(
            f"the container that installs system packages ended without a word (exit {code})",
            hint="its last lines are above; gitreceive doctor looks at Docker",
        )
    return installed


def _pull(image: ImageRef, site: Site) -> None:
    try:
        site.client.inspect_image(str(image))  # type: ignore[no-untyped-call]
    except ImageNotFound:
        site.client.fetch(image.repository, str(image.digest), site.cancel)


def _create(base: ImageRef, packages: Sequence[SystemPackage], network: str, site: Site) -> str:
    memory = int(docker.utils.parse_bytes(site.settings.memory))
    asked = {
        "packages": [str(package) for package in packages],
        "limit": site.settings.system_packages_bytes,
        "options": [f"Acquire::https::CAInfo=/{_CA}"] if site.settings.ca_bundle else [],
    }
    container = site.client.create_container(
        str(base),
        entrypoint=[
            "/usr/bin/python3",
            "-ISB",
            "-c",
            _PROGRAM.read_text(encoding="utf-8"),
            json.dumps(asked),
        ],
        command=[],
        user="0:0",
        environment=_environment(site.settings),
        working_dir="/",
        labels=dict(site.labels),
        host_config=site.client.create_host_config(
            cap_drop=["ALL"],
            cap_add=_CAPABILITIES,
            security_opt=["no-new-privileges"],
            mem_limit=memory,
            memswap_limit=memory,
            nano_cpus=int(site.settings.cpus * 1e9),
            pids_limit=site.settings.pids,
            network_mode=network,
            runtime=site.settings.runtime or None,
            log_config=LogConfig(type="none"),
            init=True,
        ),
    )["Id"]
    if site.settings.ca_bundle:
        site.client.put_archive(container, "/", _one_file(_CA, _read(site.settings.ca_bundle)))
    return str(container)


def _environment(settings: BuildSettings) -> dict[str, str]:
    """Proxies, and nothing else of what builds are given: maintainer scripts have no use for it."""
    proxies = {name.lower(): value for name, value in settings.env.items() if name.lower() in _PROXIES}
    return {
        **proxies,
        "PATH": _PATH,
        "DEBIAN_FRONTEND": "noninteractive",
        "LC_ALL": "C.UTF-8",
        # compiled Python then carries hashes instead of times, and accounts no date of today
        "SOURCE_DATE_EPOCH": str(EPOCH),
    }


def _read(file: str) -> bytes:
    try:
        return Path(file).expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(f"build.ca_bundle cannot be read: {error}") from error


def _one_file(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o644
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class _Output:
    """What the container writes: its facts, then a tar to ``read``; what is for people goes to the log as it is met."""

    def __init__(self, pieces: Iterator[tuple[int, bytes]], log: Log) -> None:
        self._pieces = pieces
        self._log = log
        self._held = b""
        self._stream = StreamFile(self._channel())
        self.facts: dict[str, Any] = {}

    def begin(self) -> bool:
        """Read the facts; False where none came."""
        for piece in self._from_container():
            self._held += piece
            if b"\n" in piece or len(self._held) > _MOST_FACTS:
                break
        line, end, self._held = self._held.partition(b"\n")
        if end:
            self.facts = json.loads(line)
        return bool(end)

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end: what the compressor makes of the tar follows from how it is handed over."""
        return self._stream.read(size)

    def _channel(self) -> Iterator[bytes]:
        if self._held:
            yield self._held
        yield from self._from_container()

    def _from_container(self) -> Iterator[bytes]:
        for kind, piece in self._pieces:
            if kind == STDERR:
                self._log.write(piece)
            elif piece:
                yield piece


def _take(output: _Output, path: Path, limit: int) -> Installed | None:
    """The layer out of what the container writes; None where it wrote no whole one."""
    if not output.begin() or "problem" in output.facts:
        output.read(_READ)
        return None
    came = tuple(f"{name}={version}" for name, version in output.facts["packages"])
    with path.open("wb") as file, Compressed(file) as compressed:
        tee = _Tee(output, compressed, limit)
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", tee), mode="r|") as tar:
                setuid = tuple(f"/{entry.name}" for entry in tar if entry.isreg() and entry.mode & 0o6000)
        except tarfile.TarError:
            return None
        tee.drain()
        compressed.finish()
    if not came:
        return Installed(None, (), ())
    blob = Blob(compressed.digest, compressed.size, _LAYER)
    return Installed(Layer(_TITLE, compressed.diff_id, blob, path), came, setuid)


class _Tee:
    """Passes the tar on to who looks at it, and all of it to the layer. Raises BuildLimitError past ``limit``."""

    def __init__(self, source: _Output, layer: Compressed, limit: int) -> None:
        self._source = source
        self._layer = layer
        self._left = limit

    def read(self, size: int) -> bytes:
        piece = self._source.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise BuildLimitError(
                "the system packages changed more of the image than build.system_packages_bytes allows",
                hint="ask for fewer, or ask the operator to raise it",
            )
        self._layer.write(piece)
        return piece

    def drain(self) -> None:
        while self.read(_READ):
            pass


@contextlib.contextmanager
def _deadline(stop: Callable[[], None], seconds: float) -> Iterator[threading.Event]:
    """Calls ``stop`` when the time is over, and says so."""
    passed = threading.Event()

    def end() -> None:
        passed.set()
        stop()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield passed
    finally:
        timer.cancel()


def _kill(attached: Attached, container: str, site: Site) -> None:
    with contextlib.suppress(APIError, OSError):
        site.client.kill(container)
    attached.hang_up()


def _explain_end(container: str, site: Site, *, passed: bool, whole: bool) -> None:
    """Raise the error that says why the container ended early, where one is known."""
    site.cancel.raise_if_requested()
    if passed:
        raise BuildLimitError(
            f"installing the system packages took longer than {site.settings.timeout} seconds",
            hint="ask for fewer, or ask the operator to raise build.timeout",
        )
    if not whole and site.client.inspect_container(container)["State"]["OOMKilled"]:
        raise BuildLimitError(
            f"installing the system packages ran out of its memory, {site.settings.memory}",
            hint="ask the operator to raise build.memory",
        )


@contextlib.contextmanager
def docker_speaks() -> Iterator[None]:
    """Docker's and the connection's errors become UnavailableError."""
    try:
        yield
    except APIError as error:
        raise UnavailableError(
            f"Docker refused to install system packages: {error.explanation or error}",
            hint=dockerd.NO_ROOM_HINT if dockerd.no_room(error) else "gitreceive doctor looks at Docker",
        ) from error
    except (DockerException, RequestException, HTTPError) as error:
        raise dockerd.away(error) from error
