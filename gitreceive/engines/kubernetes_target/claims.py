"""Volumes of apps, as PersistentVolumeClaims. No roll-out removes one: what is in it is worth more than what runs."""

from collections.abc import Iterable

from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.errors import ConflictError, UsageError
from gitreceive.manifests.rendering import MANAGED_LABEL, MANAGER, OWNED
from gitreceive.manifests.templating import Manifest
from gitreceive.model import Limits, VolumeStatus

CLAIM = "PersistentVolumeClaim"


def fitted(api: Api, namespace: str, objects: Iterable[Manifest]) -> list[Manifest]:
    """``objects``, which are to be applied, without the claims that are there already and large enough. Of a claim nothing can be changed but
    that it grows, so what else has changed since, such as the setting of a storage class, is for new ones.

    Raises ConflictError for a claim that is somebody else's, that is being removed, or that was made for another way of sharing.
    """
    objects = list(objects)
    if all(item["kind"] != CLAIM for item in objects):
        return objects
    there = {item["metadata"]["name"]: item for item in api.list(CLAIM, namespace)["items"]}
    made = []
    for item in objects:
        live = there.get(item["metadata"]["name"]) if item["kind"] == CLAIM else None
        if live is None:
            made.append(item)
        elif _grows(item, live):
            made.append(_grown(item, live))
    return made


def statuses(api: Api, namespace: str) -> tuple[VolumeStatus, ...]:
    """Those that are gitreceive's, by name."""
    found = sorted(api.list(CLAIM, namespace, OWNED)["items"], key=lambda item: str(item["metadata"]["name"]))
    return tuple(_status(item) for item in found)


def remove(api: Api, namespace: str, name: str) -> bool:
    """False where there is none. Raises ConflictError where it is somebody else's, or something mounts it."""
    live = next((i for i in api.list(CLAIM, namespace)["items"] if i["metadata"]["name"] == name), None)
    if live is None:
        return False
    _require_ours(live)
    for deployment in api.list("Deployment", namespace, OWNED)["items"]:
        volumes = deployment["spec"]["template"]["spec"].get("volumes") or []
        if any((volume.get("persistentVolumeClaim") or {}).get("claimName") == name for volume in volumes):
            raise ConflictError(
                f"{deployment['metadata']['name']} mounts volume {name}",
                hint=f"gitreceive volumes remove {name}",
            )
    api.delete(CLAIM, name, namespace)
    return True


def _status(item: Manifest) -> VolumeStatus:
    status = item.get("status") or {}
    leaving = "deletionTimestamp" in item["metadata"]
    size = (status.get("capacity") or {}).get("storage") or _asked(item)
    phase = "being removed" if leaving else str(status.get("phase") or "Pending").lower()
    return VolumeStatus(str(item["metadata"]["name"]), size, None, phase)


def _grows(wanted: Manifest, live: Manifest) -> bool:
    name = live["metadata"]["name"]
    _require_ours(live)
    if "deletionTimestamp" in live["metadata"]:
        raise ConflictError(
            f"volume {name} is being removed", hint="try again when it is gone: gitreceive volumes list"
        )
    if wanted["spec"]["accessModes"] != live["spec"]["accessModes"]:
        raise ConflictError(
            f"volume {name} was made {' and '.join(live['spec']['accessModes'])}, which cannot be changed",
            hint="add one of another name and copy what is in it",
        )
    return _bytes(_asked(wanted)) > _bytes(_asked(live))


def _grown(wanted: Manifest, live: Manifest) -> Manifest:
    spec = {key: live["spec"][key] for key in ("accessModes", "storageClassName") if key in live["spec"]}
    return {**wanted, "spec": spec | {"resources": wanted["spec"]["resources"]}}


def _require_ours(live: Manifest) -> None:
    metadata = live["metadata"]
    if (metadata.get("labels") or {}).get(MANAGED_LABEL) != MANAGER:
        where = f"{metadata['name']} --namespace {metadata['namespace']}"
        raise ConflictError(
            f"a PersistentVolumeClaim {metadata['name']} is there already and is not gitreceive's",
            hint=f"choose another name, or hand it over: kubectl label pvc {where} {OWNED}",
        )


def _asked(item: Manifest) -> str:
    return str(item["spec"]["resources"]["requests"]["storage"])


def _bytes(quantity: str) -> int:
    """More than any where it is written as nobody writes it: a claim of that size is left as it is."""
    try:
        return Limits(memory=quantity).memory_bytes or 0
    except UsageError:
        return 1 << 62
