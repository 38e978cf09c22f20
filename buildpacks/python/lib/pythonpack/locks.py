"""Poetry's and Pipenv's locks, read into requirements: what they pin, with its hashes, and nothing of any other group.

Both locks name every package that is to be installed, so the installer resolves nothing: it is told to leave
dependencies alone. Neither Poetry nor Pipenv has to be installed for that, and an index that the operator sets is used.
"""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pythonpack.cnb import Refusal
from pythonpack.detection import read_pyproject

_LOCK = {"poetry": "poetry.lock", "pipenv": "Pipfile.lock"}
_OF = {"poetry": "pyproject.toml", "pipenv": "Pipfile"}
_LEGACY_KEYS = ("dependencies", "source", "extras", "dev-dependencies")
_PROJECT_KEYS = ("requires-python", "dependencies", "optional-dependencies")
_PIPFILE_TABLES = {"source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv"}
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")


@dataclass(frozen=True)
class Locked:
    """What a lock pins for production: requirement lines, and the indexes that it names, the default one first, which is
    empty where it is the installer's own.

    ``local`` is whether something of it is in the app's own tree. ``python`` is the version specifier that the lock was
    made for, empty where there is none.
    """

    requirements: tuple[str, ...]
    indexes: tuple[str, ...]
    local: bool
    python: str


def read_lock(app: Path, manager: str) -> Locked:
    """The lock of ``poetry`` or ``pipenv``. Raises Refusal where it is missing, out of date or not understood."""
    for name in (_OF[manager], _LOCK[manager]):
        if not (app / name).is_file():
            raise Refusal(f"{name} is not there", f"run `{manager} lock` and commit {name}")
    return _poetry(app) if manager == "poetry" else _pipenv(app)


