"""A Kubernetes API server of a test's own: no nodes and no controllers, so nothing runs there and nothing else sees what it is taught."""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import urllib3

from gitreceive.config import cache_dir
from tests.certificates import Issued, issue

_UP_SECONDS = 180.0
_untyped: Any = kubernetes


@contextmanager
def control_plane(folder: Path, authority: Issued) -> Iterator[Path]:
    """Its kubeconfig, with all rights, and none in the context ``nobody``. Skips where the programs are not here: scripts/devcluster brings them."""
    etcd, apiserver = shutil.which("etcd"), _apiserver()
    if etcd is None or apiserver is None:
        pytest.skip("needs etcd and kube-apiserver, as scripts/devcluster brings them")
    folder.mkdir()
    token = secrets.token_hex(16)
    _write_certificates(folder, authority, token)
    storage, peers, port = _free_ports(3)
    with ExitStack() as running:
        running.enter_context(_running(folder, [etcd, *_etcd_options(folder, storage, peers)]))
        running.enter_context(_running(folder, [str(apiserver), *_apiserver_options(folder, storage, port)]))
        config = folder / "kubeconfig"
        config.write_text(_kubeconfig(folder, port, token))
        _await_ready(config)
        yield config


@lru_cache(maxsize=4)
def client_of(config: Path) -> Any:
    """Of the cluster of a kubeconfig."""
    return _untyped.config.new_client_from_config(str(config))


def core(config: Path) -> Any:
    """Its core API."""
    return _untyped.client.CoreV1Api(client_of(config))


def _apiserver() -> Path | None:
    return next(iter(sorted((cache_dir() / "devcluster").glob("kubernetes-*/kube-apiserver"))), None)


def _write_certificates(folder: Path, authority: Issued, token: str) -> None:
    server, accounts = issue("localhost", by=authority), issue("accounts", by=authority)
    for name, text in (
        ("ca.crt", authority.pem),
        ("server.crt", server.pem),
        ("server.key", server.key_pem),
        ("accounts.key", accounts.key_pem),
        ("tokens.csv", f'{token},tests,tests,"system:masters"\n{token}-0,nobody,nobody\n'),
    ):
        (folder / name).write_text(text)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        bound = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in bound]


def _etcd_options(folder: Path, clients: int, peers: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
    return [
        *("--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--log-level", "error"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"default={peer}"),
    ]


def _apiserver_options(folder: Path, storage: int, port: int) -> list[str]:
    return [
        *("--bind-address", "127.0.0.1", "--secure-port", str(port), "--advertise-address", "192.0.2.1"),
        *("--etcd-servers", f"http://127.0.0.1:{storage}", "--service-cluster-ip-range", "198.18.0.0/24"),
        *(
            "--tls-cert-file",
            str(folder / "server.crt"),
            "--tls-private-key-file",
            str(folder / "server.key"),
        ),
        *("--client-ca-file", str(folder / "ca.crt"), "--token-auth-file", str(folder / "tokens.csv")),
        *("--service-account-issuer", "https://kubernetes.default.svc"),
        *("--service-account-key-file", str(folder / "accounts.key")),
        *("--service-account-signing-key-file", str(folder / "accounts.key")),
        *("--authorization-mode", "RBAC", "--disable-admission-plugins", "ServiceAccount"),
    ]


@contextmanager
def _running(folder: Path, command: list[str]) -> Iterator[None]:
    log = folder / f"{Path(command[0]).name}.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out) as process,
    ):
        try:
            yield
        finally:
            process.kill()


def _kubeconfig(folder: Path, port: int, token: str) -> str:
    cluster = f'{{server: "https://localhost:{port}", certificate-authority: {folder / "ca.crt"}}}'
    return (
        "apiVersion: v1\nkind: Config\ncurrent-context: tests\n"
        f"clusters: [{{name: tests, cluster: {cluster}}}]\n"
        f"users: [{{name: tests, user: {{token: {token}}}}}, {{name: nobody, user: {{token: {token}-0}}}}]\n"
        "contexts: [{name: tests, context: {cluster: tests, user: tests}}, "
        "{name: nobody, context: {cluster: tests, user: nobody}}]\n"
    )


def _await_ready(config: Path) -> None:
    """Also its own roles and namespaces have to be there."""
    client = client_of(config)
    end = time.monotonic() + _UP_SECONDS
    while True:
        try:
            _untyped.client.CoreV1Api(client).read_namespace("default")
            _untyped.client.RbacAuthorizationV1Api(client).read_cluster_role_binding("system:discovery")
            return
        except (_untyped.client.ApiException, urllib3.exceptions.HTTPError, OSError):
            if time.monotonic() > end:
                logs = "\n".join(file.read_text()[-2000:] for file in config.parent.glob("*.log"))
                pytest.fail(f"the API server did not come up:\n{logs}")
            time.sleep(0.1)


@contextmanager
def chosen(config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For the client library in this process, which reads the variable once, and for programs that it starts."""
    with monkeypatch.context() as patch:
        patch.setenv("KUBECONFIG", str(config))
        patch.setattr(_untyped.config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", os.fspath(config))
        yield
