"""The Docker engine's API in the few words that the target needs, with errors of our own."""

import io
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import requests
from docker import errors as docker_errors

from gitreceive import dockerd
from gitreceive.cancellation import Cancellation
from gitreceive.config import process_environment
from gitreceive.errors import RolloutError, UnavailableError
from gitreceive.model import ImageRef

Credentials = Callable[[], tuple[str, str] | None]

_TIMEOUT = 60
_POLL_SECONDS = 0.05
_HEADERS = 4096  # bytes: the first of a tar, with what may stand before it
_RESTART: Any = {"Name": "unless-stopped"}


class Engine:
    """One engine, reached as ``DOCKER_HOST`` and its companions say. Connects when first used.

    All methods raise UnavailableError where the engine does not answer, and RolloutError with its own words where it refuses.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._lock = threading.Lock()
        self._client: dockerd.Client | None = None

    @property
    def local(self) -> bool:
        """The engine is on this host, so that the addresses of its containers can be reached."""
        host = process_environment().get("DOCKER_HOST", "")
        return host.startswith(("unix:", "/")) or not host

    @property
    def absences(self) -> int:
        """How often it was found to be away."""
        with _translated("reach Docker"):
            return self._api().absences

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def version(self) -> Mapping[str, Any]:
        with _translated("ask Docker for its version"):
            answer: Mapping[str, Any] = self._api().version()
            return answer

    def info(self) -> Mapping[str, Any]:
        with _translated("ask Docker about itself"):
            answer: Mapping[str, Any] = self._api().info()
            return answer

    def list(self, labels: Mapping[str, str]) -> list[Mapping[str, Any]]:
        wanted = [f"{key}={value}" if value else key for key, value in labels.items()]
        with _translated("list containers"):
            return list(self._api().containers(all=True, filters={"label": wanted}))

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        with _translated(f"create {name}"):
            made = self._api().create_container_from_config(dict(body), name)
            return str(made["Id"])

    def start(self, container: str) -> None:
        with _translated("start a container"):
            self._api().start(container)

    def inspect(self, container: str) -> Mapping[str, Any] | None:
        """None where it is gone."""
        with _translated("look at a container"):
            try:
                answer: Mapping[str, Any] = self._api().inspect_container(container)
            except docker_errors.NotFound:
                return None
            return answer

    def run_in(self, container: str, command: Sequence[str], seconds: float) -> tuple[int, str]:
        """Run it beside the container's process; its exit code and its last line. 124 where it takes longer, as `timeout` has it."""
        with _translated("run a command in a container"):
            made = self._api().exec_create(container, list(command))["Id"]
            found: list[bytes] = []

            def read() -> None:
                with suppress(docker_errors.DockerException, *dockerd.LOST):
                    found.append(bytes(self._api().exec_start(made)))

            reader = threading.Thread(target=read, name="exec", daemon=True)
            reader.start()
            reader.join(seconds)
            if reader.is_alive():
                return 124, f"not ended after {seconds:g} s"
            code = self._api().exec_inspect(made)["ExitCode"]
            lines = b"".join(found).decode("utf-8", "replace").strip().splitlines()
            return (1 if code is None else int(code)), " ".join(lines[-1].split()) if lines else ""

    def rename(self, container: str, name: str) -> None:
        with _translated(f"rename a container to {name}"):
            self._api().name(container, name)

    def keep_running(self, container: str) -> None:
        """From now on Docker starts it again when it ends, and after a restart of its own."""
        with _translated("set a restart policy"):
            self._api().update_container(container, restart_policy=_RESTART)

    def stop(self, container: str, grace: int) -> None:
        """SIGTERM, and SIGKILL after ``grace`` seconds; no error where it has ended or is gone."""
        with _translated("stop a container"):
            try:
                self._api().stop(container, timeout=grace)
            except docker_errors.NotFound:
                return

    def restart(self, container: str, grace: int) -> None:
        """SIGTERM, and SIGKILL after ``grace`` seconds; then it is started again. No error where it is gone."""
        with _translated("restart a container"):
            try:
                self._api().restart(container, timeout=grace)
            except docker_errors.NotFound:
                return

    def remove(self, container: str) -> None:
        """At once, running or not; no error where it is gone."""
        with _translated("remove a container"):
            try:
                self._api().remove_container(container, force=True, v=True)
            except docker_errors.NotFound:
                return
            except docker_errors.APIError as error:
                if error.status_code != 409:
                    raise
                self._wait_until_gone(container)  # somebody else removes it at this moment

    def _wait_until_gone(self, container: str) -> None:
        end = time.monotonic() + _TIMEOUT
        while self.inspect(container) is not None:
            if time.monotonic() > end:
                raise RolloutError(
                    f"Docker does not remove container {container[:12]}",
                    hint=f"see `docker inspect {container[:12]}`, and restart Docker if it is stuck",
                )
            time.sleep(_POLL_SECONDS)

    def wait(self, container: str) -> int:
        """Its exit code, once it has ended."""
        with _translated("wait for a container"):
            return self._api().await_end(container)

    def tail(self, container: str, lines: int) -> bytes:
        """The last lines that it wrote, both streams; empty where it is gone."""
        with _translated("read a container's log"):
            try:
                return bytes(self._api().logs(container, tail=lines))
            except docker_errors.NotFound:
                return b""

    def log(
        self, container: str, *, tail: int | None, since: float | None, follow: bool, timestamps: bool
    ) -> "Output":
        """What it wrote, both streams; nothing where it is gone. ``since`` is seconds since 1970."""
        with _translated("read a container's log"):
            try:
                stream = self._api().logs(
                    container,
                    stream=True,
                    follow=follow,
                    timestamps=timestamps,
                    tail="all" if tail is None else tail,
                    since=float(since) if since else None,
                )
            except docker_errors.NotFound:
                return Output(None)
            return Output(stream)

    def attach(self, container: str, *, framed: bool) -> "Wire":
        """Input and output of a container that has not started yet, so that not a byte is missed."""
        with _translated("attach to a container"):
            asked = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            return Wire(self._api().attach_socket(container, params=asked), framed=framed)

    def execute(self, container: str, command: Sequence[str], *, terminal: str) -> tuple[str, "Wire"]:
        """Run a command in a container that runs, in a terminal of that name, or in none where it is empty."""
        with _translated("run a command in a container"):
            api = self._api()
            made = api.exec_create(
                container,
                list(command),
                stdin=True,
                tty=bool(terminal),
                environment=[f"TERM={terminal}"] if terminal else None,
            )
            attached = api.exec_start(made["Id"], tty=bool(terminal), socket=True)
            return str(made["Id"]), Wire(attached, framed=not terminal)

    def executed(self, execution: str) -> int | None:
        """Its exit code; None while it runs."""
        with _translated("look at a command in a container"):
            seen = self._api().exec_inspect(execution)
            return None if seen["Running"] else int(seen["ExitCode"] or 0)

    def resize(self, container: str, columns: int, rows: int) -> None:
        with _translated("resize a container's terminal"):
            self._api().resize(container, height=rows, width=columns)

    def resize_execution(self, execution: str, columns: int, rows: int) -> None:
        with _translated("resize a command's terminal"):
            self._api().exec_resize(execution, height=rows, width=columns)

    def kill(self, container: str, signal: str) -> None:
        """No error where it does not run."""
        with _translated("send a container a signal"):
            try:
                self._api().kill(container, signal)
            except docker_errors.APIError as error:
                if error.status_code not in {404, 409}:
                    raise

    def image_user(self, image: ImageRef) -> str | None:
        """Whom the image says it runs as, empty for root; None where the engine does not have the image."""
        with _translated("look at an image"):
            try:
                seen = self._api().inspect_image(str(image))  # type: ignore[no-untyped-call]
            except docker_errors.NotFound:
                return None
            return str((seen.get("Config") or {}).get("User") or "")

    def pull(self, image: ImageRef, cancel: Cancellation) -> None:
        """Raises RolloutError with the registry's words, CanceledError."""
        credentials = self._credentials()
        login = {"username": credentials[0], "password": credentials[1]} if credentials else {}
        with _translated(f"pull {image}"):
            self._api().fetch(image.repository, image.digest, cancel, login)

    def remove_image(self, image: str) -> None:
        """Unless something still uses it; no error where it is gone."""
        with _translated(f"remove {image}"):
            try:
                self._api().remove_image(image)
            except docker_errors.NotFound:
                return
            except docker_errors.APIError as error:
                if error.status_code != 409:
                    raise

    def create_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """No error where it is there."""
        with _translated(f"create volume {name}"):
            self._api().create_volume(name, labels=dict(labels))

    def volumes(self, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """Those with all these labels, an empty value being any, each with how much is in it where the engine tells."""
        wanted = [f"{key}={value}" if value else key for key, value in labels.items()]
        with _translated("list volumes"):
            api = self._api()
            found = api.volumes(filters={"label": wanted})["Volumes"] or []
            if not found:
                return []
            with api.get(self._url("system/df"), params={"type": "volume"}, timeout=_TIMEOUT) as answer:
                _require_done(answer)
                usage = {row["Name"]: row.get("UsageData") for row in answer.json().get("Volumes") or []}
            return [{**row, "UsageData": usage.get(row["Name"])} for row in found]

    def remove_volume(self, name: str) -> None:
        """No error where it is gone."""
        with _translated(f"remove volume {name}"):
            try:
                self._api().remove_volume(name)
            except docker_errors.NotFound:
                return

    def folder_owner(self, container: str, folder: str) -> int:
        """The number of the user whose folder it is, in a container that need not run."""
        with _translated(f"look at {folder} of a container"):
            place = self._url(f"containers/{container}/archive")
            asked: dict[str, Any] = {"params": {"path": folder}, "headers": {"Accept-Encoding": "identity"}}
            with self._api().get(place, **asked, stream=True, timeout=_TIMEOUT) as answer:
                _require_done(answer)
                head = io.BytesIO(answer.raw.read(_HEADERS))
            try:
                with tarfile.open(fileobj=head, mode="r:") as archive:
                    first = archive.next()
            except tarfile.TarError as error:
                raise RolloutError(f"Docker does not tell whose {folder} is: {error}") from error
            if first is None or not first.isdir():
                raise RolloutError(f"{folder} is no folder in the image", hint="mount the volume elsewhere")
            return first.uid

    def make_folder(self, container: str, folder: str, uid: int, gid: int) -> None:
        """That folder is there and theirs, in a container that need not run; what is in it stays."""
        parent, _, name = folder.rpartition("/")
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, 0o755, uid, gid
        entry.mtime = int(time.time())
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.addfile(entry)
        with _translated(f"make {folder} in a container"):
            place = self._url(f"containers/{container}/archive")
            # a link of that name is not replaced: it may lead to the volume
            asked = {"path": parent or "/", "noOverwriteDirNonDir": "true"}
            with self._api().put(place, params=asked, data=packed.getvalue(), timeout=_TIMEOUT) as answer:
                _require_done(answer)

    def _url(self, path: str) -> str:
        api = self._api()
        return f"{api.base_url}/v{api.api_version}/{path}"

    def _api(self) -> dockerd.Client:
        with self._lock:
            if self._client is None:
                self._client = dockerd.connect()
            return self._client


class Wire:
    """A connection to standard input and output, both ways, that Docker has handed over (Engine API, "Attach to a container")."""

    def __init__(self, attached: Any, *, framed: bool) -> None:
        self._framed = framed
        self._response = attached._response  # noqa: SLF001 - docker-py hangs the connection's owner there
        self._socket: Any = getattr(attached, "_sock", attached)
        self._socket.settimeout(None)
        # what came along with the answer's head is in its buffer, and nowhere else
        self._reader = self._response.raw._fp.fp  # noqa: SLF001

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """1 for stdout or 2 for stderr, and bytes; without frames, all is stdout."""
        try:
            yield from self._frames() if self._framed else self._plain()
        except (ValueError, AttributeError, *dockerd.LOST):
            raise UnavailableError("Docker broke off the connection to a container") from None

    def send(self, chunk: bytes) -> None:
        """Raises OSError where nobody reads."""
        self._socket.sendall(chunk)

    def end(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with suppress(OSError, AttributeError):
            self._response.close()
            self._socket.close()

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        while len(header := self._reader.read(8)) == 8:
            left = int.from_bytes(header[4:], "big")
            while left and (piece := self._reader.read1(min(left, 65536))):
                left -= len(piece)
                yield header[0], piece

    def _plain(self) -> Iterator[tuple[int, bytes]]:
        while piece := self._reader.read1(65536):
            yield 1, piece


class Output(Iterator[bytes]):
    """Pieces of a container's output. ``close`` ends it, from any thread."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        # docker-py's own takes a connection that breaks for the end of the log
        self._pieces = stream._stream if stream is not None else iter(())  # noqa: SLF001
        self._closed = stream is None

    def __next__(self) -> bytes:
        if self._closed:
            raise StopIteration
        try:
            return bytes(next(self._pieces))
        except (docker_errors.DockerException, ValueError, AttributeError, *dockerd.LOST):
            if self._closed:  # under our hands
                raise StopIteration from None
            raise UnavailableError("Docker broke off a container's log") from None

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with suppress(*dockerd.LOST, docker_errors.DockerException):
                self._stream.close()


def _require_done(answer: requests.Response) -> None:
    try:
        answer.raise_for_status()
    except requests.HTTPError as error:
        docker_errors.create_api_error_from_http_exception(error)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except docker_errors.APIError as error:
        hint = dockerd.NO_ROOM_HINT if dockerd.no_room(error) else ""
        raise RolloutError(f"cannot {what}: {error.explanation or error}", hint=hint) from error
    except (docker_errors.DockerException, *dockerd.LOST) as error:
        raise dockerd.away(error) from error
