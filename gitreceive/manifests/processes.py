"""What a cluster is told of each process type of a release, as values for the templates. Pure."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gitreceive.config import KubernetesSettings
from gitreceive.errors import ConfigError
from gitreceive.manifests import maintenance_page
from gitreceive.manifests.probes import probes
from gitreceive.model import (
    RETRY_SECONDS,
    STARTING_SECONDS,
    WEB_PROCESS,
    CronEntry,
    Limits,
    ProcessType,
    Release,
    alone,
    five_fields,
    mounted,
)

INSTANCE_LABEL = "app.kubernetes.io/instance"
COMPONENT_LABEL = "app.kubernetes.io/component"
KIND_LABEL = "gitreceive/kind"  # what an object without a component is for: config, maintenance
MAINTENANCE = "web.maintenance"  # no process type has a dot in its name
RESTARTED_ANNOTATION = "gitreceive/restarted"
SETTLE_SECONDS = 2

# Endpoints must be gone from every node before the process is told to stop; kube-proxy needs about a second.
_DRAIN_SECONDS = 5
_PAGE_PORT = 8080
_KEPT_RUNS = 5  # of those that ended well, and as many of those that failed
_GRACE_SECONDS = 30
_VOLUMES_GROUP = (
    1000  # whose the volumes are, beside their owner: every app's processes are in it, whoever they run as
)
_ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}}
_REPLACED = {"type": "Recreate"}  # the next begins when the last has ended: a volume is not for two


def process_values(
    context: Mapping[str, Any], release: Release, process: ProcessType, settings: KubernetesSettings
) -> dict[str, Any]:
    """``context`` with what is of this process type."""
    restarted = release.settings.formation.restarted.get(process.name)
    stamp = {RESTARTED_ANNOTATION: restarted} if restarted else {}
    return {
        **context,
        **resources(release, process, settings),
        "pod_annotations": context["pod_annotations"] | stamp,
        "process": _process(context, release, process),
        "autoscale": _autoscale(release, process),
    }


def resources(release: Release, process: ProcessType, settings: KubernetesSettings) -> dict[str, str]:
    """Memory is asked for and is the limit: what is over it is killed, and nothing else on the node has to suffer. CPU is asked for alone:
    a process is sure of that much, and a limit would only slow it down while others let theirs lie.
    """
    limits = release.settings.runtime.limits.get(process.name, Limits())
    return {"cpu": limits.cpu or settings.cpu, "memory": limits.memory or settings.memory}


def volume_values(release: Release, settings: KubernetesSettings) -> list[dict[str, Any]]:
    """Of each volume that the release mounts, by name."""
    return [
        {
            "name": name,
            "access_modes": ["ReadWriteMany" if volume.shared else "ReadWriteOnce"],
            "storage_class": settings.storage_class or None,
            "size": volume.size,
        }
        for name, volume in sorted(release.settings.runtime.volumes.items())
    ]


def maintenance_values(values: Mapping[str, Any], release: Release) -> dict[str, Any]:
    """``values`` of ``web``, for what shows the page, and for the Service that leads to it in place of the app. Raises ConfigError."""
    maintenance = release.settings.maintenance
    if maintenance.image is None:
        raise ConfigError(
            "no image is known that could serve the page of maintenance",
            hint=f"ask for it again: gitreceive maintenance on {release.app}",
        )
    labels = values["app_labels"] | {KIND_LABEL: "maintenance"}
    selector = {INSTANCE_LABEL: str(release.app), KIND_LABEL: "maintenance"}
    program = Path(maintenance_page.__file__).read_text(encoding="utf-8")
    page = hashlib.sha256(f"{program}\0{maintenance.shown}".encode()).hexdigest()
    folder = "/maintenance"
    return {
        **values,
        "maintenance": {
            "name": MAINTENANCE,
            "labels": labels,
            "selector": selector,
            "annotations": {"gitreceive/page": page[:16]},
            "page": maintenance.shown,
            "program": program,
            "image": str(maintenance.image),
            "port": _PAGE_PORT,
            "command": [
                *("/usr/bin/python3", "-u", f"{folder}/serve.py", f"{folder}/page.html"),
                *(str(_PAGE_PORT), str(RETRY_SECONDS)),
            ],
            "lifecycle": lifecycle(values),
        },
        "process": values["process"] | {"selector": selector},
        "port": _PAGE_PORT,
    }


def cron_values(release: Release, entry: CronEntry, *, time_zones: bool) -> dict[str, Any]:
    """When and how an entry is run. Nothing of an app that is stopped is."""
    return {
        "schedule": five_fields(entry.schedule),
        "time_zone": "Etc/UTC" if time_zones else None,
        "suspend": release.settings.formation.stopped,
        "policy": entry.concurrency.capitalize(),
        "starting_seconds": STARTING_SECONDS,
        "kept_ended": _KEPT_RUNS,
        "kept_failed": _KEPT_RUNS,
    }


def env_from(release: Release, config: str) -> list[dict[str, Any]] | None:
    """``config``: the Secret with the app's own. What comes later counts where two have a name, so that is last."""
    bound = [
        {"prefix": prefix or None, "secretRef": {"name": name}}
        for name, prefix in sorted(release.settings.runtime.secrets.items())
    ]
    own = [{"secretRef": {"name": config}}] if release.config else []
    return [*bound, *own] or None


