"""Services that an operator of the cluster makes: which kinds are declared, and one of them as objects. Pure: no cluster is asked.

A kind is two files in the folder ``services`` of the templates: ``KIND.toml`` declares it (``ServiceKind``), ``KIND.yaml.j2`` is the operator's
custom resource. Files in the folder ``services`` of the setting ``templates`` add kinds, and take the place of bundled ones of the same name.
"""

import base64
import secrets
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gitreceive.config import Settings
from gitreceive.errors import ConfigError, UsageError
from gitreceive.manifests import rendering
from gitreceive.manifests.templating import Manifest, check, environment, make_kind, template_folders
from gitreceive.model import AppName, ServiceKind, ServiceOrder, filled

# No label of app.kubernetes.io: operators give theirs to all that they make, and what is managed by gitreceive goes with the next release.
SERVICE_LABEL = "gitreceive/service"
SERVICE_KIND_LABEL = "gitreceive/service-kind"
APP_LABEL = "gitreceive/app"
SIZE_ANNOTATION = "gitreceive/size"
VERSION_ANNOTATION = "gitreceive/version"

_FOLDER = "services"
_PASSWORD_BYTES = 24


@dataclass(frozen=True)
class Provisioned:
    """What is applied, in that order. ``login``: a Secret that is made once and never changed after; None where the operator makes it."""

    namespace: Manifest
    login: Manifest | None
    service: Manifest


def declared(settings: Settings) -> dict[str, ServiceKind]:
    """All kinds, by name. Raises ConfigError, naming the file, for one that is broken."""
    return dict(_declared(settings.templates))


@lru_cache(maxsize=8)
def _declared(override: str) -> tuple[tuple[str, ServiceKind], ...]:
    files = {
        file.stem: file
        for folder in reversed(template_folders(override, _FOLDER))
        for file in folder.glob("*.toml")
    }
    kinds = []
    for name, file in sorted(files.items()):
        try:
            document = tomllib.loads(file.read_text(encoding="utf-8"))
            kinds.append((name, ServiceKind.parse(name, document)))
        except UsageError as error:
            raise ConfigError(f"{_FOLDER}/{file.name}: {error.message}", hint=error.hint) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"{_FOLDER}/{file.name}: {reason}", hint="compare it with a bundled one"
            ) from error
    return tuple(kinds)


def render_service(app: AppName, order: ServiceOrder, kind: ServiceKind, settings: Settings) -> Provisioned:
    """Raises ConfigError, naming the template, where it makes something that is not what is declared."""
    size, version = order.size or kind.size, order.version or kind.version
    space = rendering.namespace(settings, app)
    labels = {SERVICE_LABEL: order.name, SERVICE_KIND_LABEL: kind.name, APP_LABEL: str(app)}
    values: dict[str, Any] = {
        "name": order.name,
        "namespace": space,
        "app": str(app),
        "labels": labels,
        "annotations": {SIZE_ANNOTATION: size, VERSION_ANNOTATION: version},
        "size": size,
        "version": version,
        "secret": filled(kind.secret, {"name": order.name}),
        "storage_class": settings.kubernetes.storage_class or None,
    }
    made = make_kind(environment(settings.templates, _FOLDER), kind.name, values, _FOLDER, kind.kind)
    check([made], space)
    _require_as_declared(made, values, kind)
    login = _login(values, kind) if kind.login else None
    return Provisioned(rendering.namespace_object(settings, app), login, made)


def _require_as_declared(made: Manifest, values: dict[str, Any], kind: ServiceKind) -> None:
    metadata = made["metadata"]
    wrong = (
        made["apiVersion"] != kind.api
        or metadata["name"] != values["name"]
        or any((metadata.get("labels") or {}).get(key) != value for key, value in values["labels"].items())
    )
    if wrong:
        raise ConfigError(
            f"template {_FOLDER}/{kind.name}.yaml.j2 must make a {kind.kind} of {kind.api} with the name and the labels that it is given",
            hint="compare it with a bundled one",
        )


def _login(values: dict[str, Any], kind: ServiceKind) -> Manifest:
    known = {key: values[key] for key in ("name", "namespace")}
    known["random"] = secrets.token_hex(_PASSWORD_BYTES)
    for key, pattern in kind.login.items():
        known[key] = filled(pattern, known)
    content = {key: base64.b64encode(known[key].encode()).decode("ascii") for key in kind.login}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": values["secret"],
            "namespace": values["namespace"],
            "labels": values["labels"],
        },
        "type": "Opaque",
        "data": content,
    }
