"""What the server must be allowed to do in the cluster, as data, and whether it is."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.errors import GitreceiveError
from gitreceive.model import Check

_APPLY = ("get", "list", "create", "patch", "delete")

# (API group, resource, verbs): all that the target ever asks of the API, cluster-wide because each app has a namespace
PERMISSIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("", "namespaces", ("get", "create", "patch", "delete")),
    ("", "nodes", ("list",)),
    ("", "serviceaccounts", ("create", "patch")),
    ("", "secrets", ("list", "create", "patch", "delete")),
    ("", "services", _APPLY),
    ("", "pods", ("get", "list", "watch", "create", "delete")),
    ("", "pods/log", ("get",)),
    ("", "events", ("list", "watch")),
    ("apps", "deployments", (*_APPLY, "watch")),
    ("apps", "replicasets", ("list", "watch")),
    ("policy", "poddisruptionbudgets", ("list", "create", "patch", "delete")),
    ("networking.k8s.io", "ingresses", _APPLY),
    ("autoscaling", "horizontalpodautoscalers", ("list",)),
)


def check(api: Api) -> Iterable[Check]:
    """Does it answer, is a node ready, and is all allowed that is needed."""
    try:
        version = api.version()
    except GitreceiveError as error:
        yield Check("cluster", False, error.message, error.hint or "set KUBECONFIG and kubernetes.context")
        return
    yield Check("cluster", True, f"Kubernetes {version}")
    try:
        yield _nodes(api)
        yield _allowed(api)
    except GitreceiveError as error:
        yield Check("cluster permissions", False, error.message, error.hint or _FIX)


_FIX = "bind a ClusterRole with these verbs to the server's account: kubectl create clusterrolebinding …"


def _nodes(api: Api) -> Check:
    nodes = api.list("Node")["items"]
    ready = [
        node["metadata"]["name"]
        for node in nodes
        if not node["spec"].get("unschedulable")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
    ]
    seen = f"{len(ready)} of {len(nodes)} ready"
    return Check("cluster nodes", bool(ready), seen, "" if ready else "kubectl describe nodes tells why")


def _allowed(api: Api) -> Check:
    asked = [(group, resource, verb) for group, resource, verbs in PERMISSIONS for verb in verbs]
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(lambda question: _may(api, *question), asked))
    denied = [
        f"{verb} {resource}{f'.{group}' if group else ''}"
        for (group, resource, verb), allowed in zip(asked, answers, strict=True)
        if not allowed
    ]
    if denied:
        return Check("cluster permissions", False, f"not allowed: {', '.join(denied)}", _FIX)
    return Check("cluster permissions", True, f"all {len(asked)} allowed")


def _may(api: Api, group: str, resource: str, verb: str) -> bool:
    name, _, subresource = resource.partition("/")
    attributes = {"group": group, "resource": name, "subresource": subresource, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": attributes},
    }
    return bool(api.create(review)["status"].get("allowed"))
