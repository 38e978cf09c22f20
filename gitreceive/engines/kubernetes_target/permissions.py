"""What the server must be allowed to do in the cluster, as data, and whether it is."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

from gitreceive.config import Settings
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.errors import GitreceiveError
from gitreceive.manifests.provisioning import declared
from gitreceive.manifests.rendering import MANAGER
from gitreceive.manifests.templating import Manifest
from gitreceive.model import Check, ServiceKind

_RBAC = "rbac.authorization.k8s.io/v1"
_RUNTIME_CLASS = "kubernetes.runtime_class"


class Permission(NamedTuple):
    """For objects of these ``names`` alone, where there are any."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()


# all that the target ever asks of the API, cluster-wide because each app has a namespace
PERMISSIONS = (
    Permission("", "namespaces", ("get", "create", "patch", "delete")),
    Permission("", "nodes", ("list",)),
    Permission("", "serviceaccounts", ("create", "patch")),
    Permission("", "configmaps", ("list", "create", "patch", "delete")),
    Permission("", "secrets", ("get", "list", "create", "patch", "delete")),
    Permission("", "persistentvolumeclaims", ("list", "create", "patch", "delete")),
    Permission("", "services", ("get", "list", "create", "patch", "delete")),
    Permission("", "endpoints", ("get",), ("kubernetes",)),
    Permission("", "pods", ("get", "list", "watch", "create", "delete")),
    Permission("", "pods/log", ("get",)),
    Permission("", "pods/attach", ("get", "create")),
    Permission("", "pods/exec", ("get", "create")),
    Permission("", "pods/portforward", ("get", "create")),
    Permission("", "events", ("list", "watch")),
    Permission("apps", "deployments", ("list", "watch", "create", "patch", "delete")),
    Permission("apps", "replicasets", ("list", "watch")),
    Permission("batch", "cronjobs", ("list", "create", "patch", "delete")),
    Permission("batch", "jobs", ("list",)),
    Permission("policy", "poddisruptionbudgets", ("list", "create", "patch", "delete")),
    Permission("networking.k8s.io", "ingresses", ("get", "list", "create", "patch", "delete")),
    Permission("networking.k8s.io", "ingressclasses", ("list",)),
    Permission("networking.k8s.io", "networkpolicies", ("list", "create", "patch", "delete")),
    Permission("autoscaling", "horizontalpodautoscalers", ("list", "create", "patch", "delete")),
    Permission("node.k8s.io", "runtimeclasses", ("get",)),
)
# and these where the cluster serves the kind
_WHERE_SERVED: dict[str, tuple[Permission, ...]] = {
    "HTTPRoute": (
        Permission("gateway.networking.k8s.io", "httproutes", ("list", "create", "patch", "delete")),
        Permission(
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            ("get",),
            ("httproutes.gateway.networking.k8s.io",),
        ),
    ),
    "Route": (
        Permission("route.openshift.io", "routes", ("list", "create", "patch", "delete")),
        Permission("route.openshift.io", "routes/custom-host", ("create",)),
    ),
}


def check(api: Api, settings: Settings) -> Iterable[Check]:
    """Does it answer, is all allowed that is needed, is a node ready, and is there what settings name."""
    try:
        version = api.version()
    except GitreceiveError as error:
        yield Check("cluster", False, error.message, error.hint or "set KUBECONFIG and kubernetes.context")
        return
    yield Check("cluster", True, f"Kubernetes {version}")
    for name, looked in (
        ("cluster permissions", _permissions),
        ("cluster nodes", _nodes),
        (_RUNTIME_CLASS, _runtime_class),
    ):
        try:
            yield from looked(api, settings)
        except GitreceiveError as error:
            yield Check(name, False, error.message, error.hint)


def may(api: Api, permission: Permission, verb: str) -> bool:
    """Whether the server is allowed this in every namespace."""
    name, _, subresource = permission.resource.partition("/")
    attributes = {"group": permission.group, "resource": name, "subresource": subresource, "verb": verb}
    if permission.names:
        attributes["name"] = permission.names[0]
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": attributes},
    }
    return bool(api.create(review)["status"].get("allowed"))


