"""What operators do of what they are asked for, as far as somebody sees who asked: a status that changes, and a Secret."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kubernetes

from tests.own_cluster.aggregated_api import AggregatedApi, Item, Kind
from tests.own_cluster.control_plane import client_of, core

CLOUDNATIVE_PG = Kind("postgresql.cnpg.io/v1", "clusters", "Cluster")
KINDS = (
    CLOUDNATIVE_PG,
    Kind("postgres-operator.crunchydata.com/v1beta1", "postgresclusters", "PostgresCluster"),
    Kind("rabbitmq.com/v1beta1", "rabbitmqclusters", "RabbitmqCluster"),
    Kind("k8s.mariadb.com/v1alpha1", "mariadbs", "MariaDB"),
    Kind("redis.redis.opstreelabs.in/v1beta2", "redis", "Redis"),
)
URI = "postgresql://app:canary@db-rw.app-shop:5432/app"
_SECRETS = {
    "Cluster": ("{name}-app", "uri"),
    "PostgresCluster": ("{name}-pguser-{name}", "uri"),
    "RabbitmqCluster": ("{name}-default-user", "connection_string"),
}
_READY: Mapping[str, Item] = {
    "Cluster": {
        "phase": "Cluster in healthy state",
        "conditions": [{"type": "Ready", "status": "True", "message": "Cluster is Ready"}],
    },
    "PostgresCluster": {"instances": [{"name": "main", "readyReplicas": 1}]},
    "RabbitmqCluster": {"conditions": [{"type": "AllReplicasReady", "status": "True"}]},
    "MariaDB": {"conditions": [{"type": "Ready", "status": "True"}]},
    "Redis": {},
}
_untyped: Any = kubernetes


@dataclass
class PlayedOperators:
    """Of the cluster of a kubeconfig. Nothing gets ready before ``go_on`` is set; ``waiting`` is, once something waits for that."""

    config: Path
    go_on: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Event = field(default_factory=threading.Event)

    def __call__(self, api: AggregatedApi, item: Item) -> None:
        """At once it is said that there is more to come; the rest takes its time."""
        if item["kind"] not in _READY:
            return
        if "status" not in item:
            conditions = [{"type": "Ready", "status": "False", "message": "Cluster Is Not Ready"}]
            item["status"] = {"phase": "Setting up primary", "conditions": conditions}
        threading.Thread(target=self._make, args=(api, dict(item)), name="operator", daemon=True).start()

    def _make(self, api: AggregatedApi, item: Item) -> None:
        self.waiting.set()
        if not self.go_on.wait(300):
            return
        if item["kind"] in _SECRETS:
            self._write_secret(item, *_SECRETS[item["kind"]])
        if item["kind"] == "Redis":
            self._run(item)
        api.update(item, status=_READY[item["kind"]])

    def _write_secret(self, item: Item, name: str, key: str) -> None:
        space, name = item["metadata"]["namespace"], name.format(name=item["metadata"]["name"])
        body = {"metadata": {"name": name}, "stringData": {key: URI, "password": "canary"}}
        _once(core(self.config).create_namespaced_secret, space, body)

    def _run(self, item: Item) -> None:
        """By a StatefulSet, which says itself that it is ready."""
        apps = _untyped.client.AppsV1Api(client_of(self.config))
        space, name = item["metadata"]["namespace"], item["metadata"]["name"]
        pod = {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "redis", "image": "r"}]},
        }
        spec = {"serviceName": name, "selector": {"matchLabels": {"app": name}}, "template": pod}
        _once(apps.create_namespaced_stateful_set, space, {"metadata": {"name": name}, "spec": spec})
        status = {"status": {"replicas": 1, "readyReplicas": 1, "observedGeneration": 1}}
        apps.patch_namespaced_stateful_set_status(name, space, status)


def _once(create: Any, space: str, body: Item) -> None:
    try:
        create(space, body)
    except _untyped.client.ApiException as error:
        if error.status != 409:
            raise
