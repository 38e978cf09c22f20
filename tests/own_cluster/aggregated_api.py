"""Kinds of objects that are added to a real cluster without CustomResourceDefinitions: a small API server of its own behind the cluster's
(aggregation layer, APIService). The cluster asks who somebody is and what they may, and passes on what it is asked as it is.

It never advertises ``watch``, so the cluster's garbage collector leaves it alone when it comes and goes.
"""

import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import kubernetes

from tests.certificates import Issued, issue
from tests.own_cluster.control_plane import client_of

Item = dict[str, Any]
_AVAILABLE_SECONDS = 120.0
_untyped: Any = kubernetes


@dataclass(frozen=True)
class Kind:
    api: str  # GROUP/VERSION
    plural: str
    kind: str


@dataclass
class AggregatedApi:
    """``objects`` by plural, namespace and name. ``sent``: what was applied, as it came. ``applied`` is called with each object that was."""

    kinds: tuple[Kind, ...]
    applied: Callable[["AggregatedApi", Item], None] = lambda _api, _item: None
    objects: dict[tuple[str, str, str], Item] = field(default_factory=dict)
    sent: list[Item] = field(default_factory=list)
    refuses: str = ""  # what it says to whoever applies something
    lock: threading.RLock = field(default_factory=threading.RLock)
    _version: int = 1

    def update(self, item: Item, **changes: Any) -> None:
        """As its operator does. What has gone in the meantime stays gone."""
        with self.lock:
            live = self.objects.get(self._key(item))
            if live:
                live.update(changes)
                self._touch(live)

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> tuple[int, Item]:
        """Of one request, as Kubernetes' API conventions have it."""
        steps = path.strip("/").split("/")
        api = "/".join(steps[1:3])
        if len(steps) < 4:
            return self._discovery(api)
        namespaced = steps[3] == "namespaces"
        space, rest = (steps[4], steps[5:]) if namespaced else ("", steps[3:])
        kind = next((k for k in self.kinds if (k.api, k.plural) == (api, rest[0])), None)
        if kind is None:
            return _status(404, "NotFound", f"no {rest[0]} in {api}")
        with self.lock:
            if len(rest) == 1:
                return self._collection(method, kind, space, query)
            return self._one(method, kind, (kind.plural, space, rest[1]), query, body)

    def _discovery(self, api: str) -> tuple[int, Item]:
        there = [kind for kind in self.kinds if kind.api == api]
        if not there:
            return _status(404, "NotFound", f"no {api}")
        verbs = ["get", "list", "create", "patch", "delete", "deletecollection"]
        resources = [
            {
                "name": k.plural,
                "singularName": k.kind.lower(),
                "namespaced": True,
                "kind": k.kind,
                "verbs": verbs,
            }
            for k in there
        ]
        return 200, {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": api,
            "resources": resources,
        }

    def _collection(
        self, method: str, kind: Kind, space: str, query: Mapping[str, list[str]]
    ) -> tuple[int, Item]:
        selected = [part.split("=") for part in query.get("labelSelector", [""])[0].split(",") if part]
        found = [
            item
            for (plural, where, _), item in sorted(self.objects.items())
            if plural == kind.plural
            and space in {"", where}
            and all((item["metadata"].get("labels") or {}).get(name) == value for name, value in selected)
        ]
        if method == "DELETE":
            for item in found:
                self.objects.pop(self._key(item))
        metadata = {"resourceVersion": str(self._version)}
        return 200, {"kind": f"{kind.kind}List", "apiVersion": kind.api, "metadata": metadata, "items": found}

    def _one(
        self, method: str, kind: Kind, key: tuple[str, str, str], query: Mapping[str, list[str]], body: bytes
    ) -> tuple[int, Item]:
        live = self.objects.get(key)
        if method == "PATCH":
            return self._apply(kind, key, query, body)
        if live is None:
            return _status(404, "NotFound", f'{kind.plural} "{key[2]}" not found')
        if method == "DELETE":
            if live["metadata"].get("finalizers"):
                live["metadata"]["deletionTimestamp"] = _now()
            else:
                self.objects.pop(key)
        return 200, live

    def _apply(
        self, kind: Kind, key: tuple[str, str, str], query: Mapping[str, list[str]], body: bytes
    ) -> tuple[int, Item]:
        if query.get("fieldManager", [""])[0] == "":
            return _status(
                400, "BadRequest", "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value"
            )
        if self.refuses:
            return _status(422, "Invalid", self.refuses)
        wanted: Item = json.loads(body)
        self.sent.append(json.loads(body))
        live = self.objects.get(key)
        fresh = live is None
        if live is None:
            made = {"uid": str(uuid4()), "creationTimestamp": _now(), "generation": 0}
            live = {"apiVersion": kind.api, "kind": kind.kind, "metadata": made}
        changed = fresh or live.get("spec") != wanted.get("spec")
        live["metadata"] = {**live["metadata"], **wanted["metadata"]}
        live["metadata"]["generation"] += int(changed)
        live["spec"] = wanted.get("spec")
        self.objects[key] = live
        self._touch(live)
        self.applied(self, live)
        return (201 if fresh else 200), live

    def _touch(self, item: Item) -> None:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)

    def _key(self, item: Item) -> tuple[str, str, str]:
        metadata = item["metadata"]
        plural = next(k.plural for k in self.kinds if k.kind == item["kind"])
        return plural, metadata["namespace"], metadata["name"]