def of_service(kind: ServiceKind) -> Permission:
    """What the server does with what an operator makes services from."""
    return Permission(kind.api.partition("/")[0], kind.resource, ("get", "list", "create", "patch", "delete"))


def _of_services_here(api: Api, settings: Settings) -> tuple[Permission, ...]:
    """For the kinds whose operators are there."""
    found = [
        kind
        for kind in declared(settings).values()
        if kind.api.partition("/")[2] in api.versions(kind.api.partition("/")[0])
    ]
    return _of_services(found)


def _of_services(kinds: Iterable[ServiceKind]) -> tuple[Permission, ...]:
    """Each once."""
    found: dict[Permission, None] = {}
    for kind in kinds:
        found[of_service(kind)] = None
        if kind.ready.resource:
            path, _, resource = kind.ready.resource.rpartition("/")
            found[Permission(path.rpartition("/")[0], resource, ("get",))] = None
    return tuple(found)


def _permissions(api: Api, settings: Settings) -> Iterable[Check]:
    served = [kind for kind in _WHERE_SERVED if api.serves(kind)]
    more = (each for kind in served for each in _WHERE_SERVED[kind])
    permissions = (*PERMISSIONS, *more, *_of_services_here(api, settings))
    asked = [(each, verb) for each in permissions for verb in each.verbs]
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = dict(zip(asked, pool.map(lambda question: may(api, *question), asked), strict=True))
    denied = False
    for each in permissions:
        missing = [verb for verb in each.verbs if not answers[each, verb]]
        if missing:
            denied = True
            yield _denied(f"{each.resource}.{each.group}" if each.group else each.resource, missing)
    if not denied:
        yield Check("cluster permissions", True, f"all {len(asked)} allowed")


def _denied(resource: str, verbs: list[str]) -> Check:
    fix = "as the cluster's administrator: gitreceive permissions --namespace NAMESPACE --account NAME | kubectl apply -f -"
    return Check(f"cluster permissions: {resource}", False, f"not allowed: {', '.join(verbs)}", fix)


def manifest(settings: Settings, namespace: str, account: str) -> tuple[Manifest, ...]:
    """An account for the server that may do this and nothing else, also what is asked only where the cluster serves the kind."""
    labels = {"app.kubernetes.io/name": MANAGER}
    role = f"{namespace}-{account}"
    allowed = (
        *PERMISSIONS,
        *chain.from_iterable(_WHERE_SERVED.values()),
        *_of_services(declared(settings).values()),
    )
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": namespace, "labels": labels},
        },
        {
            "apiVersion": _RBAC,
            "kind": "ClusterRole",
            "metadata": {"name": role, "labels": labels},
            "rules": [_rule(each) for each in allowed],
        },
        {
            "apiVersion": _RBAC,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": role, "labels": labels},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        },
    )


def _rule(permission: Permission) -> Manifest:
    names = {"resourceNames": list(permission.names)} if permission.names else {}
    return {
        "apiGroups": [permission.group],
        "resources": [permission.resource],
        **names,
        "verbs": list(permission.verbs),
    }


def _nodes(api: Api, _settings: Settings) -> Iterable[Check]:
    nodes = api.list("Node")["items"]
    ready = [
        node["metadata"]["name"]
        for node in nodes
        if not node["spec"].get("unschedulable")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
    ]
    seen = f"{len(ready)} of {len(nodes)} ready"
    yield Check("cluster nodes", bool(ready), seen, "" if ready else "`kubectl describe nodes` tells why")


def _runtime_class(api: Api, settings: Settings) -> Iterable[Check]:
    """Without it the cluster refuses each pod of a release."""
    name = settings.kubernetes.runtime_class
    if not name:
        return
    if api.get("RuntimeClass", name):
        yield Check(_RUNTIME_CLASS, True, name)
        return
    fix = f"make it, or set {_RUNTIME_CLASS} to one that `kubectl get runtimeclasses` shows"
    yield Check(_RUNTIME_CLASS, False, f"the cluster has no RuntimeClass {name}", fix)
