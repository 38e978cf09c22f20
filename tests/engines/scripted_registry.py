"""A registry in this process, in memory, over real HTTP on loopback, that fails as it is told to."""

import hashlib
import json
import re
import socket
import struct
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_INDEX = "application/vnd.oci.image.index.v1+json"
Action = Callable[["Handler"], bool]  # True: it has answered


@dataclass
class Fault:
    """What happens to the next ``times`` requests of ``method`` whose path has ``pattern``."""

    method: str
    pattern: str
    action: Action
    times: int = 1


@dataclass
class ScriptedRegistry:
    address: str = ""
    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    manifests: dict[str, dict[str, tuple[bytes, str]]] = field(default_factory=dict)
    uploads: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    login: tuple[str, str] | None = None
    scheme: str = "Basic"
    lists_referrers: bool = False  # as registries of OCI distribution spec 1.1 do, two on a page
    scopes_asked: list[list[str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, method: str, pattern: str, action: Action, times: int = 1) -> None:
        self.faults.append(Fault(method, pattern, action, times))

    def count(self, method: str, pattern: str = "") -> int:
        return sum(1 for m, path in self.seen if m == method and re.search(pattern, path))


@contextmanager
def serving() -> Iterator[ScriptedRegistry]:
    registry = ScriptedRegistry()
    handler = type("Bound", (Handler,), {"registry": registry})
    server = _Server(("127.0.0.1", 0), handler)
    registry.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def status(code: int, headers: dict[str, str] | None = None, error: str = "") -> Action:
    """Answer with the status, the body read."""

    def act(handler: "Handler") -> bool:
        handler.body()
        errors = [{"code": error, "message": "scripted"}] if error else []
        handler.answer(code, json.dumps({"errors": errors}).encode(), headers)
        return True

    return act


def reset(after: int) -> Action:
    """Read so many bytes of the body, then break the connection with RST."""

    def act(handler: "Handler") -> bool:
        handler.rfile.read(after)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
        handler.connection.close()
        return True

    return act


def truncate(content: bytes) -> Action:
    """Promise more than is sent."""

    def act(handler: "Handler") -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) + 100))
        handler.end_headers()
        handler.wfile.write(content)
        handler.close_connection = True
        return True

    return act


def confirm(digest: str) -> Action:
    """Say that something else was stored."""

    def act(handler: "Handler") -> bool:
        handler.body()
        handler.answer(201, b"", {"Docker-Content-Digest": digest})
        return True

    return act


