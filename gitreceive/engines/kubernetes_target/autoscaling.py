"""Whose the number of a Deployment's replicas is: ours, or an autoscaler's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.manifests.rendering import MANAGED_LABEL, MANAGER
from gitreceive.manifests.templating import Manifest


@dataclass(frozen=True)
class Scaler:
    """An autoscaler in the cluster, and the Deployment whose replicas it sets."""

    name: str
    deployment: str
    ours: bool


def scalers(api: Api, namespace: str) -> tuple[Scaler, ...]:
    """Those that are there."""
    found = api.list("HorizontalPodAutoscaler", namespace)["items"]
    return tuple(
        Scaler(
            item["metadata"]["name"],
            item["spec"]["scaleTargetRef"]["name"],
            (item["metadata"].get("labels") or {}).get(MANAGED_LABEL) == MANAGER,
        )
        for item in found
        if item["spec"]["scaleTargetRef"].get("kind") == "Deployment"
    )


def hand_over(
    api: Api,
    namespace: str,
    objects: Iterable[Manifest],
    live: Mapping[str, Manifest],
    there: Iterable[Scaler],
) -> tuple[str, ...]:
    """Make ``objects``, which are to be applied, leave replicas to whom they belong. ``there``: the autoscalers of before.

    Where our own autoscaler goes, its number is taken from it here, as a field that it owns could not be applied; for these
    Deployments, which are returned, ``Api.take_replicas`` is to be called with None behind it.
    """
    taken = []
    objects = list(objects)
    ours = {item["metadata"]["name"]: item for item in objects if item["kind"] == "HorizontalPodAutoscaler"}
    others = {scaler.deployment for scaler in there if not scaler.ours}
    leaving = {scaler.deployment: scaler.name for scaler in there if scaler.ours and scaler.name not in ours}
    for item in (item for item in objects if item["kind"] == "Deployment"):
        name = item["metadata"]["name"]
        if name in leaving:
            api.delete("HorizontalPodAutoscaler", leaving[name], namespace)
            if name in live:
                api.take_replicas(name, namespace, item["spec"]["replicas"])
                taken.append(name)
        elif name in ours:
            _leave_replicas(item, live.get(name), ours[name]["spec"])
        elif name in others:
            _leave_replicas(item, live.get(name), {})
    return tuple(taken)


def _leave_replicas(wanted: Manifest, live: Manifest | None, bounds: Mapping[str, int]) -> None:
    """Keep out of the autoscaler's field. It touches no Deployment with 0 replicas: how many it begins with, and that all stop, is ours.

    A field that we owned and no longer send is reset, so where it is still ours the live number is sent once more; the
    autoscaler becomes its owner when it next changes it (Kubernetes, server-side apply, transferring ownership).
    """
    count = live["spec"].get("replicas", 1) if live else 0
    if live is None or not count or not wanted["spec"]["replicas"]:
        return
    del wanted["spec"]["replicas"]
    if any(_owns_replicas(entry) for entry in live["metadata"].get("managedFields") or []):
        least, most = bounds.get("minReplicas", count), bounds.get("maxReplicas", count)
        wanted["spec"]["replicas"] = min(max(count, least), most)


def _owns_replicas(entry: Manifest) -> bool:
    fields = (entry.get("fieldsV1") or {}).get("f:spec") or {}
    return entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and "f:replicas" in fields