def expand(indexes: Iterable[str], env: Mapping[str, str]) -> list[str]:
    """URLs with their variables filled in, as Pipenv does. Raises Refusal that names a variable which is not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in env:
            raise Refusal(
                f"the Pipfile's source asks for the variable {match[1]}, which is not set",
                "the operator sets it in build.env, or set the index for builds there",
            )
        return env[match[1]]

    return [_VARIABLE.sub(value, url) for url in indexes]


def _pipenv(app: Path) -> Locked:
    try:
        lock = json.loads((app / "Pipfile.lock").read_text(encoding="utf-8"))
        meta, packages = lock["_meta"], lock["default"]
        locked_hash = meta["hash"]["sha256"]
        requirements = [_pipenv_line(app, name, pin) for name, pin in sorted(packages.items())]
        sources = [str(source["url"]) for source in meta.get("sources", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal("Pipfile.lock cannot be read", "run `pipenv lock` and commit Pipfile.lock") from error
    if not _fits_pipfile(app / "Pipfile", locked_hash, packages):
        raise _outdated("pipenv")
    wanted = meta.get("requires", {})
    version = wanted.get("python_full_version") or wanted.get("python_version") or ""
    python = f"=={version}{'.*' if version.count('.') < 2 else ''}" if version else ""
    local = any("path" in pin for pin in packages.values())
    return Locked(tuple(requirements), tuple(sources), local, python)


def _pipenv_line(app: Path, name: str, pin: Mapping[str, Any]) -> str:
    marker = f" ; {pin['markers']}" if pin.get("markers") else ""
    if "git" in pin:
        return f"{name} @ {_git(pin['git'], pin['ref'], pin.get('subdirectory'))}{marker}"
    if "path" in pin:
        return _local(app, name, str(pin["path"]), marker)
    hashes = _hashes(name, pin.get("hashes", ()))
    if "file" in pin:
        return f"{name} @ {pin['file']}{marker}{hashes}"
    return f"{name}{pin['version']}{marker}{hashes}"  # what its extras need is locked by itself


def _fits_pipfile(pipfile: Path, locked_hash: str, packages: Iterable[str]) -> bool:
    """Whether a lock was made for this Pipfile, by the digest of what it says (plette, ``Pipfile.get_hash``).

    Where the Pipfile has no source, Pipenv takes those of its user's pip configuration into the digest, which is another
    on each machine: the names of the packages are compared then.
    """
    try:
        tables = tomllib.loads(pipfile.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refusal(f"Pipfile cannot be read: {error}", "it must be TOML in UTF-8") from error
    if "source" not in tables:
        return {_canonical(name) for name in tables.get("packages", {})} <= set(map(_canonical, packages))
    about = {"sources": tables["source"], "requires": tables.get("requires", {})}
    sections = {"default": tables.get("packages", {}), "develop": tables.get("dev-packages", {})}
    sections |= {name: table for name, table in tables.items() if name not in _PIPFILE_TABLES}
    # Pipenv of 2026 writes names in their one canonical form, older ones as they stand
    canonical = {
        key: {_canonical(name): pin for name, pin in table.items()} for key, table in sections.items()
    }
    return any(
        hashlib.sha256(
            json.dumps({"_meta": about, **said}, sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()
        == locked_hash
        for said in (sections, canonical)
    )


def _canonical(name: str) -> str:
    """A package's name as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _poetry(app: Path) -> Locked:
    hint = "run `poetry lock` with Poetry 2 and commit poetry.lock"
    try:
        lock = tomllib.loads((app / "poetry.lock").read_text(encoding="utf-8"))
        meta, packages = lock["metadata"], lock.get("package", [])
        version = tuple(int(part) for part in str(meta["lock-version"]).split("."))
        if version < (2, 1):
            # before 2.1 a lock does not say which group a package is for
            raise Refusal(f"poetry.lock is of version {meta['lock-version']}, and 2.1 is needed", hint)
        main = [package for package in packages if "main" in package["groups"]]
        requirements = [_poetry_line(app, package) for package in main]
        sources = [p["source"] for p in main if "source" in p]
        indexes = sorted({s["url"] for s in sources if s["type"] == "legacy"})
        locked_hash = meta["content-hash"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal("poetry.lock cannot be read", hint) from error
    if locked_hash not in _project_hashes(read_pyproject(app / "pyproject.toml")):
        raise _outdated("poetry")
    local = any(source["type"] in ("file", "directory") for source in sources)
    # poetry.lock names an index only for what is not on the default one
    return Locked(tuple(requirements), tuple(["", *indexes] if indexes else []), local, _specifier(meta))


def _poetry_line(app: Path, package: Mapping[str, Any]) -> str:
    name, source = package["name"], package.get("source", {})
    found = package.get("markers", "")
    found = found if isinstance(found, str) else found.get("main", "")
    marker = f" ; {found}" if found else ""
    if source.get("type") == "git":
        return f"{name} @ {_git(source['url'], source['resolved_reference'], source.get('subdirectory'))}{marker}"
    if source.get("type") in ("file", "directory"):
        return _local(app, name, source["url"], marker)
    hashes = _hashes(name, [file["hash"] for file in package["files"]])
    if source.get("type") == "url":
        return f"{name} @ {source['url']}{marker}{hashes}"
    return f"{name}=={package['version']}{marker}{hashes}"


def _project_hashes(pyproject: Mapping[str, Any]) -> set[str]:
    """The digests that Poetry records for what a pyproject.toml says (Poetry, ``Locker._get_relevant_content``).

    Poetry before 2.2 left ``dependency-groups`` out.
    """
    groups = pyproject.get("dependency-groups", {})
    return {_project_hash(pyproject, groups), _project_hash(pyproject, {})}


def _project_hash(pyproject: Mapping[str, Any], groups: Mapping[str, Any]) -> str:
    tool = pyproject.get("tool", {}).get("poetry", {})
    declared = pyproject.get("project", {})
    project = {key: declared[key] for key in _PROJECT_KEYS if declared.get(key) is not None}
    legacy = () if project or groups else _LEGACY_KEYS
    poetry = {k: tool.get(k) for k in (*_LEGACY_KEYS, "group") if tool.get(k) is not None or k in legacy}
    content: dict[str, Any] = {
        **({"project": project} if project else {}),
        **({"dependency-groups": groups} if groups else {}),
    }
    content = {**content, "tool": {"poetry": poetry}} if content else poetry
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _specifier(meta: Mapping[str, Any]) -> str:
    """Poetry's ``^3.11`` and ``~3.11`` as PEP 440 has it; of alternatives, the last, which is the newest."""
    clauses = str(meta.get("python-versions", "")).split("||")[-1].split(",")
    return ",".join(_clause(clause.strip()) for clause in clauses if clause.strip() not in ("", "*"))


def _clause(clause: str) -> str:
    match = re.fullmatch(r"([~^]?)\s*(\d+)(?:\.(\d+))?(\.\d+)?(\.\*)?", clause)
    if not match:
        return clause.replace(" ", "")
    operator, major, minor = match[1], int(match[2]), match[3]
    text = clause.lstrip("~^ ")
    if not operator:
        return f"=={text}"
    upper = f"{major + 1}" if operator == "^" or minor is None else f"{major}.{int(minor) + 1}"
    return f">={text},<{upper}"


def _git(url: str, commit: str, folder: str | None) -> str:
    return f"git+{url.removeprefix('git+')}@{commit}{f'#subdirectory={folder}' if folder else ''}"


def _local(app: Path, name: str, path: str, marker: str) -> str:
    app = app.resolve()
    target = Path(os.path.normpath(app / path))
    if not target.is_relative_to(app):
        raise Refusal(
            f"{name} is locked at {path}, outside the app", "a lock can only name files of the repository"
        )
    # installed in place, as a copy would be kept by the installer while the app's source goes on
    return f"-e {target}" if target.is_dir() and not marker else f"{name} @ {target.as_uri()}{marker}"


def _hashes(name: str, found: Iterable[str]) -> str:
    listed = "".join(f" --hash={entry}" for entry in found)
    if not listed:
        raise Refusal(
            f"the lock has no hash for {name}", "make the lock again with an index that tells hashes"
        )
    return listed


def _outdated(manager: str) -> Refusal:
    return Refusal(
        f"{_LOCK[manager]} does not fit {_OF[manager]}: it was made for another",
        f"run `{manager} lock` and commit {_LOCK[manager]}",
    )
