"""What composer.json and composer.lock say: the PHP that is wanted, extensions, packages."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phppack.cnb import Refusal

# parts of composer.json's autoload whose result follows from files of the app
_SCANNED = ("classmap", "files", "psr-4", "psr-0")


@dataclass(frozen=True)
class Manifest:
    """``php`` is a constraint as Composer has them, empty where there is none; ``source`` is the file that has it."""

    php: str = ""
    source: str = ""
    extensions: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()
    locked: bool = False
    autoloads: bool = False
    vendor: str = "vendor"
    scripts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needs_composer(self) -> bool:
        return bool(self.packages) or self.autoloads


def read_manifest(app: Path) -> Manifest:
    """Raises Refusal for JSON that cannot be read, and for a lock without composer.json."""
    own, lock = _read(app / "composer.json"), _read(app / "composer.lock")
    if lock and not own:
        raise Refusal(
            "composer.lock is there, but no composer.json", "commit the composer.json that it was made from"
        )
    locked = [p for p in lock.get("packages", ()) if isinstance(p, dict)]
    requires = _table(own, "require")
    wanted = {*requires, *(name for package in locked for name in _table(package, "require"))}
    provided = {n for p in locked for key in ("provide", "replace") for n in _table(p, key)}
    php, source = _php(app, requires)
    vendor = str(_table(own, "config").get("vendor-dir", "vendor")).strip("/")
    if not vendor or ".." in vendor.split("/") or "$" in vendor:
        raise Refusal(f"composer.json: config.vendor-dir is {vendor[:80]!r}", "name a folder of the app")
    return Manifest(
        php=php,
        source=source,
        extensions=frozenset(n[4:].lower() for n in wanted if n.startswith("ext-") and n not in provided),
        packages=tuple(sorted(name for name in requires if "/" in name)),
        locked=bool(lock),
        autoloads=any(_table(own, "autoload").get(part) for part in _SCANNED),
        vendor=vendor,
        scripts=_table(own, "scripts"),
    )


def _php(app: Path, requires: Mapping[str, Any]) -> tuple[str, str]:
    path = app / ".php-version"
    if path.is_file():
        lines = path.read_text(encoding="utf-8", errors="replace").split()
        if len(lines) != 1:
            raise Refusal(".php-version does not hold one version", "write a single line such as 8.2")
        return _whole(lines[0]), ".php-version"
    if "php" in requires:
        return str(requires["php"]), "composer.json"
    return "", ""


def _whole(version: str) -> str:
    """``8.2`` in a version file is any 8.2."""
    return f"{version}.*" if version.count(".") < 2 and version[-1:].isdigit() else version


def _table(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = of.get(key)
    return value if isinstance(value, dict) else {}  # PHP writes an empty table as []


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Refusal(f"{path.name} cannot be read: {error}", "it must be JSON in UTF-8") from error
    if not isinstance(content, dict):
        raise Refusal(f"{path.name} is not a JSON object", "`composer validate` shows more")
    return content
