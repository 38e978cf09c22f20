"""What the server must be allowed to do in the cluster, as data, and whether it is."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from gitreceive.config import Settings
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.errors import GitreceiveError
from gitreceive.manifests.provisioning import declared
from gitreceive.model import Check

# (API group, resource, verbs): all that the target ever asks of the API, cluster-wide because each app has a namespace
PERMISSIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("", "namespaces", ("get", "create", "patch", "delete")),
    ("", "nodes", ("list",)),
    ("", "serviceaccounts", ("create", "patch")),
    ("", "configmaps", ("list", "create", "patch", "delete")),
    ("", "secrets", ("get", "list", "create", "patch", "delete")),
    ("", "persistentvolumeclaims", ("list", "create", "patch", "delete")),
    ("", "services", ("get", "list", "create", "patch", "delete")),
    ("", "pods", ("list", "watch", "create", "delete")),
    ("", "pods/log", ("get",)),
    ("", "pods/attach", ("get", "create")),
    ("", "pods/exec", ("get", "create")),
    ("", "pods/portforward", ("get", "create")),
    ("", "events", ("list", "watch")),
    ("apps", "deployments", ("list", "watch", "create", "patch", "delete")),
    ("apps", "replicasets", ("list", "watch")),
    ("batch", "cronjobs", ("list", "create", "patch", "delete")),
    ("batch", "jobs", ("list",)),
    ("policy", "poddisruptionbudgets", ("list", "create", "patch", "delete")),
    ("networking.k8s.io", "ingresses", ("get", "list", "create", "patch", "delete")),
    ("networking.k8s.io", "ingressclasses", ("list",)),
    ("autoscaling", "horizontalpodautoscalers", ("list", "create", "patch", "delete")),
)
# and these where the cluster serves the kind
_WHERE_SERVED: dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "HTTPRoute": (
        ("gateway.networking.k8s.io", "httproutes", ("list", "create", "patch", "delete")),
        ("apiextensions.k8s.io", "customresourcedefinitions", ("get",)),
    ),
    "Route": (
        ("route.openshift.io", "routes", ("list", "create", "patch", "delete")),
        ("route.openshift.io", "routes/custom-host", ("create",)),
    ),
}


# of what an operator makes services from, where the cluster serves that
SERVICE_VERBS = ("get", "list", "create", "patch", "delete")


def check(api: Api, settings: Settings) -> Iterable[Check]:
    """Does it answer, is all allowed that is needed, and is a node ready."""
    try:
        version = api.version()
    except GitreceiveError as error:
        yield Check("cluster", False, error.message, error.hint or "set KUBECONFIG and kubernetes.context")
        return
    yield Check("cluster", True, f"Kubernetes {version}")
    for name, looked in (("cluster permissions", _permissions), ("cluster nodes", _nodes)):
        try:
            yield from looked(api, settings)
        except GitreceiveError as error:
            yield Check(name, False, error.message, error.hint)


def may(api: Api, group: str, resource: str, verb: str) -> bool:
    """Whether the server is allowed this in every namespace."""
    name, _, subresource = resource.partition("/")
    attributes = {"group": group, "resource": name, "subresource": subresource, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": attributes},
    }
    return bool(api.create(review)["status"].get("allowed"))


def of_services(api: Api, settings: Settings) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """For the kinds of services whose operators are there, by group, resource and verbs: each once."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for kind in declared(settings).values():
        group, _, version = kind.api.partition("/")
        if version in api.versions(group):
            found[group, kind.resource] = SERVICE_VERBS
            if kind.ready.resource:
                path, _, resource = kind.ready.resource.rpartition("/")
                found[path.rpartition("/")[0], resource] = ("get",)
    return tuple((group, resource, verbs) for (group, resource), verbs in found.items())


def _permissions(api: Api, settings: Settings) -> Iterable[Check]:
    served = [kind for kind in _WHERE_SERVED if api.serves(kind)]
    more = (each for kind in served for each in _WHERE_SERVED[kind])
    permissions = (*PERMISSIONS, *more, *of_services(api, settings))
    asked = [(group, resource, verb) for group, resource, verbs in permissions for verb in verbs]
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = dict(zip(asked, pool.map(lambda question: may(api, *question), asked), strict=True))
    denied = False
    for group, resource, verbs in permissions:
        missing = [verb for verb in verbs if not answers[group, resource, verb]]
        if missing:
            denied = True
            yield _denied(f"{resource}.{group}" if group else resource, missing)
    if not denied:
        yield Check("cluster permissions", True, f"all {len(asked)} allowed")


def _denied(resource: str, verbs: list[str]) -> Check:
    role = f"gitreceive-{resource.partition('.')[0].replace('/', '-')}"
    fix = (
        f"kubectl create clusterrole {role} --verb={','.join(verbs)} --resource={resource}, and bind it to the server's "
        f"account: kubectl create clusterrolebinding {role} --clusterrole={role} --serviceaccount=NAMESPACE:NAME"
    )
    return Check(f"cluster permissions: {resource}", False, f"not allowed: {', '.join(verbs)}", fix)


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
