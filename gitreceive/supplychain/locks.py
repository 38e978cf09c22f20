"""What lock files name. It counts only for a language of which nothing was seen installed: a bundle of JavaScript, a static site."""

import json
import re

from gitreceive.supplychain.metadata import composer_package
from gitreceive.supplychain.package import Package, made

_GEM = re.compile(r"^ {4}(\S+) \(([^()]+)\)$", re.MULTILINE)
_REQUIRE = re.compile(r"^(?:require\s+|\s+)([\w./~-]+\.[\w./~-]+)\s+(v[\w.+-]+)", re.MULTILINE)


def npm(content: bytes, _path: str) -> list[Package]:
    """package-lock.json from its version 2 on, without what is for development only."""
    found = []
    for place, entry in (json.loads(content).get("packages") or {}).items():
        _, inside, full = place.rpartition("node_modules/")
        if inside and not entry.get("dev") and not entry.get("link"):
            group, _, name = str(entry.get("name") or full).rpartition("/")
            found.append(made("npm", name, entry.get("version"), group=group, declared=True))
    return found


def gems(content: bytes, _path: str) -> list[Package]:
    """Bundler's ``GEM`` section: names at four blanks are chosen, those below them are only asked for."""
    section = re.search(r"^GEM\n((?: .*\n|\n)*)", content.decode("utf-8", "replace") + "\n", re.MULTILINE)
    text = section[1] if section else ""
    return [made("gem", name, version, declared=True) for name, version in _GEM.findall(text)]


def composer(content: bytes, _path: str) -> list[Package]:
    entries = json.loads(content).get("packages") or ()
    return [composer_package(entry, declared=True) for entry in entries]


def go_module(content: bytes, _path: str) -> list[Package]:
    """``require`` in go.mod (go.dev/ref/mod)."""
    return [
        go_package(path, version, declared=True)
        for path, version in _REQUIRE.findall(content.decode("utf-8", "replace"))
    ]


def go_package(path: str, version: str, *, declared: bool = False) -> Package:
    group, _, name = path.rpartition("/")
    return made("golang", name, version, group=group, declared=declared)
