"""Templates of Kubernetes objects, and what is asked of what they make."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from gitreceive.config import bundled
from gitreceive.errors import ConfigError

Manifest = dict[str, Any]  # one object of the cluster, as JSON has it

_OBJECT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)


@lru_cache(maxsize=8)
def environment(override: str, folder: str = "kubernetes") -> jinja2.Environment:
    folders = template_folders(override, folder)
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        finalize=_as_json,
        autoescape=False,  # noqa: S701  # every value is written as JSON, which is stronger
        keep_trailing_newline=True,
    )


def template_folders(override: str, folder: str) -> list[Path]:
    """Where templates are looked for: the operator's folder, if there is one, before the bundled one."""
    own = [Path(override).expanduser() / folder] if override else []
    return [*own, bundled("templates") / folder]


# JSON leaves these as they are; YAML 1.1 refuses them or takes them for line breaks.
_UNSAFE_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def _as_json(value: object) -> str:
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises, naming what is undefined
    if isinstance(value, float):
        raise TypeError("a template value may not be a float: YAML and JSON disagree on how one is written")
    text = json.dumps(value, ensure_ascii=False)
    return _UNSAFE_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def make(templates: jinja2.Environment, name: str, context: Mapping[str, Any]) -> Manifest:
    return make_kind(templates, name, context, "kubernetes", _KINDS[name])


def make_kind(
    templates: jinja2.Environment, name: str, context: Mapping[str, Any], folder: str, kind: str
) -> Manifest:
    """The one object that a template makes. Raises ConfigError, naming the template, where it is not one of that kind."""
    file = f"{name}.yaml.j2"
    try:
        text = templates.get_template(file).render(context)
        documents = list(yaml.load_all(text, _StrictLoader))
    except (jinja2.TemplateError, yaml.YAMLError, TypeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"template {folder}/{file}: {reason}", hint=TEMPLATE_HINT) from error
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise ConfigError(f"template {folder}/{file} must make one object", hint=TEMPLATE_HINT)
    made: Manifest = _without_nulls(documents[0])
    if made.get("kind") != kind or not isinstance(made.get("apiVersion"), str):
        raise ConfigError(f"template {folder}/{file} must make a {kind}", hint=TEMPLATE_HINT)
    return made


TEMPLATE_HINT = "compare it with the bundled template of the same name"
_KINDS = {
    "namespace": "Namespace",
    "network_policy": "NetworkPolicy",
    "network_policy_services": "NetworkPolicy",
    "service_account": "ServiceAccount",
    "config": "Secret",
    "pull_secret": "Secret",
    "volume": "PersistentVolumeClaim",
    "service": "Service",
    "certificate": "Secret",
    "ingress": "Ingress",
    "ingress_v1beta1": "Ingress",
    "http_route": "HTTPRoute",
    "route": "Route",
    "disruption_budget": "PodDisruptionBudget",
    "autoscaler": "HorizontalPodAutoscaler",
    "deployment": "Deployment",
    "maintenance": "Deployment",
    "maintenance_page": "ConfigMap",
    "once": "Pod",
    "cron": "CronJob",
}


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the one in C where there is one
    """A key that is written twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(keys)) != len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key is written twice", node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def check(objects: Iterable[Manifest], space: str) -> None:
    seen = set()
    for item in objects:
        metadata = item.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        name = metadata.get("name")
        if not isinstance(name, str) or not _OBJECT_NAME.fullmatch(name):
            raise ConfigError(f"a template made a {item['kind']} with the name {name!r}", hint=TEMPLATE_HINT)
        where = name if item["kind"] == "Namespace" else metadata.get("namespace")
        if where != space:
            raise ConfigError(
                f"a template put {item['kind']} {name} into {where!r}, not into the app's namespace {space!r}",
                hint=TEMPLATE_HINT,
            )
        if (item["kind"], name) in seen:
            raise ConfigError(f"templates made {item['kind']} {name} twice", hint=TEMPLATE_HINT)
        seen.add((item["kind"], name))
