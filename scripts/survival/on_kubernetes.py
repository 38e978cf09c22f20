"""What runs on the kubernetes target, and what of apps is left in the cluster. Read as whoever KUBECONFIG is, past whatever is killed."""

from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes

from gitreceive.manifests.rendering import COMPONENT_LABEL, KIND_LABEL, OWNED, RELEASE_ANNOTATION
from scripts.survival.invariants import AppFacts, Instance
from tests.e2e.world import Server

Manifest = Mapping[str, Any]


class OnKubernetes:
    """As it was when this was made."""

    def __init__(self, server: Server) -> None:
        self._prefix = server.env["GITRECEIVE_KUBERNETES_NAMESPACE_PREFIX"]
        untyped: Any = kubernetes
        with untyped.config.new_client_from_config() as api:
            core, apps = untyped.client.CoreV1Api(api), untyped.client.AppsV1Api(api)

            def found(listed: Any) -> list[Manifest]:
                items: list[Manifest] = api.sanitize_for_serialization(listed)["items"]
                return items

            spaces = found(core.list_namespace(label_selector=OWNED))
            self._names = [
                space["metadata"]["name"].removeprefix(self._prefix)
                for space in spaces
                if space["metadata"]["name"].startswith(self._prefix)
            ]
            self._pods, self._secrets, self._sets = {}, {}, {}
            for name in self._names:
                space = self._prefix + name
                self._pods[name] = found(core.list_namespaced_pod(space))
                configs = f"{OWNED},{KIND_LABEL}=config"
                self._secrets[name] = found(core.list_namespaced_secret(space, label_selector=configs))
                self._sets[name] = found(apps.list_namespaced_replica_set(space))

    def running(self, app: str) -> tuple[Instance, ...]:
        mine = (pod for pod in self._pods.get(app, ()) if _serves(pod))
        return tuple(map(_instance, mine))

    def strays(self, apps: tuple[AppFacts, ...]) -> Iterator[str]:
        known = {app.name for app in apps}
        for name in self._names:
            if name not in known:
                yield f"namespace {self._prefix}{name}"
                continue
            for pod in self._pods[name]:
                if COMPONENT_LABEL not in pod["metadata"].get("labels", {}) and not _is_leaving(pod):
                    yield f"pod {pod['metadata']['name']} of {name}"
            named = {one for item in self._sets[name] for one in _configs(item["spec"]["template"]["spec"])}
            for secret in self._secrets[name]:
                if secret["metadata"]["name"] not in named:
                    yield f"Secret {secret['metadata']['name']} of {name}"


def _is_leaving(pod: Manifest) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _serves(pod: Manifest) -> bool:
    labelled = COMPONENT_LABEL in pod["metadata"].get("labels", {})
    return labelled and not _is_leaving(pod) and pod["status"].get("phase") == "Running"


def _instance(pod: Manifest) -> Instance:
    process = pod["metadata"]["labels"][COMPONENT_LABEL]
    release = int(pod["metadata"]["annotations"][RELEASE_ANNOTATION])
    image = next(one["image"] for one in pod["spec"]["containers"] if one["name"] == process)
    return Instance(process, release, str(image).partition("@")[2])


def _configs(spec: Manifest) -> Iterator[str]:
    for container in spec["containers"]:
        for source in container.get("envFrom") or ():
            if "secretRef" in source:
                yield str(source["secretRef"]["name"])
