"""The container that holds a network for builds: it has the right to set rules in there, and no other."""

import io
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import LogConfig
from requests.exceptions import RequestException

from gitreceive.errors import UnavailableError
from gitreceive.patience import Patience

_PROGRAM = Path(__file__).with_name("inside.py")
_STDOUT = 1
_AGAIN = Patience(attempts=4)
_ANSWER_SECONDS = 60.0  # seconds: names may have to be asked for where no nameserver answers
_LARGEST_ANSWER = 1 << 20
_MEMORY, _PROCESSES = 128 << 20, 32


def answered(
    make: Callable[[], "Holder"], asked: Mapping[str, Any], patience: Patience = _AGAIN
) -> tuple["Holder", Mapping[str, Any]]:
    """A holder, and its answer. One that gives none, as where its connection broke off, holds nothing, and another is made. Raises
    UnavailableError; Docker's errors pass.
    """
    paused, attempt = 0.0, 0
    while True:
        attempt += 1
        holder = make()
        try:
            return holder, holder.ask(asked)
        except UnavailableError:
            holder.close()
            pause = patience.pause(attempt, paused)
            if pause is None:
                raise
        except BaseException:
            holder.close()
            raise
        time.sleep(pause)
        paused += pause


class Holder:
    """Runs from here on, until ``close`` or the end of this process. Docker's errors pass."""

    def __init__(
        self,
        client: docker.APIClient,
        image: str,
        network: str,
        name: str,
        labels: Mapping[str, str],
        rights: Sequence[str] = ("NET_ADMIN",),
    ) -> None:
        self._client = client
        self.id = _create(client, image, network, name, labels, rights)
        try:
            attached = client.attach_socket(self.id, params={"stdin": 1, "stdout": 1, "stream": 1})
            self._socket: Any = getattr(attached, "_sock", attached)
            self._response = attached._response  # noqa: SLF001 - docker-py hangs the connection's owner there
            self._socket.settimeout(_ANSWER_SECONDS)
            self._stream = io.BufferedReader(attached)
            client.start(self.id)
        except BaseException:
            _remove(client, self.id)
            raise

    def ask(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Its answer. Raises UnavailableError where it gives none."""
        try:
            self._socket.sendall(f"{json.dumps(asked)}\n".encode())
            answer = self._line()
            self._socket.settimeout(None)
            found: Mapping[str, Any] = json.loads(answer)
        except (OSError, ValueError) as error:
            raise UnavailableError(
                "the container that holds the network for builds gives no answer",
                hint="gitreceive doctor looks at Docker; the image needs /usr/bin/python3, 3.11 or newer",
            ) from error
        return found

    def lives(self) -> bool:
        try:
            return bool(self._client.inspect_container(self.id)["State"]["Running"])
        except NotFound:
            return False

    def close(self) -> None:
        """Its network is gone with it; no error where it has ended."""
        with suppress(OSError, AttributeError):
            self._response.close()
            self._stream.close()
            self._socket.close()
        _remove(self._client, self.id)

    def _line(self) -> bytes:
        """To the first newline on standard output (Engine API, "Attach to a container")."""
        found = b""
        while not found.endswith(b"\n") and len(found) < _LARGEST_ANSWER:
            header = self._stream.read(8)
            if len(header) < 8:
                break
            content = self._stream.read(int.from_bytes(header[4:], "big"))
            found += content if header[0] == _STDOUT else b""
        return found


def own_addresses(
    client: docker.APIClient, image: str, name: str, labels: Mapping[str, str]
) -> tuple[str, ...]:
    """The Docker host's, on all of its interfaces. Raises UnavailableError; Docker's errors pass."""
    holder, answer = answered(
        lambda: Holder(client, image, "host", name, labels, rights=()), {"mode": "addresses"}
    )
    holder.close()
    return tuple(answer["addresses"])


def _create(
    client: docker.APIClient,
    image: str,
    network: str,
    name: str,
    labels: Mapping[str, str],
    rights: Sequence[str],
) -> str:
    return str(
        client.create_container(
            image,
            name=f"{name}-{secrets.token_hex(3)}",
            entrypoint=["/usr/bin/python3", "-ISB", "-c", _PROGRAM.read_text(encoding="utf-8")],
            command=[],
            user="0:0",
            working_dir="/",
            stdin_open=True,  # and closed when this process is no longer connected, so that it ends
            labels=dict(labels),
            host_config=client.create_host_config(
                cap_drop=["ALL"],
                cap_add=list(rights),
                security_opt=["no-new-privileges"],
                mem_limit=_MEMORY,
                memswap_limit=_MEMORY,
                pids_limit=_PROCESSES,
                network_mode=network,
                log_config=LogConfig(type="none"),
                auto_remove=True,
                init=True,
            ),
        )["Id"]
    )


def _remove(client: docker.APIClient, container: str) -> None:
    """It removes itself as it ends, so it may be gone, or going."""
    with suppress(APIError, RequestException):
        client.remove_container(container, force=True, v=True)
