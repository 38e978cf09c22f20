"""Releases as Kubernetes objects: templates in, plain checked values out. Pure: no cluster is asked.

Templates are YAML with values put in by Jinja2. Each value is written as JSON, which is YAML, so none can change the
structure of the document around it; a name that is not defined is an error; a field that comes out null is left out.
A file of the same name in the folder ``kubernetes`` of the setting ``templates`` takes a bundled template's place.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2
import yaml

from gitreceive.config import Settings
from gitreceive.errors import ConfigError
from gitreceive.manifests import processes
from gitreceive.manifests.exposure import CERTIFICATE_KIND, URL_ANNOTATION, Exposing, expose
from gitreceive.manifests.network_policy import NONE, Networks, policy_values
from gitreceive.manifests.processes import (
    SETTLE_SECONDS,
    command_of,
    cron_values,
    env_from,
    env_of_keys,
    maintenance_values,
    process_values,
    resources,
    volume_values,
)
from gitreceive.manifests.templating import Manifest, check, environment, make
from gitreceive.model import (
    CRON_PROCESS,
    ONE_OFF_PROCESS,
    WEB_PROCESS,
    AppName,
    Certificate,
    CronEntry,
    LogSource,
    OneOff,
    ProcessType,
    Release,
    script_process,
)

MANAGER = "gitreceive"
RELEASE_ANNOTATION = "gitreceive/release"
INSTANCE_LABEL = processes.INSTANCE_LABEL
COMPONENT_LABEL = processes.COMPONENT_LABEL
KIND_LABEL = processes.KIND_LABEL
ONE_OFF = "one-off"  # a KIND_LABEL
CRON = "cron"  # another
ENTRY_LABEL = "gitreceive/cron"  # the entry that a pod, its Job and the CronJob are of
USER_ANNOTATION = "gitreceive/user"
LINE_ANNOTATION = "gitreceive/command"
ONCE_LABEL = "gitreceive/once"  # the process that a pod runs once
SOURCE_LABEL = (
    "gitreceive/source"  # what a pod that runs once is, as LogSource; without it, somebody's command
)
MANAGED_LABEL = "app.kubernetes.io/managed-by"
OWNED = f"{MANAGED_LABEL}={MANAGER}"
PULL_SECRET = "registry"  # noqa: S105  # its name in the cluster, not its content

_DEFAULT_PORT = 8080
_CONFINED = {"pod-security.kubernetes.io/enforce": "restricted"}
_USER_ID = 1000
_ONCE_SECONDS = 3600
_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class ClusterApi:
    """What depends on the cluster's age. The defaults are a current Kubernetes."""

    disruption_budget_api: str = "policy/v1"  # v1beta1 before 1.21
    sleep_action: bool = True  # preStop.sleep, from 1.30 on; before it the image's own `sleep` is run
    autoscaler_api: str = "autoscaling/v2"  # v2beta2, which is the same, before 1.23
    cron_api: str = "batch/v1"  # v1beta1 before 1.21
    time_zones: bool = True  # CronJobs say theirs, from 1.27 on; before it they have the control plane's
    exposing: Exposing = field(default_factory=Exposing)
    networks: Networks = field(default_factory=Networks)


@dataclass(frozen=True)
class PullCredentials:
    registry: str
    username: str
    password: str


def render(
    release: Release,
    settings: Settings,
    cluster: ClusterApi | None = None,
    pull: PullCredentials | None = None,
    certificates: Mapping[str, Certificate] | None = None,
) -> tuple[Manifest, ...]:
    """All objects of a release, in the order in which they are to be applied. ``certificates``: those that its routing names, by fingerprint.

    Raises ConfigError, naming the template, where one is broken or makes something that is not the object it must be.
    """
    context = _context(release, settings, cluster or ClusterApi(), pull)
    context["certificates"] = certificates or {}
    templates = environment(settings.templates)
    objects = [make(templates, name, context) for name in _support(release, settings, pull)]
    objects += [
        make(templates, "volume", {**context, "volume": values})
        for values in volume_values(release, settings.kubernetes)
    ]
    for process in release.services:
        objects += _process_objects(templates, context, release, process, settings)
    objects += [_cron_job(templates, context, release, entry, settings) for entry in release.cron]
    check(objects, context["namespace"])
    return tuple(objects)


def render_once(
    release: Release,
    process: ProcessType,
    name: str,
    settings: Settings,
    pull: PullCredentials | None = None,
    cluster: ClusterApi | None = None,
) -> tuple[Manifest, ...]:
    """What one run of a process needs, the Pod called ``name`` last. Raises ConfigError like ``render``."""
    context = _context(release, settings, cluster or ClusterApi(), pull)
    context |= resources(release, process, settings.kubernetes)
    context["process"] = {"name": process.name, "command": command_of(process)}
    context["once"] = _once_context(context, process, name)
    return _rendered_once(release, settings, pull, context)


