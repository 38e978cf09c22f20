"""What a source declares, as JSON, in both directions. What an older version did not know is as where nothing is said."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from gitreceive.model.declared import CheckKind, CronTask, Declared, HealthCheck, Scripts


def declared_document(declared: Declared) -> dict[str, Any]:
    return {
        "health": {name: health_document(checks) for name, checks in declared.health.items()},
        "cron": [asdict(task) for task in declared.cron],
        "scripts": asdict(declared.scripts),
    }


def declared_from(document: Mapping[str, Any]) -> Declared:
    return Declared(
        health={name: health_from(checks) for name, checks in sorted(document.get("health", {}).items())},
        cron=tuple(CronTask(**task) for task in document.get("cron", ())),
        scripts=Scripts(**document.get("scripts", {})),
    )


def health_document(checks: Iterable[HealthCheck]) -> list[dict[str, Any]]:
    """Of one process type."""
    return [asdict(check) for check in checks]


def health_from(document: Iterable[Mapping[str, Any]]) -> tuple[HealthCheck, ...]:
    return tuple(_check(check) for check in document)


def _check(document: Mapping[str, Any]) -> HealthCheck:
    headers = tuple((name, value) for name, value in document["headers"])
    return HealthCheck(
        **{
            **document,
            "kind": CheckKind(document["kind"]),
            "headers": headers,
            "command": tuple(document["command"]),
        }
    )
