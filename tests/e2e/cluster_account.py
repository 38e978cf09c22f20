"""An account of the cluster for the servers of the tests: it has what ``gitreceive permissions`` prints, and nothing else."""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kubernetes
import yaml

from tests.e2e.world import run

_SECONDS = 24 * 3600


@contextmanager
def cluster_account(folder: Path) -> Iterator[Path]:
    """A kubeconfig of it. It is made by whoever ``KUBECONFIG`` is, and goes when the context is left."""
    untyped: Any = kubernetes
    client, namespace = untyped.client, f"gitreceive-tests-{secrets.token_hex(4)}"
    with untyped.config.new_client_from_config() as api:
        printed = run([sys.executable, "-m", "gitreceive", "permissions", "--namespace", namespace]).ok().out
        objects = list(yaml.safe_load_all(printed))
        for item in objects:
            untyped.utils.create_from_dict(api, item)
        try:
            asked = {"spec": {"audiences": [], "expirationSeconds": _SECONDS}}
            given = client.CoreV1Api(api).create_namespaced_service_account_token(
                "gitreceive", namespace, asked
            )
            path = folder / "kubeconfig"
            path.touch(mode=0o600)
            path.write_text(yaml.safe_dump(_kubeconfig(api.configuration, given.status.token)))
            yield path
        finally:
            role = objects[-1]["metadata"]["name"]
            client.RbacAuthorizationV1Api(api).delete_cluster_role_binding(role)
            client.RbacAuthorizationV1Api(api).delete_cluster_role(role)
            client.CoreV1Api(api).delete_namespace(namespace)


def _kubeconfig(configuration: Any, token: str) -> dict[str, Any]:
    cluster = {"server": configuration.host, "certificate-authority": configuration.ssl_ca_cert}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": {k: v for k, v in cluster.items() if v}}],
        "users": [{"name": "server", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "server"}}],
        "current-context": "tests",
    }
