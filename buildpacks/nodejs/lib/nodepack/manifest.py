"""package.json and its lock: read once, checked, with errors that name file and place."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodepack.cnb import Refusal

_NPM_LOCKS = ("npm-shrinkwrap.json", "package-lock.json")
_OTHER_LOCKS = {
    "yarn.lock": ("Yarn", "run `npm install`, commit package-lock.json and remove yarn.lock"),
    "pnpm-lock.yaml": ("pnpm", "run `npm install`, commit package-lock.json and remove pnpm-lock.yaml"),
    "bun.lock": ("Bun", "run `npm install`, commit package-lock.json and remove bun.lock"),
    "bun.lockb": ("Bun", "run `npm install`, commit package-lock.json and remove bun.lockb"),
}


@dataclass(frozen=True)
class Manifest:
    """What package.json says, as far as a build needs it. ``lock`` is the lock file's name, or None."""

    engines: dict[str, str]
    scripts: dict[str, str]
    main: str
    dependencies: dict[str, Any] = field(repr=False)
    lock: str | None
    has_development: bool


def read_manifest(app: Path) -> Manifest:
    """Raises Refusal on JSON that is broken or of the wrong shape, on several locks, and on another manager's lock."""
    if (app / "node_modules").is_dir() and not (app / "node_modules").is_symlink():
        raise Refusal(
            "node_modules/ is committed; it belongs to the machine that made it",
            "git rm -r -q --cached node_modules && echo node_modules/ >> .gitignore",
        )
    package = _object(app / "package.json")
    lock = _lock(app)
    locked = _object(app / lock).get("packages", {}) if lock else {}
    development = bool(package.get("devDependencies"))
    if isinstance(locked, dict):
        development = development or any(isinstance(p, dict) and p.get("dev") for p in locked.values())
    kinds = (
        "dependencies",
        "devDependencies",
        "optionalDependencies",
        "peerDependencies",
        "overrides",
        "workspaces",
    )
    return Manifest(
        engines=_strings(package, "engines"),
        scripts=_strings(package, "scripts"),
        main=package["main"] if isinstance(package.get("main"), str) else "",
        dependencies={kind: package[kind] for kind in kinds if package.get(kind)},
        lock=lock,
        has_development=development,
    )


def _lock(app: Path) -> str | None:
    npm = [name for name in _NPM_LOCKS if (app / name).is_file()]
    others = [name for name in _OTHER_LOCKS if (app / name).is_file()]
    if npm and others:
        raise Refusal(
            f"there are lock files of several package managers: {' and '.join([*npm, *others])}",
            f"keep the one that you maintain; only npm's is supported yet, so: git rm {' '.join(others)}",
        )
    if others:
        tool, remedy = _OTHER_LOCKS[others[0]]
        raise Refusal(f"{others[0]} is {tool}'s lock file, and {tool} is not supported yet", remedy)
    return npm[0] if npm else None


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
