"""Services that an operator of the cluster makes from a custom resource in the app's namespace. What there is is asked of the cluster alone."""

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gitreceive.cancellation import Cancellation
from gitreceive.config import Settings
from gitreceive.engines.kubernetes_target import bound
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.permissions import may, of_service
from gitreceive.engines.kubernetes_target.rollout import claim_namespace
from gitreceive.errors import ConflictError, GitreceiveError, NotFoundError, RolloutError
from gitreceive.manifests import provisioning as manifests
from gitreceive.manifests.provisioning import (
    APP_LABEL,
    SERVICE_KIND_LABEL,
    SERVICE_LABEL,
    SIZE_ANNOTATION,
    VERSION_ANNOTATION,
)
from gitreceive.manifests.rendering import namespace
from gitreceive.manifests.templating import Manifest
from gitreceive.model import AppName, KindStatus, ServiceKind, ServiceOrder, ServiceStatus, filled
from gitreceive.ports import Log

_SOON, _LATER = 0.2, 2.0  # seconds between two looks, at first and in the end
_LEAVING_SECONDS = 60.0
_MOST_WORDS = 600  # characters of what an operator says
_WARNINGS = 3  # the newest that are shown
_LABELS = (SERVICE_LABEL, SERVICE_KIND_LABEL, APP_LABEL)


def kinds(api: Api, settings: Settings) -> tuple[KindStatus, ...]:
    """All that are declared, with why one cannot be had here. Raises ConfigError, UnavailableError."""
    declared = manifests.declared(settings).values()
    with ThreadPoolExecutor(max_workers=8) as pool:
        return tuple(pool.map(lambda kind: KindStatus(kind, _lacks(api, kind)), declared))


def services(api: Api, settings: Settings, app: AppName) -> tuple[ServiceStatus, ...]:
    """Those with the app's label in its namespace, by name. Raises as ``kinds`` does."""
    found = [
        _status(api, item, kind)
        for kind in manifests.declared(settings).values()
        for item in _items(api, kind, namespace(settings, app), app)
    ]
    return tuple(sorted(found, key=lambda status: status.name))


def provision(
    api: Api, settings: Settings, app: AppName, order: ServiceOrder, log: Log, cancel: Cancellation
) -> ServiceStatus:
    """As ``Provisions.provision``."""
    kind = _kind(api, settings, order.kind)
    space = namespace(settings, app)
    _require_free(api, settings, app, order)
    live = api.get(kind.path, order.name, space)
    _require_ours(live, kind, order, app)
    wanted = manifests.render_service(app, _with_what_is(order, live), kind, settings)
    claim_namespace(api, wanted.namespace)
    if wanted.login is not None:
        _make_once(api, wanted.login)
    log.step(f"{'Going on with' if live else 'Making'} {kind.title} {order.name}, by {kind.operator}")
    api.apply(wanted.service, kind.path)
    return _await_ready(api, kind, space, order.name, log, cancel)


def remove(api: Api, settings: Settings, app: AppName, name: str, log: Log) -> bool:
    """As ``Provisions.remove_service``. What was made for it goes when it has gone."""
    space = namespace(settings, app)
    for kind in manifests.declared(settings).values():
        if any(item["metadata"]["name"] == name for item in _items(api, kind, space, app)):
            log.step(f"Removing {kind.title} {name}")
            api.delete(kind.path, name, space)
            _await_gone(api, kind, space, name)
            _remove_rest(api, kind, space, name)
            return True
    return False


# --- what can be had ------------------------------------------------------------------------------------------------


def _lacks(api: Api, kind: ServiceKind) -> str:
    """Why this cluster does not have it; empty where it does."""
    group, _, version = kind.api.partition("/")
    served = api.versions(group)
    if not served:
        return f"{kind.operator} is not installed: the cluster does not serve {group}"
    if version not in served:
        return (
            f"the cluster serves {group} as {' and '.join(sorted(served))}, and the template speaks {version}"
        )
    if kind.resource not in api.resources(kind.api):
        return f"the cluster serves {kind.api}, and no {kind.resource} in it"
    wanted = of_service(kind)
    denied = [verb for verb in wanted.verbs if not may(api, wanted, verb)]
    return f"the server may not {', '.join(denied)} {kind.resource}.{group}" if denied else ""


def _kind(api: Api, settings: Settings, name: str) -> ServiceKind:
    declared = manifests.declared(settings)
    kind = declared.get(name)
    if kind is None:
        raise NotFoundError(
            f"there is no kind of service {name[:60]!r}", hint=f"there are: {', '.join(declared)}"
        )
    why = _lacks(api, kind)
    if why:
        raise NotFoundError(
            f"no {name} can be made here: {why}",
            hint=f"see `gitreceive services kinds`; {kind.operator} comes from {kind.install}\n"
            "what exists elsewhere is bound: gitreceive services bind NAME=VALUE",
        )
    return kind


