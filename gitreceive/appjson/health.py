"""``healthchecks``, in Dokku's form: by process type, a list of checks."""

from collections.abc import Iterator, Mapping
from dataclasses import fields

from gitreceive.appjson.located import Node
from gitreceive.appjson.values import (
    boolean,
    integer,
    items,
    line,
    members,
    one_of,
    text,
    wrong,
)
from gitreceive.errors import UsageError
from gitreceive.model import CheckKind, HealthCheck, ProcessType

_MOST_SECONDS = 3600
_TOKEN = frozenset("!#$%&'*+-.^_`|~")  # besides letters and digits, in a header's name (RFC 9110, 5.6.2)
_NOTICES = {
    "content": "the answer's content is not looked at, its status is",
    "uptime": "a process that ends is seen without it",
    "warn": "a check that only warns is not asked",
    "onFailure": "nothing is called: the push says what failed",
}
_KEYS = {
    "type",
    "name",
    "description",
    "path",
    "scheme",
    "httpHeaders",
    "command",
    "listening",
    "port",
    "attempts",
    "timeout",
    "wait",
    "initialDelay",
}
_DEFAULTS = {f.name: f.default for f in fields(HealthCheck)}


def read_health(node: Node) -> tuple[Mapping[str, tuple[HealthCheck, ...]], tuple[str, ...]]:
    """By process type, and what of it changes nothing. Raises SourceError."""
    found: dict[str, tuple[HealthCheck, ...]] = {}
    notices: list[str] = []
    for process, listed in members(node, most=50).items():
        _check_process(process, listed)
        checks: dict[CheckKind, HealthCheck] = {}
        for entry in items(listed, most=20):
            notices += _ignored(entry)
            check = _check(entry)
            if check is None:
                continue
            if check.kind in checks:
                raise wrong(
                    entry,
                    f"is a second {check.kind} check of {process}",
                    "one of each type is asked: keep one",
                )
            checks[check.kind] = check
        found[process] = tuple(checks.values())
    return {process: checks for process, checks in found.items() if checks}, tuple(notices)


def _check_process(name: str, node: Node) -> None:
    try:
        ProcessType.parse_name(name)
    except UsageError as error:
        raise wrong(node, error.message, error.hint) from error


def _ignored(entry: Node) -> Iterator[str]:
    for key in (entry.members or {}).keys() & _NOTICES.keys():
        yield f"{entry.path}.{key} changes nothing: {_NOTICES[key]}"


def _check(entry: Node) -> HealthCheck | None:
    """None for one that is nothing but what changes nothing."""
    said = members(entry, _KEYS, _NOTICES.keys())
    ways = [key for key in ("path", "command", "listening") if key in said]
    warns = "warn" in said and boolean(said["warn"])
    if warns or (not ways and "uptime" in said):
        return None
    if len(ways) > 1:
        raise wrong(entry, f"has both {ways[0]} and {ways[1]}", "keep one: each is a check of its own")
    return HealthCheck(
        kind=CheckKind(one_of(said["type"], list(CheckKind))) if "type" in said else CheckKind.STARTUP,
        name=line(said["name"]) if "name" in said else "",
        path=_path(said["path"]) if "path" in said else "",
        scheme=one_of(said["scheme"], ("http", "https")) if "scheme" in said else "http",
        headers=_headers(said["httpHeaders"]) if "httpHeaders" in said else (),
        command=_command(said["command"]) if "command" in said else (),
        listening=_listening(said.get("listening"), ways),
        port=integer(said["port"], 1, 65535) if "port" in said else None,
        attempts=_number(said, "attempts", "attempts", 1, 1000),
        timeout=_number(said, "timeout", "timeout", 1, _MOST_SECONDS),
        wait=_number(said, "wait", "wait", 1, _MOST_SECONDS),
        initial_delay=_number(said, "initialDelay", "initial_delay", 0, _MOST_SECONDS),
    )


def _listening(node: Node | None, ways: list[str]) -> bool:
    """Also where no way is named: whether it listens is the least that can be asked."""
    if node is None:
        return not ways
    if not boolean(node):
        raise wrong(node, "is false, which asks nothing", "leave it out, or write true")
    return True


def _number(said: Mapping[str, Node], key: str, field: str, least: int, most: int) -> int:
    default = _DEFAULTS[field]
    return integer(said[key], least, most) if key in said or not isinstance(default, int) else default


def _path(node: Node) -> str:
    found = line(node)
    if not found.startswith("/") or " " in found or not found.isascii():
        raise wrong(node, f"{found[:60]!r} is not the path of a request", 'write "/health"')
    return found


def _command(node: Node) -> tuple[str, ...]:
    words = tuple(text(word) for word in items(node, most=100))
    if not words or not words[0]:
        raise wrong(node, "names no program", 'write its words: ["python", "check.py"]')
    return words


def _headers(node: Node) -> tuple[tuple[str, str], ...]:
    return tuple(_header(entry) for entry in items(node, most=20))


def _header(entry: Node) -> tuple[str, str]:
    said = members(entry, {"name", "value"})
    if said.keys() != {"name", "value"}:
        raise wrong(entry, "needs name and value", 'write {"name": "X-Check", "value": "1"}')
    name = line(said["name"], 200)
    if not all(character in _TOKEN or (character.isascii() and character.isalnum()) for character in name):
        raise wrong(said["name"], f"{name[:40]!r} is not the name of a header")
    return name, line(said["value"], empty=True)
