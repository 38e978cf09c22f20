"""Health checks that people set: read and written as JSON."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from gitreceive.errors import UsageError
from gitreceive.model.builds import Image
from gitreceive.model.declared import CheckKind, HealthCheck
from gitreceive.model.documents import flag, number, table, text

_MOST_SECONDS = 3600
_BOUNDS = {
    "attempts": (1, 1000),
    "timeout": (1, _MOST_SECONDS),
    "wait": (1, _MOST_SECONDS),
    "initial_delay": (0, _MOST_SECONDS),
}
_DEFAULTS = {field.name: field.default for field in fields(HealthCheck)}
_KNOWN = frozenset({"path", "scheme", "command", "listening", "port", *_BOUNDS})


def parse_checks(document: object, process: str) -> tuple[HealthCheck, ...]:
    """Of one process type, by kind. Raises UsageError, naming what is wrong."""
    found = table(document, f"the health checks of {process}", frozenset(CheckKind))
    return tuple(
        _check(CheckKind(kind), found[kind], f"the {kind} check of {process}") for kind in sorted(found)
    )


def checks_document(checks: tuple[HealthCheck, ...]) -> dict[str, Any]:
    """What ``parse_checks`` reads: what differs from the defaults."""
    return {check.kind.value: _document(check) for check in checks}


def describe(check: HealthCheck) -> str:
    """What it asks, in a few words."""
    port = f" on port {check.port}" if check.port else ""
    if check.path:
        return f"GET {check.path}{port}{' over https' if check.scheme == 'https' else ''}"
    return f"command {' '.join(check.command)}" if check.command else f"listens{port}"


def as_run(check: HealthCheck, image: Image) -> HealthCheck:
    """Its command as it is run in a container of that image: with the environment that buildpacks gave, where they did."""
    by_docker = image.buildpacks == ("dockerfile",)
    if not check.command or by_docker:
        return check
    return replace(check, command=("/cnb/lifecycle/launcher", "--", *check.command))


def _check(kind: CheckKind, document: object, where: str) -> HealthCheck:
    found = table(document, where, _KNOWN)
    ways = [way for way in ("path", "command", "listening") if found.get(way)]
    if len(ways) != 1:
        raise UsageError(
            f"{where} asks {' and '.join(ways) or 'nothing'}",
            hint="ask one thing: --path, --command or --listening",
        )
    numbers: dict[str, Any] = {
        name: number(found.get(name, _DEFAULTS[name]), f"{where}: {name}", *bounds)
        for name, bounds in _BOUNDS.items()
    }
    return HealthCheck(
        kind,
        path=_path(found.get("path", ""), where),
        scheme=_scheme(found.get("scheme", "http"), where),
        command=_command(found.get("command", []), where),
        listening=flag(found.get("listening", False), f"{where}: listening"),
        port=number(found["port"], f"{where}: port", 1, 65535) if "port" in found else None,
        **numbers,
    )


def _path(value: object, where: str) -> str:
    path = text(value, f"{where}: the path")
    if path and (not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path):
        raise UsageError(f"{where}: {path[:60]!r} is not the path of a request", hint="write /health")
    return path


def _scheme(value: object, where: str) -> str:
    scheme = text(value, f"{where}: the scheme")
    if scheme not in {"http", "https"}:
        raise UsageError(f"{where}: {scheme[:20]!r} is no scheme", hint="write http or https")
    return scheme


def _command(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UsageError(f"{where}: the command must be a list of words", hint="see healthchecks set --help")
    words = tuple(text(word, f"{where}: the command") for word in value)
    if any("\0" in word for word in words):
        raise UsageError(f"{where}: the command has a character NUL", hint="leave it out")
    return words


def _document(check: HealthCheck) -> dict[str, Any]:
    values: Mapping[str, Any] = vars(check)
    found = {name: values[name] for name in sorted(_KNOWN) if values[name] != _DEFAULTS[name]}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
