"""``project.toml`` as a value (Project Descriptor, schema version 0.2). Pure."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from gitreceive.errors import SourceError, UsageError
from gitreceive.lifecycle.folder import is_id
from gitreceive.model import MOST_BUILDPACKS, BuildpackRef, InlineBuildpack, Project, Wanted

FILE = "project.toml"
LARGEST = 1 << 20  # bytes

_VERSION = "0.2"
_MOST_VARIABLES = 200
_MOST_CHARACTERS = 32 << 10  # of a variable: an environment has to fit
_MOST_PATTERNS = 1000
_ENTRY_KEYS = {"id", "version", "uri", "script"}
_KNOWN_KEYS = {"group", "pre", "post", "include", "exclude", "build", "env", "builder", "schema-version"}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_RESERVED = re.compile(r"CNB_.*|HOME|HOSTNAME|SOURCE_DATE_EPOCH", re.ASCII)
_SHELL = re.compile(r"/[!-~]+(?: [!-~]+)?")  # a line that begins with #! takes one argument


def parse_project(content: bytes) -> Project:
    """What the file's text asks for. Raises SourceError, naming the file and the place in it.

    A file that has none of the specification's tables is somebody else's, and asks for nothing.
    """
    document = _read(content)
    if not document.keys() & {"_", "io", "build"}:
        return Project()
    _check_version(document)
    section = _table(_table(document, "io", ""), "buildpacks", "io.")
    include, exclude = (_patterns(section, name) for name in ("include", "exclude"))
    if include and exclude:
        raise _error("[io.buildpacks]", "has both include and exclude", "keep one: each says the whole")
    group = _group(section, "io.buildpacks.")
    before = _group(_table(section, "pre", "io.buildpacks."), "io.buildpacks.pre.")
    after = _group(_table(section, "post", "io.buildpacks."), "io.buildpacks.post.")
    return Project(
        group=group,
        before=() if group else before,
        after=() if group else after,
        include=include,
        exclude=exclude,
        env=_env(section),
        warnings=tuple(_warnings(section, ignored=bool(group and (before or after)))),
    )


def _read(content: bytes) -> dict[str, Any]:
    if len(content) >= LARGEST:
        raise SourceError(f"{FILE} is larger than {LARGEST >> 20} MiB", hint="it is to be written by people")
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SourceError(f"{FILE} is not UTF-8 (at line {line})", hint="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{FILE} is no TOML: {error}", hint="mend it and push again") from error
    except RecursionError as error:
        raise SourceError(f"{FILE}: its values are nested too deeply") from error


def _check_version(document: Mapping[str, Any]) -> None:
    version = _table(document, "_", "").get("schema-version")
    if version != _VERSION:
        said = "is missing" if version is None else f"is {str(version)[:40]!r}"
        raise _error(
            "[_]",
            f"schema-version {said}; what is read here is {_VERSION}",
            f'write schema-version = "{_VERSION}"',
        )


def _patterns(section: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = section.get(name, [])
    place = f"[io.buildpacks] {name}"
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _error(place, "is not a list of strings", f'write {name} = ["/docs/", "*.mp4"]')
    if len(value) > _MOST_PATTERNS:
        raise _error(place, f"has {len(value)} lines; at most {_MOST_PATTERNS} are read")
    if any(not one.isprintable() or len(one) > 1000 for one in value):
        raise _error(place, "has a line that is no pattern of a .gitignore")
    return tuple(value)


def _group(table: Mapping[str, Any], above: str) -> tuple[Wanted, ...]:
    entries = _tables(table, "group", above)
    if len(entries) > MOST_BUILDPACKS:
        raise _error(
            f"[[{above}group]]", f"names {len(entries)} buildpacks; a group has at most {MOST_BUILDPACKS}"
        )
    return tuple(
        _wanted(entry, f"[[{above}group]], entry {number}") for number, entry in enumerate(entries, 1)
    )


def _wanted(entry: Mapping[str, Any], place: str) -> Wanted:
    """Either an id, or a uri, or a script with an id."""
    unknown = sorted(entry.keys() - _ENTRY_KEYS)
    if unknown:
        raise _error(place, f"has an unknown key {unknown[0][:40]!r}", "known keys: id, version, uri, script")
    identity, version, uri = (_text(entry, name, place) for name in ("id", "version", "uri"))
    if "script" in entry:
        return _inline(entry, identity, version, place)
    if not identity and not uri:
        raise _error(place, "has neither id nor uri", 'write id = "gitreceive/python"')
    if identity and uri:
        raise _error(place, "has both id and uri", "keep one of them")
    if uri and version:
        raise _error(place, "has both uri and version", "a uri names its version itself")
    try:
        if uri:
            return BuildpackRef.parse_uri(uri)
        return BuildpackRef.parse(f"{identity}@{version}" if version else identity)
    except UsageError as error:
        raise _error(place, error.message, error.hint) from error


def _inline(entry: Mapping[str, Any], identity: str, version: str, place: str) -> InlineBuildpack:
    script = entry["script"]
    if not isinstance(script, Mapping):
        raise _error(place, "its script is not a table", "write [io.buildpacks.group.script] below it")
    if entry.get("uri"):
        raise _error(place, "has both uri and script", "keep one of them")
    if not is_id(identity):
        raise _error(place, f"a script needs an id, and {identity[:60]!r} is none", 'write id = "me/assets"')
    api, text = _text(script, "api", place), _text(script, "inline", place)
    shell = _text(script, "shell", place) or "/bin/sh"
    if not api or not text.strip():
        raise _error(place, "its script needs api and inline", 'write api = "0.10" and inline = "…"')
    if not _SHELL.fullmatch(shell):
        raise _error(place, f"{shell[:60]!r} is no shell", 'write its path: shell = "/bin/bash"')
    return InlineBuildpack(identity, version or "0.0.0", api, shell, text)


def _env(section: Mapping[str, Any]) -> dict[str, str]:
    """``build.env``; and ``env.build``, which it took the place of and wins over."""
    found: dict[str, str] = {}
    for outer, inner in (("env", "build"), ("build", "env")):
        place = f"[[io.buildpacks.{outer}.{inner}]]"
        table = _table(section, outer, "io.buildpacks.")
        for number, entry in enumerate(_tables(table, inner, f"io.buildpacks.{outer}."), 1):
            name, value = _variable(entry, f"{place}, entry {number}")
            found[name] = value
    if len(found) > _MOST_VARIABLES:
        raise _error("[[io.buildpacks.build.env]]", f"sets {len(found)} variables; at most {_MOST_VARIABLES}")
    return found


def _variable(entry: Mapping[str, Any], place: str) -> tuple[str, str]:
    name, value = _text(entry, "name", place), _text(entry, "value", place)
    if not _VARIABLE.fullmatch(name) or len(name) > 200:
        raise _error(place, f"{name[:60]!r} cannot be the name of a variable", "use A-Z, 0-9 and _")
    if _RESERVED.fullmatch(name):
        raise _error(place, f"{name} belongs to the build itself", "give the variable another name")
    if "value" not in entry:
        raise _error(place, f"{name} has no value", 'write value = "…"; it may be empty')
    if "\0" in value or len(value) > _MOST_CHARACTERS:
        raise _error(place, f"the value of {name} is too long, or has a NUL in it")
    return name, value


def _warnings(section: Mapping[str, Any], *, ignored: bool) -> Iterator[str]:
    for key in sorted(section.keys() - _KNOWN_KEYS):
        yield f"{FILE}: [io.buildpacks] {key[:60]!r} is not known and changes nothing"
    if section.get("builder"):
        yield f"{FILE}: [io.buildpacks] builder changes nothing: the server's stack builds"
    if ignored:
        yield f"{FILE}: pre and post change nothing: they are for groups that are detected, and this has a group"


def _table(document: Mapping[str, Any], name: str, above: str) -> Mapping[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, Mapping):
        raise _error(f"{above}{name}", "is not a table", f"write [{above}{name}]")
    return value


def _tables(document: Mapping[str, Any], name: str, above: str) -> list[Mapping[str, Any]]:
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise _error(f"{above}{name}", "is not an array of tables", f"write [[{above}{name}]]")
    return value


def _text(entry: Mapping[str, Any], name: str, place: str) -> str:
    value = entry.get(name, "")
    if not isinstance(value, str):
        raise _error(place, f"{name} is not a string", f'write {name} = "…"')
    return value


def _error(place: str, what: str, hint: str = "") -> SourceError:
    return SourceError(f"{FILE}: {place}: {what}", hint=hint)