# --- what is there --------------------------------------------------------------------------------------------------


def _items(api: Api, kind: ServiceKind, space: str, app: AppName) -> list[Manifest]:
    """None where its operator is not there."""
    group, _, version = kind.api.partition("/")
    if version not in api.versions(group) or kind.resource not in api.resources(kind.api):
        return []
    selector = f"{APP_LABEL}={app},{SERVICE_KIND_LABEL}={kind.name}"
    found: list[Manifest] = api.list(kind.path, space, selector)["items"]
    return found


def _require_free(api: Api, settings: Settings, app: AppName, order: ServiceOrder) -> None:
    """Names of Secrets and of hosts follow from a service's, so two of any kind would take each other's."""
    there = {status.name: status for status in services(api, settings, app)}.get(order.name)
    if there and there.kind != order.kind:
        raise ConflictError(
            f"{app} has a service {order.name} already: {there.kind}", hint="choose another name"
        )


def _require_ours(live: Manifest | None, kind: ServiceKind, order: ServiceOrder, app: AppName) -> None:
    if live is None:
        return
    metadata = live["metadata"]
    labels = metadata.get("labels") or {}
    if [labels.get(label) for label in _LABELS] != [order.name, kind.name, str(app)]:
        raise ConflictError(
            f"a {kind.kind} {order.name} is there already and is not gitreceive's",
            hint=f"choose another name, or bind it: gitreceive services bind {app} --secret SECRET",
        )
    if "deletionTimestamp" in metadata:
        raise ConflictError(
            f"service {order.name} is being removed",
            hint="try again when it is gone: gitreceive services list",
        )


def _with_what_is(order: ServiceOrder, live: Manifest | None) -> ServiceOrder:
    """What is not said stays as it was asked for before."""
    before = ((live or {}).get("metadata") or {}).get("annotations") or {}
    return replace(
        order,
        size=order.size or before.get(SIZE_ANNOTATION) or None,
        version=order.version or before.get(VERSION_ANNOTATION) or None,
    )


def _make_once(api: Api, secret: Manifest) -> None:
    """One that is there is what the service was made with: it stays."""
    metadata = secret["metadata"]
    there = api.get("Secret", metadata["name"], metadata["namespace"])
    if there is None:
        api.create(secret)
        return
    labels = there["metadata"].get("labels") or {}
    if labels.get(SERVICE_LABEL) != metadata["labels"][SERVICE_LABEL]:
        raise ConflictError(
            f"Secret {metadata['name']} is there already and is not of this service",
            hint="choose another name",
        )


# --- until it can be used -------------------------------------------------------------------------------------------


@dataclass
class _Teller:
    """Says what an operator says when it says something else."""

    log: Log
    last: str = ""

    def tell(self, words: str) -> None:
        if words and words != self.last:
            self.last = words
            self.log.detail(words)


def _await_ready(
    api: Api, kind: ServiceKind, space: str, name: str, log: Log, cancel: Cancellation
) -> ServiceStatus:
    teller, end, pause = _Teller(log), time.monotonic() + kind.deadline, _SOON
    while True:
        cancel.raise_if_requested()
        item = api.get(kind.path, name, space)
        if item is None or "deletionTimestamp" in item["metadata"]:
            raise RolloutError(f"somebody removed service {name} while it was made")
        status = _status(api, item, kind)
        if status.ready:
            log.step(f"{kind.title} {name} is ready")
            return status
        teller.tell(status.says)
        if time.monotonic() > end:
            raise _late(api, kind, space, status)
        cancel.wait(pause)
        pause = min(pause * 1.3, _LATER)


def _late(api: Api, kind: ServiceKind, space: str, status: ServiceStatus) -> RolloutError:
    said = [status.says, *_warnings(api, space, status.name)]
    why = "; ".join(dict.fromkeys(filter(None, said))) or f"{kind.operator} says nothing of it"
    return RolloutError(
        f"service {status.name} is not ready after {kind.deadline} s: {why[:_MOST_WORDS]}",
        hint="it stays, and goes on: the same command waits for it again and binds it, or `services destroy` removes it",
    )


def _warnings(api: Api, space: str, name: str) -> Iterator[str]:
    """What the cluster warned of lately, of the service and of what its operator made for it."""
    try:
        events = api.list("Event", space)["items"]
    except GitreceiveError:
        return  # the operator's words are told without them
    events = [each for each in events if each.get("type") == "Warning" and _concerns(each, name)]
    events.sort(key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))
    for each in events[-_WARNINGS:]:
        subject = each["involvedObject"]
        yield f"{subject.get('kind')} {subject.get('name')}: {_one_line(each.get('message'))}"


