"""What a cluster without a storage class lacks: something that a claim can be bound to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import kubernetes

_untyped: Any = kubernetes


def core() -> Any:
    """The cluster's core API, for what tests make beside the product."""
    _untyped.config.load_kube_config()
    return _untyped.client.CoreV1Api()


@contextmanager
def host_volume(namespace: str, claim: str, folder: Path) -> Iterator[None]:
    """``folder`` of this host, which is the cluster's node, waits for that claim. A cluster gives folders of a host to nobody, so all may write."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
    name = f"test-{uuid4().hex[:8]}"
    core().create_persistent_volume(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                "claimRef": {"namespace": namespace, "name": claim},
                "hostPath": {"path": str(folder), "type": "Directory"},
            },
        }
    )
    try:
        yield
    finally:
        core().delete_persistent_volume(name)