@contextmanager
def serving(api: AggregatedApi, config: Path, authority: Issued) -> Iterator[AggregatedApi]:
    """The cluster of a kubeconfig, whose API server is on this host, serves the kinds too. When this ends, however it does, they are
    taken away: one that stayed and answers no more would hold up all who remove a namespace.
    """
    name = f"test-{uuid4().hex[:8]}"
    apis = sorted({kind.api for kind in api.kinds})
    with _listening(api, authority, f"{name}.default.svc") as port, _guarded(config, name, apis):
        client = client_of(config)
        _untyped.client.CoreV1Api(client).create_namespaced_service(
            "default",
            {
                "metadata": {"name": name},
                "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
            },
        )
        for each in apis:
            _register(client, each, name, port, authority)
        for kind in api.kinds:
            _await_served(client, kind)
        yield api


def _register(client: Any, api: str, name: str, port: int, authority: Issued) -> None:
    group, version = api.split("/")
    registration = _untyped.client.ApiregistrationV1Api(client)
    registration.create_api_service(
        {
            "metadata": {"name": f"{version}.{group}"},
            "spec": {
                "group": group,
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": 10,
                "caBundle": _base64(authority.pem),
                "service": {"namespace": "default", "name": name, "port": port},
            },
        }
    )


def _await_served(client: Any, kind: Kind) -> None:
    """The cluster looks itself whether somebody answers there before it passes anything on."""
    group, version = kind.api.split("/")
    end = time.monotonic() + _AVAILABLE_SECONDS
    while True:
        try:
            _untyped.client.CustomObjectsApi(client).list_cluster_custom_object(group, version, kind.plural)
            return
        except _untyped.client.ApiException as error:
            assert time.monotonic() < end, error
            time.sleep(0.2)


@contextmanager
def _listening(api: AggregatedApi, authority: Issued, host: str) -> Iterator[int]:
    issued = issue(host, by=authority)

    class Handler(_Handler):
        served = api

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, issued)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, name="aggregated-api", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _guarded(config: Path, name: str, apis: list[str]) -> Iterator[None]:
    """A process that takes everything away when this one lets go of it, or is gone."""
    command = [sys.executable, "-c", _GUARD, str(config), name, *apis]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as guard:
        assert guard.stdin
        try:
            yield
        finally:
            guard.stdin.close()
            assert guard.wait(120) == 0


_GUARD = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
import kubernetes
sys.stdin.read()
config, name, *apis = sys.argv[1:]
client = kubernetes.config.new_client_from_config(config)
registration = kubernetes.client.ApiregistrationV1Api(client)
def quietly(remove, *words):
    try:
        remove(*words, _preload_content=False)
    except kubernetes.client.ApiException as error:
        if error.status != 404:
            raise
for api in apis:
    group, version = api.split('/')
    quietly(registration.delete_api_service, f'{version}.{group}')
quietly(kubernetes.client.CoreV1Api(client).delete_namespaced_service, name, 'default')
"""


class _Handler(BaseHTTPRequestHandler):
    served: ClassVar[AggregatedApi]
    protocol_version = "HTTP/1.1"
    timeout = 120

    def _reply(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        code, item = self.served.answer(self.command, parts.path, parse_qs(parts.query), body)
        with self.served.lock:
            answer = json.dumps(item).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PATCH = do_DELETE = _reply  # noqa: N815

    def log_message(self, *_words: object) -> None: ...


def _load(context: ssl.SSLContext, issued: Issued) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile("w") as file:
        file.write(issued.pem + issued.key_pem)
        file.flush()
        context.load_cert_chain(file.name)


def _status(code: int, reason: str, message: str) -> tuple[int, Item]:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason}
    return code, {**status, "message": message, "code": code}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _base64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode("ascii")