def render_one_off(
    release: Release,
    asked: OneOff,
    command: Sequence[str],
    settings: Settings,
    pull: PullCredentials | None = None,
    cluster: ClusterApi | None = None,
    *,
    attached: bool,
) -> tuple[Manifest, ...]:
    """The same for what somebody runs by hand as ``command``. Raises ConfigError like ``render``."""
    context = _context(release, settings, cluster or ClusterApi(), pull)
    process = ProcessType(ONE_OFF_PROCESS, tuple(command))
    context |= resources(release, process, settings.kubernetes) | asked.limits.document()
    context["process"] = {"name": process.name, "command": command_of(process)}
    context["once"] = made = _once_context(context, process, asked.name)
    made["labels"][KIND_LABEL] = ONE_OFF
    made["seconds"] = asked.seconds
    made["annotations"] |= {USER_ANNOTATION: str(asked.user), LINE_ANNOTATION: asked.line[:1000]}
    # an end of input is seen where whoever is attached goes (PodSpec, stdinOnce)
    made["stdin"] = True if attached else None
    made["tty"] = True if attached and asked.terminal and not asked.kept else None
    if made["tty"] and asked.terminal:
        context["env"].append({"name": "TERM", "value": asked.terminal.name})
    return _rendered_once(release, settings, pull, context)


def _once_context(context: Mapping[str, Any], process: ProcessType, name: str) -> dict[str, Any]:
    labels = {key: value for key, value in context["labels"].items() if key != COMPONENT_LABEL}
    return {
        "name": name,
        "labels": labels | {ONCE_LABEL: process.name},
        "annotations": dict(context["pod_annotations"]),
        "seconds": _ONCE_SECONDS,
        "stdin": None,
        "tty": None,
    }


def _rendered_once(
    release: Release, settings: Settings, pull: PullCredentials | None, context: Mapping[str, Any]
) -> tuple[Manifest, ...]:
    templates = environment(settings.templates)
    objects = [make(templates, name, context) for name in (*_support(release, settings, pull), "once")]
    check(objects, context["namespace"])
    return tuple(objects)


def namespace(settings: Settings, app: AppName) -> str:
    """The namespace of an app. Raises ConfigError where the prefix makes it no DNS label (RFC 1123)."""
    name = f"{settings.kubernetes.namespace_prefix}{app}"
    if not _DNS_LABEL.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a namespace",
            hint="kubernetes.namespace_prefix may have lower-case letters, digits and hyphens, 23 at most",
        )
    return name


def namespace_object(settings: Settings, app: AppName) -> Manifest:
    """The namespace as each release makes it. Raises ConfigError as ``namespace`` does."""
    name = namespace(settings, app)
    values = {"namespace": name, "namespace_labels": _app_labels(app) | _CONFINED}
    made = make(environment(settings.templates), "namespace", values)
    check([made], name)
    return made


def config_name(release: Release) -> str:
    """The Secret with the release's config: ``config-<hash>`` of what is in it, as a Secret never changes.

    Releases with equal config share it. A node that runs one of them has it already; for a new one it would often wait a second,
    as the cluster lets nodes read only what their pods name, and hears of a new pod a moment later than the node does.
    """
    content = json.dumps(
        {key: value.reveal() for key, value in release.config.items()}, sort_keys=True, ensure_ascii=True
    )
    digest = hashlib.sha256(f"{release.app}\0{content}".encode()).hexdigest()
    return f"config-{digest[:16]}"


def to_yaml(objects: Iterable[Manifest]) -> str:
    """Documents for people: the content of Secrets is hidden."""
    return yaml.safe_dump_all(
        map(_shown, objects), sort_keys=False, allow_unicode=True, width=110, explicit_start=True
    )


def _shown(item: Manifest) -> Manifest:
    if item["kind"] == "Secret":
        return dict(item, data=dict.fromkeys(item.get("data", {}), "***"))
    if item["kind"] == "Route" and "key" in item["spec"].get("tls", {}):
        return dict(item, spec=dict(item["spec"], tls=dict(item["spec"]["tls"], key="***")))
    return item


# --- values for the templates ---------------------------------------------------------------------------------------