def _concerns(event: Manifest, name: str) -> bool:
    subject = str((event.get("involvedObject") or {}).get("name") or "")
    return subject == name or subject.startswith(f"{name}-")


def _status(api: Api, item: Manifest, kind: ServiceKind) -> ServiceStatus:
    metadata = item["metadata"]
    name, annotations = str(metadata["name"]), metadata.get("annotations") or {}
    keys = kind.keys(name)
    says = _says(item, kind)
    state = "being removed" if "deletionTimestamp" in metadata else "being made"
    if state == "being made" and _is_ready(api, item, kind):
        missing = _missing_keys(api, metadata["namespace"], kind, name)
        state, says = ("being made", missing) if missing else ("ready", says)
    created = str(metadata.get("creationTimestamp") or "").replace("Z", "+00:00")
    return ServiceStatus(
        name,
        kind.name,
        kind.title,
        state,
        says,
        str(annotations.get(SIZE_ANNOTATION, "")),
        str(annotations.get(VERSION_ANNOTATION, "")),
        filled(kind.secret, {"name": name}),
        keys,
        datetime.fromisoformat(created) if created else None,
    )


def _is_ready(api: Api, item: Manifest, kind: ServiceKind) -> bool:
    ready, metadata = kind.ready, item["metadata"]
    if not _is_seen(item):
        return False
    if ready.resource:
        name = filled(ready.name, {"name": metadata["name"]})
        found = api.get(ready.resource, name, metadata["namespace"])
        if found is None or not _is_seen(found):
            return False
        item = found
    if ready.condition:
        return any(c.get("type") == ready.condition and c.get("status") == "True" for c in _conditions(item))
    value = _at(item, ready.path)
    if ready.equals:
        return str(value) == ready.equals
    return isinstance(value, int) and value >= ready.at_least


def _is_seen(item: Manifest) -> bool:
    """What it says is of the object as it is now, where its operator tells that."""
    seen = (item.get("status") or {}).get("observedGeneration")
    return not isinstance(seen, int) or seen >= item["metadata"].get("generation", 0)


def _missing_keys(api: Api, space: str, kind: ServiceKind, name: str) -> str:
    secret = filled(kind.secret, {"name": name})
    try:
        there = bound.names(api, space, secret)
    except NotFoundError:
        return f"Secret {secret} is not there yet"
    missing = sorted({key for key in kind.variables.values() if key not in there})
    return f"Secret {secret} has no {' and no '.join(missing)} yet" if missing else ""


def _says(item: Manifest, kind: ServiceKind) -> str:
    said = [_one_line(_at(item, path)) for path in kind.says]
    said += [
        _one_line(f"{each.get('type')}: {each.get('message') or each.get('reason')}")
        for each in _conditions(item)
        if each.get("status") == "False" and (each.get("message") or each.get("reason"))
    ]
    return "; ".join(dict.fromkeys(filter(None, said)))[:_MOST_WORDS]


def _conditions(item: Manifest) -> Iterable[Mapping[str, Any]]:
    found = (item.get("status") or {}).get("conditions") or []
    return [each for each in found if isinstance(each, Mapping)]


def _at(item: Any, path: str) -> Any:
    """None where there is nothing."""
    for step in path.split("."):
        if isinstance(item, Mapping):
            item = item.get(step)
        elif isinstance(item, list) and step.isdecimal() and int(step) < len(item):
            item = item[int(step)]
        else:
            return None
    return item


def _one_line(value: object) -> str:
    return " ".join(str(value).split()) if value not in {None, ""} else ""


# --- until it is gone -----------------------------------------------------------------------------------------------


def _await_gone(api: Api, kind: ServiceKind, space: str, name: str) -> None:
    end = time.monotonic() + _LEAVING_SECONDS
    while (item := api.get(kind.path, name, space)) is not None:
        if time.monotonic() > end:
            held = ", ".join(item["metadata"].get("finalizers") or []) or "nothing that it names"
            raise RolloutError(
                f"service {name} is being removed but not gone after {_LEAVING_SECONDS:g} s: it is held by {held}",
                hint=f"see that {kind.operator} runs: it lets go once it has cleaned up",
            )
        time.sleep(_SOON)


def _remove_rest(api: Api, kind: ServiceKind, space: str, name: str) -> None:
    if kind.login:
        api.delete("Secret", filled(kind.secret, {"name": name}), space)
    for claim in kind.claims:
        api.delete("PersistentVolumeClaim", filled(claim, {"name": name}), space)
