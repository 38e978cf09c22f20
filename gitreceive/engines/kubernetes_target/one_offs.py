"""What somebody runs by hand in a pod of its own, and ways into pods that run."""

import contextlib
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from gitreceive.cancellation import Cancellation
from gitreceive.engines.kubernetes_target import logs, once
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.channels import RESIZE, STDIN, Channels
from gitreceive.engines.kubernetes_target.statuses import release_of
from gitreceive.engines.kubernetes_target.watching import NamespaceWatch
from gitreceive.errors import NotFoundError, RolloutError
from gitreceive.manifests.rendering import (
    COMPONENT_LABEL,
    KIND_LABEL,
    LINE_ANNOTATION,
    ONCE_LABEL,
    ONE_OFF,
    OWNED,
    USER_ANNOTATION,
)
from gitreceive.manifests.templating import Manifest
from gitreceive.model import ONE_OFF_PROCESS, OneOff, OneOffStatus, ProcessType, Terminal
from gitreceive.ports import STDOUT, Attachment, Output, Pipe
from gitreceive.stories.one_offs import Kept, kept

SELECTOR = f"{OWNED},{KIND_LABEL}={ONE_OFF}"
_GRACE_SECONDS = 5


@contextmanager
def attach(
    api: Api, objects: Iterable[Manifest], asked: OneOff, cancel: Cancellation, deadline: float
) -> Iterator[Attachment]:
    """Apply ``objects``, the Pod among them last. The pod is gone when the context is left."""
    pod = _apply(api, objects)
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    with NamespaceWatch(api, namespace, ("Pod", "Event")) as watch, cancel.stopping(watch.wake):
        watch.wait_until_listed()
        try:
            api.create(pod)
            process = ProcessType(ONE_OFF_PROCESS, asked.command)
            once.await_start(watch, name, process, cancel, deadline)
            there = _Pod(api, watch, logs.Container(namespace, name, ONE_OFF_PROCESS), asked)
            with contextlib.closing(there):
                yield Kept(there, asked.terminal) if asked.kept else there
        finally:
            api.delete("Pod", name, namespace, grace=0)


def detach(api: Api, objects: Iterable[Manifest], cancel: Cancellation, deadline: float) -> None:
    """Start it and see it start."""
    pod = _apply(api, objects)
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    with NamespaceWatch(api, namespace, ("Pod", "Event")) as watch, cancel.stopping(watch.wake):
        watch.wait_until_listed()
        api.create(pod)
        try:
            once.await_start(watch, name, ProcessType(ONE_OFF_PROCESS), cancel, deadline)
        except BaseException:
            api.delete("Pod", name, namespace, grace=0)
            raise