def env_of_keys(release: Release) -> list[dict[str, Any]]:
    """Single values of Secrets. What stands here counts before ``env_from``, so what the app's own config names is left out."""
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": place.secret, "key": place.key}}}
        for name, place in sorted(release.settings.runtime.secret_keys.items())
        if name not in release.config
    ]


def command_of(process: ProcessType) -> list[str] | None:
    """``$$`` because the kubelet expands ``$(NAME)`` in commands, which Docker does not and nobody asked for."""
    return [word.replace("$", "$$") for word in process.command] or None


def lifecycle(context: Mapping[str, Any]) -> dict[str, Any]:
    """For what serves requests: it goes on for a moment after it was told to leave."""
    seconds = _DRAIN_SECONDS
    pause = (
        {"sleep": {"seconds": seconds}}
        if context["cluster"].sleep_action
        else {"exec": {"command": ["sleep", str(seconds)]}}
    )
    return {"preStop": pause}


def _process(context: Mapping[str, Any], release: Release, process: ProcessType) -> dict[str, Any]:
    serves = process.name == WEB_PROCESS
    asked = probes(release, process.name, context["port"])
    return {
        **asked,
        **_volumes(release, process),
        "name": process.name,
        "replicas": release.replicas(process.name),
        "command": command_of(process),
        "labels": context["labels"] | {COMPONENT_LABEL: process.name},
        "selector": {INSTANCE_LABEL: str(release.app), COMPONENT_LABEL: process.name},
        # Nothing can be asked of a worker: it is well when it has stayed up for a moment.
        "settle_seconds": 0 if any(asked.values()) else SETTLE_SECONDS,
        "grace_seconds": _GRACE_SECONDS + (_DRAIN_SECONDS if serves else 0),
        "ports": [{"name": "http", "containerPort": context["port"], "protocol": "TCP"}] if serves else None,
        "lifecycle": lifecycle(context) if serves else None,
    }


def _volumes(release: Release, process: ProcessType) -> dict[str, Any]:
    there = release.settings.runtime.volumes
    volumes = mounted(there, process.name)
    return {
        "strategy": _REPLACED if alone(there, process.name) else _ROLLING,
        "volumes": [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in volumes] or None,
        "volume_mounts": [{"name": name, "mountPath": volume.mount} for name, volume in volumes.items()]
        or None,
        "volumes_group": _VOLUMES_GROUP if volumes else None,
        # not each file at each start: the top folder says whether it has been done
        "volumes_group_change": "OnRootMismatch" if volumes else None,
    }


def _autoscale(release: Release, process: ProcessType) -> dict[str, int] | None:
    formation = release.settings.formation
    asked = formation.autoscale.get(process.name)
    if asked is None or formation.stopped:
        return None
    return {"least": asked.least, "most": asked.most, "cpu": asked.cpu}
