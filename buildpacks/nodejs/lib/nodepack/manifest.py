"""package.json and its lock: read once, checked, with errors that name file and place."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodepack.cnb import Refusal

LOCKS = {
    "npm-shrinkwrap.json": "npm",
    "package-lock.json": "npm",
    "yarn.lock": "yarn",
    "pnpm-lock.yaml": "pnpm",
    "bun.lock": "bun",
    "bun.lockb": "bun",
}
# the first format of a lock that a release no longer writes, from the oldest release on
_YARN_RANGES: tuple[tuple[int, str], ...] = ((7, "3.x"), (1 << 30, "4.x"))
_PNPM_RANGES: tuple[tuple[int, str], ...] = ((6, "7.x"), (7, "8.x"), (1 << 30, "10.x"))
_PINNED = re.compile(r"([a-z]+)@(\d+\.\d+\.\d+)(?:\+[\w.]+)?")


@dataclass(frozen=True)
class Manifest:
    """What package.json says, as far as a build needs it. ``lock`` is the lock file's name, or None.

    ``manager`` is npm, yarn (1), berry (Yarn 2 and later) or pnpm; ``manager_range`` the versions that write such a lock.
    ``pinned`` is what ``packageManager`` says: a name and a version.
    """

    engines: dict[str, str]
    scripts: dict[str, str]
    main: str
    dependencies: dict[str, Any] = field(repr=False)
    lock: str | None
    has_development: bool
    manager: str = "npm"
    manager_range: str = "*"
    pinned: dict[str, str] = field(default_factory=dict)
    workspace: bool = False


def read_manifest(app: Path) -> Manifest:
    """Raises Refusal on JSON that is broken or of the wrong shape, on several locks, and on an unknown manager's lock."""
    if (app / "node_modules").is_dir() and not (app / "node_modules").is_symlink():
        raise Refusal(
            "node_modules/ is committed; it belongs to the machine that made it",
            "git rm -r -q --cached node_modules && echo node_modules/ >> .gitignore",
        )
    package = _object(app / "package.json")
    pinned = _pinned(package)
    lock = _lock(app, pinned)
    manager, manager_range = _manager(app, lock)
    locked = _object(app / lock).get("packages", {}) if lock and manager == "npm" else {}
    workspace = bool(package.get("workspaces")) or _is_pnpm_workspace(app)
    # whether a workspace's packages have some is for their manager to find
    development = bool(package.get("devDependencies")) or (workspace and manager != "npm")
    if isinstance(locked, dict):
        development = development or any(isinstance(p, dict) and p.get("dev") for p in locked.values())
    kinds = (
        "dependencies",
        "devDependencies",
        "optionalDependencies",
        "peerDependencies",
        "overrides",
        "workspaces",
        "resolutions",
        "pnpm",
    )
    return Manifest(
        engines=_strings(package, "engines"),
        scripts=_strings(package, "scripts"),
        main=package["main"] if isinstance(package.get("main"), str) else "",
        dependencies={kind: package[kind] for kind in kinds if package.get(kind)},
        lock=lock,
        has_development=development,
        manager=manager,
        manager_range=manager_range,
        pinned=pinned,
        workspace=workspace,
    )


def _pinned(package: dict[str, Any]) -> dict[str, str]:
    """``packageManager``, as Corepack reads it: a name and one version."""
    text = package.get("packageManager")
    if text is None:
        return {}
    match = _PINNED.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise Refusal(
            f"package.json: packageManager is {str(text)[:60]!r}",
            "it is a name and one version, such as pnpm@10.34.8",
        )
    return {match[1]: match[2]}


def _lock(app: Path, pinned: dict[str, str]) -> str | None:
    found = [name for name in LOCKS if (app / name).is_file()]
    managers = {LOCKS[name] for name in found}
    if len(managers) > 1:
        raise Refusal(
            f"there are lock files of several package managers: {' and '.join(found)}",
            "keep the one that you maintain, and remove the other with git rm",
        )
    named = {*managers, *pinned}
    for name in sorted(named - {"npm", "yarn", "pnpm"}):
        raise Refusal(
            f"the app is for {name}, which is not supported",
            "use npm, yarn or pnpm, and commit its lock file",
        )
    if len(named) > 1:
        raise Refusal(
            f"packageManager in package.json is {next(iter(pinned))}, but there is a {found[0]}",
            f"run `{next(iter(pinned))} install`, commit its lock file, and git rm {found[0]}",
        )
    if not found and named - {"npm"}:
        name = next(iter(pinned))
        lock = next(lock for lock, manager in LOCKS.items() if manager == name)
        raise Refusal(
            f"packageManager in package.json is {name}, but there is no {lock}",
            f"run `{name} install` and commit {lock}",
        )
    return found[0] if found else None


def _manager(app: Path, lock: str | None) -> tuple[str, str]:
    """Who wrote the lock, and the releases that write such a one."""
    if LOCKS.get(lock or "", "npm") == "npm":
        return "npm", "*"
    text = (app / str(lock)).read_text(encoding="utf-8", errors="replace")
    if lock == "pnpm-lock.yaml":
        version = re.search(r"^lockfileVersion: *'?(\d+)", text, re.MULTILINE)
        ranges, kind = _PNPM_RANGES, "pnpm"
    elif "# yarn lockfile v1" in text:
        return "yarn", "1.x"
    else:
        version = re.search(r"^__metadata:\s*\n\s+version: *(\d+)", text, re.MULTILINE)
        ranges, kind = _YARN_RANGES, "berry"
    if not version:
        raise Refusal(
            f"{lock} does not say its version", f"run `{LOCKS[str(lock)]} install` and commit {lock}"
        )
    return kind, next(wanted for below, wanted in ranges if int(version[1]) < below)


def _is_pnpm_workspace(app: Path) -> bool:
    path = app / "pnpm-workspace.yaml"
    return path.is_file() and bool(re.search(rb"^packages\s*:", path.read_bytes(), re.MULTILINE))


def _object(path: Path) -> dict[str, Any]:
    try:
        parsed = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise Refusal(
            f"{path.name} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}",
            "`npm pkg get name` on your own machine shows the same; a comma too many is the usual cause",
        ) from error
    except UnicodeDecodeError as error:
        raise Refusal(f"{path.name} is not UTF-8 text (byte {error.start})", "save it as UTF-8") from error
    if not isinstance(parsed, dict):
        raise Refusal(f"{path.name} is not a JSON object", "it begins with { and ends with }")
    return parsed


def _strings(package: dict[str, Any], key: str) -> dict[str, str]:
    value = package.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise Refusal(f"package.json: {key} must be an object of strings", 'such as {"node": "22.x"}')
    return value