def listed(api: Api, namespace: str) -> tuple[OneOffStatus, ...]:
    pods = api.list("Pod", namespace, SELECTOR)["items"]
    found = [_status(pod) for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    return tuple(sorted(found, key=lambda status: status.started))


def remove(api: Api, namespace: str, name: str) -> bool:
    names = {pod["metadata"]["name"] for pod in api.list("Pod", namespace, SELECTOR)["items"]}
    if name in names:
        api.delete("Pod", name, namespace, grace=_GRACE_SECONDS)
    return name in names


@contextmanager
def enter(
    api: Api,
    namespace: str,
    instance: str,
    command: Sequence[str],
    terminal: Terminal | None,
    *,
    behind: bool,
) -> Iterator[Attachment]:
    """``behind`` the keeper, or bare: then it gets input only in a terminal, as there is no way to say its end."""
    container = _running(api, namespace, instance)
    native = None if behind else terminal
    words = kept(command) if behind else (*_in_terminal(native), *command)
    query = [("command", word) for word in words]
    query += _streams(container.process, given=behind or native is not None, native=native)
    channels = api.channels(f"{api.pod_path(namespace, instance)}/exec", query)
    there = _Command(channels, native)
    try:
        if native:
            there.resize(native.columns, native.rows)
        yield Kept(there, terminal) if behind else there
    finally:
        channels.close()


@contextmanager
def connect(api: Api, namespace: str, instance: str, port: int) -> Iterator[Pipe]:
    _running(api, namespace, instance)
    channels = api.channels(f"{api.pod_path(namespace, instance)}/portforward", [("ports", str(port))])
    try:
        yield _Port(channels, instance, port)
    finally:
        channels.close()


class _Channelled:
    """What all have in common: standard input on a websocket."""

    def __init__(self, channels: Channels, terminal: Terminal | None) -> None:
        self._channels = channels
        self._terminal = terminal

    def output(self) -> Iterator[Output]:
        return self._channels.messages()

    def write(self, chunk: bytes) -> None:
        self._channels.send(STDIN, chunk)

    def resize(self, columns: int, rows: int) -> None:
        if self._terminal is not None:
            self._channels.send(RESIZE, json.dumps({"Width": columns, "Height": rows}).encode())


class _Command(_Channelled):
    """What runs in a container of something else."""

    def end_input(self) -> None:
        """Cannot be said (see ``channels``)."""

    def interrupt(self) -> None:
        self._channels.close()

    def exit_code(self) -> int:
        return self._channels.exit_code()


class _Pod(_Channelled):
    """A pod of its own. Bare and without a terminal, what it writes is taken from its log, which has all of it; ``stdinOnce`` of the
    pod makes the end of the connection the end of its input.
    """

    def __init__(self, api: Api, watch: NamespaceWatch, container: logs.Container, asked: OneOff) -> None:
        native = None if asked.kept else asked.terminal
        self._bare = not asked.kept and native is None
        query = _streams(container.process, given=True, native=native, heard=not self._bare)
        path = f"{api.pod_path(container.namespace, container.pod)}/attach"
        super().__init__(api.channels(path, query), native)
        self._api, self._watch, self._container = api, watch, container
        self._stop, self._opened = threading.Event(), logs.Opened()
        if native:
            self.resize(native.columns, native.rows)

    def output(self) -> Iterator[Output]:
        if not self._bare:
            yield from self._channels.messages()
            return
        for _, line in logs.stream(self._api, self._container, self._stop, self._opened):
            yield STDOUT, line + b"\n"

    def end_input(self) -> None:
        if self._bare:
            self._channels.close()

    def interrupt(self) -> None:
        self._api.delete("Pod", self._container.pod, self._container.namespace, grace=_GRACE_SECONDS)

    def exit_code(self) -> int:
        return once.await_end(self._watch, self._container.pod, ONE_OFF_PROCESS, Cancellation())

    def close(self) -> None:
        self._stop.set()
        self._opened.interrupt()
        self._channels.close()


class _Port:
    """Channel 0 has the bytes, channel 1 what went wrong; either begins with the port's number, two bytes."""

    def __init__(self, channels: Channels, instance: str, port: int) -> None:
        self._channels = channels
        self._what = f"port {port} of {instance}"
        self._messages = channels.messages()
        self._begun: set[int] = set()

    def read(self) -> bytes:
        for channel, message in self._messages:
            content = message if channel in self._begun else message[2:]
            self._begun.add(channel)
            if channel == 1 and content:
                raise RolloutError(
                    f"{self._what} cannot be reached: {content.decode(errors='replace')[:200]}"
                )
            if content:
                return content
        return b""

    def write(self, chunk: bytes) -> None:
        self._channels.send(STDIN, chunk)

    def end(self) -> None:
        """Cannot be said (see ``channels``)."""


def _apply(api: Api, objects: Iterable[Manifest]) -> Manifest:
    """All but the namespace and the Pod, which is given back."""
    *support, pod = (item for item in objects if item["kind"] != "Namespace")
    for item in support:
        api.apply(item)
    return pod


def _streams(
    container: str, *, given: bool, native: Terminal | None, heard: bool = True
) -> list[tuple[str, str]]:
    def word(yes: bool) -> str:
        return "true" if yes else "false"

    return [
        ("container", container),
        ("stdin", word(given)),
        ("stdout", word(heard)),
        ("stderr", word(heard and native is None)),
        ("tty", word(native is not None)),
    ]


def _in_terminal(terminal: Terminal | None) -> tuple[str, ...]:
    return ("env", f"TERM={terminal.name}") if terminal else ()


def _running(api: Api, namespace: str, instance: str) -> logs.Container:
    """Raises NotFoundError."""
    for pod in api.list("Pod", namespace, OWNED)["items"]:
        labels = pod["metadata"].get("labels") or {}
        process = labels.get(COMPONENT_LABEL) or labels.get(ONCE_LABEL)
        if pod["metadata"]["name"] == instance and process and once.is_running(pod):
            return logs.Container(namespace, instance, process)
    raise NotFoundError(f"there is no {instance} that runs", hint="gitreceive ps, and gitreceive run list")


def _status(pod: Manifest) -> OneOffStatus:
    annotations = pod["metadata"].get("annotations") or {}
    code, reason = None, ""
    try:
        code = once.exit_code(pod)
    except RolloutError as error:
        reason = error.message
    failed = bool(reason) or bool(code)
    ended = "failed" if failed else "ended"
    state = ended if failed or code is not None else "up" if once.is_running(pod) else "starting"
    return OneOffStatus(
        name=pod["metadata"]["name"],
        release=release_of(pod),
        state=state,
        user=annotations.get(USER_ANNOTATION, ""),
        command=annotations.get(LINE_ANNOTATION, ""),
        started=datetime.fromisoformat(pod["metadata"]["creationTimestamp"]),
        detached=not pod["spec"]["containers"][0].get("stdin"),
        exit_code=code,
        reason=reason,
    )
