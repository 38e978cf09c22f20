"""The networks of one server's builds: made when they are missed, kept for the next build, gone with the server."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from docker.errors import APIError, DockerException
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from gitreceive import dockerd
from gitreceive.config.building import BuildSettings
from gitreceive.engines.build_networks.holder import Holder, answered, own_addresses
from gitreceive.engines.build_networks.places import Place, named
from gitreceive.errors import ConfigError, UnavailableError
from gitreceive.ports import LentNetwork, NoNetworks

_ADDRESSES_FOR = 600.0  # seconds that the Docker host's addresses are taken to be as they were


class GuardedNetworks:
    """A BuildNetworks. Raises ConfigError for what no build could use. ``refused`` are further places that builds do not reach, such as the registry; what settings name goes before them.

    A network is that of a small container, which lives for as long as this process is connected to it, and so ends with the server,
    however that ends.
    """

    def __init__(
        self, settings: BuildSettings, data_dir: Path, refused: Callable[[], tuple[Place, ...]] = lambda: ()
    ) -> None:
        owner = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
        named(settings)
        self._settings = settings
        self._refused = refused
        self._labels = {"gitreceive.data": owner, "gitreceive.network": "build"}
        self._name = f"gitreceive-network-{owner}"
        self._lock = threading.Lock()
        self._client: dockerd.Client | None = None
        self._free: list[Holder] = []
        self._host: tuple[float, tuple[str, ...]] = (0.0, ())

    def lend(self, image: str) -> LentNetwork:
        if "none" in (self._settings.egress, self._settings.network):
            return NoNetworks()
        with _docker_speaks():
            return _Lent(self._kept() or self._make(image), self._take_back)

    def close(self) -> None:
        with self._lock:
            free, self._free = self._free, []
            client, self._client = self._client, None
        for holder in free:
            holder.close()
        if client is not None:
            client.close()

    def _kept(self) -> Holder | None:
        while True:
            with self._lock:
                if not self._free:
                    return None
                holder = self._free.pop()
            if holder.lives():
                return holder
            holder.close()

    def _take_back(self, holder: Holder) -> None:
        with self._lock:
            if self._client is not None:
                self._free.append(holder)
                return
        holder.close()

    def _make(self, image: str) -> Holder:
        asked, client = self._asked(image), self._connect()
        holder, answer = answered(
            lambda: Holder(client, image, self._settings.network, self._name, self._labels), asked
        )
        if "error" in answer:
            holder.close()
            raise ConfigError(
                f"builds cannot be kept off what they may not reach: {answer['error']}",
                hint="the Docker host's kernel needs nf_tables, with its reject; or set build.egress to none",
            )
        return holder

    def _asked(self, image: str) -> Mapping[str, Any]:
        return {
            "mode": self._settings.egress,
            "allowed": [[place.host, place.port] for place in named(self._settings)],
            "refused": [[place.host, place.port] for place in self._refused()],
            "host": self._host_addresses(image) if self._settings.egress == "open" else (),
        }

    def _host_addresses(self, image: str) -> tuple[str, ...]:
        with self._lock:
            since, addresses = self._host
        if not addresses or time.monotonic() - since > _ADDRESSES_FOR:
            addresses = own_addresses(self._connect(), image, self._name, self._labels)
            with self._lock:
                self._host = time.monotonic(), addresses
        return addresses

    def _connect(self) -> dockerd.Client:
        with self._lock:
            if self._client is None:
                self._client = dockerd.connect()
            return self._client


class _Lent:
    def __init__(self, holder: Holder, take_back: Callable[[Holder], None]) -> None:
        self.mode = f"container:{holder.id}"
        self._holder = holder
        self._take_back = take_back

    def give_back(self) -> None:
        self._take_back(self._holder)


@contextmanager
def _docker_speaks() -> Iterator[None]:
    """Docker's and the connection's errors become UnavailableError."""
    try:
        yield
    except APIError as error:
        raise UnavailableError(
            f"Docker refused a network for builds: {error.explanation or error}",
            hint="gitreceive doctor looks at Docker; build.network names the network that leads builds out",
        ) from error
    except (DockerException, RequestException, HTTPError) as error:
        raise dockerd.away(error) from error
