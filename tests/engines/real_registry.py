"""Debian's docker-registry on a free loopback port."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

_CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}
http: {{addr: "{address}"}}
"""
_AUTH = "auth: {{htpasswd: {{realm: private, path: {folder}/htpasswd}}}}\n"


@contextmanager
def docker_registry(folder: Path, htpasswd: str = "") -> Iterator[str]:
    """Its address, once it answers. ``htpasswd`` has the users that may use it; empty: everybody. Skips where the program is
    not installed.
    """
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed: apt-get install docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = folder / "config.yml"
    config.write_text(
        _CONFIG.format(folder=folder / "storage", address=address)
        + (_AUTH.format(folder=folder) if htpasswd else "")
    )
    (folder / "htpasswd").write_text(htpasswd)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    try:
        _wait(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _wait(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 15
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(f"http://{address}/v2/").status_code in {200, 401}:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
    raise AssertionError(f"docker-registry did not come up: {log.read_text()}")