def _context(
    release: Release, settings: Settings, cluster: ClusterApi, pull: PullCredentials | None
) -> dict[str, Any]:
    kubernetes = settings.kubernetes
    app_labels = _app_labels(release.app)
    labels = app_labels | {"app.kubernetes.io/version": release.label}
    pod_annotations = {RELEASE_ANNOTATION: str(release.number), "gitreceive/commit": str(release.commit)}
    port = release.image.port or _DEFAULT_PORT
    return {
        "cluster": cluster,
        "namespace": namespace(settings, release.app),
        "namespace_labels": app_labels | _CONFINED,
        "app_labels": app_labels,
        "labels": labels,
        "network_policy": policy_values(
            kubernetes.network_policy, cluster.networks, {MANAGED_LABEL: MANAGER}
        ),
        "annotations": pod_annotations
        | {
            "gitreceive/user": str(release.user),
            "gitreceive/description": release.description[:1000],
            "gitreceive/image": str(release.image.ref),
        },
        "pod_annotations": pod_annotations,
        "config": {
            "name": config_name(release),
            "labels": app_labels | {KIND_LABEL: "config"},
            "data": {key: _base64(value.reveal()) for key, value in sorted(release.config.items())},
        },
        "env_from": env_from(release, config_name(release)),
        "pull_secret": _pull_secret(pull),
        "pull_secrets": [{"name": PULL_SECRET}] if pull else [],
        # A Dockerfile says itself whom it runs as, and must not say root.
        "run_as_user": None if release.image.buildpacks == ("dockerfile",) else _USER_ID,
        "run_as_group": None if release.image.buildpacks == ("dockerfile",) else _USER_ID,
        "runtime_class": kubernetes.runtime_class or None,
        "image": str(release.image.ref),
        "port": port,
        "env": [
            {"name": "PORT", "value": str(port)},
            {"name": "GITRECEIVE_RELEASE", "value": release.label},
            {"name": "GITRECEIVE_COMMIT", "value": str(release.commit)},
            *env_of_keys(release),
        ],
        "progress_deadline": kubernetes.deadline + release.startup_seconds + SETTLE_SECONDS,
    }


def _app_labels(app: AppName) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": str(app),
        INSTANCE_LABEL: str(app),
        "app.kubernetes.io/part-of": str(app),
        MANAGED_LABEL: MANAGER,
    }


def _pull_secret(pull: PullCredentials | None) -> dict[str, str] | None:
    if pull is None:
        return None
    auth = {
        "username": pull.username,
        "password": pull.password,
        "auth": _base64(f"{pull.username}:{pull.password}"),
    }
    return {"name": PULL_SECRET, "content": _base64(json.dumps({"auths": {pull.registry: auth}}))}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _support(release: Release, settings: Settings, pull: PullCredentials | None) -> tuple[str, ...]:
    """The templates of what processes stand on. An app without config has no Secret that a node would have to wait for."""
    kept_apart = settings.kubernetes.network_policy != NONE
    names = (
        "namespace",
        *(("network_policy", "network_policy_services") if kept_apart else ()),
        "service_account",
        "config" if release.config else "",
        "pull_secret" if pull else "",
    )
    return tuple(filter(None, names))


# --- templates ------------------------------------------------------------------------------------------------------


def _process_objects(
    templates: jinja2.Environment,
    context: Mapping[str, Any],
    release: Release,
    process: ProcessType,
    settings: Settings,
) -> list[Manifest]:
    values = process_values(context, release, process, settings.kubernetes)
    names = ["deployment"]
    if release.replicas(process.name) > 1:
        names.append("disruption_budget")
    if values["autoscale"]:
        names.append("autoscaler")
    objects = [make(templates, name, values) for name in names]
    return objects + (_way_in(templates, values, release, settings) if process.name == WEB_PROCESS else [])


def _cron_job(
    templates: jinja2.Environment,
    context: Mapping[str, Any],
    release: Release,
    entry: CronEntry,
    settings: Settings,
) -> Manifest:
    process = script_process(release.image, CRON_PROCESS, entry.command)
    once = _once_context(context, process, entry.name)
    once["labels"] |= {KIND_LABEL: CRON, SOURCE_LABEL: LogSource.CRON.value, ENTRY_LABEL: entry.name}
    once["seconds"] = entry.seconds
    once["annotations"][LINE_ANNOTATION] = entry.command[:1000]
    values = {
        **context,
        **resources(release, process, settings.kubernetes),
        "once": once,
        "process": {"name": process.name, "command": command_of(process)},
        "cron": cron_values(release, entry, time_zones=context["cluster"].time_zones),
    }
    return make(templates, "cron", values)


def _way_in(
    templates: jinja2.Environment, values: Mapping[str, Any], release: Release, settings: Settings
) -> list[Manifest]:
    """By which requests come to ``web``, or to the page of maintenance."""
    names = ["service"]
    if release.settings.maintenance.on:
        names = ["maintenance_page", "maintenance", "service"]
        values = maintenance_values(values, release)
    exposed = expose(release, settings, values["cluster"].exposing, values["certificates"])
    values = {
        **values,
        "service_type": exposed.service_type,
        "service_annotations": {URL_ANNOTATION: exposed.url} if exposed.url else None,
        "certificate_labels": values["app_labels"] | {KIND_LABEL: CERTIFICATE_KIND},
    }
    routes = [make(templates, name, {**values, "exposed": made}) for name, made in exposed.objects]
    return [make(templates, name, values) for name in names] + routes