def hang(until: threading.Event) -> Action:
    """Say nothing until told to."""

    def act(handler: "Handler") -> bool:
        until.wait(30)
        handler.close_connection = True
        return True

    return act


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that tests break are not told to anybody."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 1
    disable_nagle_algorithm = True
    registry: ScriptedRegistry

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self._serve(self._get)

    def do_HEAD(self) -> None:
        self._serve(self._get)

    def do_POST(self) -> None:
        self._serve(self._post)

    def do_PUT(self) -> None:
        self._serve(self._put)

    def do_DELETE(self) -> None:
        self._serve(self._delete)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, code: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _serve(self, normal: Callable[[], None]) -> None:
        registry = self.registry
        with registry.lock:
            registry.seen.append((self.command, self.path))
            registry.authorizations.append(self.headers.get("Authorization"))
            fault = next((f for f in registry.faults if self._hit(f)), None)
            if fault:
                fault.times -= 1
        if fault and fault.action(self):
            return
        if self.path.startswith("/token"):
            self._token()
        elif not self._authorized():
            self.body()
            challenge = 'Basic realm="scripted"'
            if registry.scheme == "Bearer":
                challenge = f'Bearer realm="http://{registry.address}/token",service="scripted"'
            self.answer(401, b"", {"WWW-Authenticate": challenge})
        else:
            normal()

    def _hit(self, fault: Fault) -> bool:
        return fault.times > 0 and fault.method == self.command and bool(re.search(fault.pattern, self.path))

    def _basic(self) -> str:
        return "Basic " + b64encode(":".join(self.registry.login or ("", "")).encode()).decode()

    def _authorized(self) -> bool:
        if self.registry.login is None:
            return True
        given = self.headers.get("Authorization", "")
        if self.registry.scheme == "Basic":
            return given == self._basic()
        granted = given.removeprefix("Bearer ").split("+")
        query = parse_qs(urlsplit(self.path).query)
        origins = query.get("from", [])
        wanted = [self._split()[0], *origins]
        return all(any(f":{name}:" in scope for scope in granted) for name in wanted if name)

    def _token(self) -> None:
        scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
        self.registry.scopes_asked.append(scopes)
        if self.headers.get("Authorization", "") != self._basic():
            self.answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}')
        else:
            self.answer(200, json.dumps({"token": "+".join(scopes), "expires_in": 300}).encode())

    def _split(self) -> tuple[str, str, str]:
        path = urlsplit(self.path).path
        match = re.fullmatch(r"/v2/(.+)/(blobs/uploads|blobs|manifests|referrers)/(.*)", path)
        return (match[1], match[2], match[3]) if match else ("", "", "")

    def _get(self) -> None:
        name, kind, reference = self._split()
        if not name:
            self.answer(200, b"{}")
        elif kind == "blobs" and reference in self.registry.blobs.get(name, {}):
            self.answer(200, self.registry.blobs[name][reference])
        elif kind == "referrers" and self.registry.lists_referrers:
            self._list_referrers(name, reference)
        elif kind == "manifests" and reference in self.registry.manifests.get(name, {}):
            content, media_type = self.registry.manifests[name][reference]
            self.answer(200, content, {"Content-Type": media_type})
        else:
            self.answer(404, b"")

    def _list_referrers(self, name: str, subject: str) -> None:
        found = []
        for reference, (content, media_type) in self.registry.manifests.get(name, {}).items():
            document = json.loads(content)
            if reference.startswith("sha256:") and document.get("subject", {}).get("digest") == subject:
                found.append({"mediaType": media_type, "digest": reference, "size": len(content)})
        first = int(parse_qs(urlsplit(self.path).query).get("first", ["0"])[0])
        page = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": found[first : first + 2]}
        headers = {"Content-Type": _INDEX}
        if len(found) > first + 2:
            headers["Link"] = f'</v2/{name}/referrers/{subject}?first={first + 2}>; rel="next"'
        self.answer(200, json.dumps(page).encode(), headers)

    def _delete(self) -> None:
        name, kind, reference = self._split()
        found = self.registry.manifests.get(name, {})
        if kind != "manifests":
            self.answer(204, b"")
        elif reference not in found:
            self.answer(404, b"")
        else:
            content = found[reference]
            self.registry.manifests[name] = {tag: one for tag, one in found.items() if one != content}
            self.answer(202, b"")

    def _post(self) -> None:
        self.body()
        name, _, _ = self._split()
        query = parse_qs(urlsplit(self.path).query)
        digest, origin = query.get("mount", [""])[0], query.get("from", [""])[0]
        if digest in self.registry.blobs.get(origin, {}):
            self.registry.blobs.setdefault(name, {})[digest] = self.registry.blobs[origin][digest]
            self.answer(201, b"", {"Docker-Content-Digest": digest})
            return
        with self.registry.lock:
            upload = f"u{len(self.registry.seen)}"
            self.registry.uploads.add(upload)
        self.answer(202, b"", {"Location": f"/v2/{name}/blobs/uploads/{upload}?_state=x"})

    def _put(self) -> None:
        name, kind, reference = self._split()
        content = self.body()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if kind == "manifests":
            self._put_manifest(name, reference, content, digest)
            return
        with self.registry.lock:
            known = reference in self.registry.uploads
            self.registry.uploads.discard(reference)
        if not known:
            self.answer(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"no such upload"}]}')
        elif parse_qs(urlsplit(self.path).query)["digest"] != [digest]:
            self.answer(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"another digest"}]}')
        else:
            self.registry.blobs.setdefault(name, {})[digest] = content
            self.answer(201, b"", {"Docker-Content-Digest": digest})

    def _put_manifest(self, name: str, reference: str, content: bytes, digest: str) -> None:
        document = json.loads(content)
        held = self.registry.blobs.get(name, {})
        parts = [document["config"], *document["layers"]] if "layers" in document else []
        if any(part["digest"] not in held for part in parts):
            self.answer(400, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}')
            return
        stored = (content, self.headers["Content-Type"])
        self.registry.manifests.setdefault(name, {}).update({reference: stored, digest: stored})
        subject = document.get("subject", {}).get("digest", "")
        listed = {"OCI-Subject": subject} if subject and self.registry.lists_referrers else {}
        self.answer(201, b"", {"Docker-Content-Digest": digest, **listed})
