"""npm, Yarn and pnpm: which one an app is for, which version of it, and its words for what a build does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodepack.cnb import Context, Refusal, say
from nodepack.manifest import Manifest
from nodepack.registry import Registry
from nodepack.semver import newest

# what is put on PATH, and the package that it is in
PROGRAMS = {"npm": "npm", "yarn": "yarn", "berry": "yarn", "pnpm": "pnpm"}
_PACKAGES = {"npm": "npm", "yarn": "yarn", "berry": "@yarnpkg/cli-dist", "pnpm": "pnpm"}
_PLATFORMS = {"x64": "@pnpm/exe.linux-x64", "arm64": "@pnpm/exe.linux-arm64"}


@dataclass(frozen=True)
class Manager:
    """A package manager that is installed. ``kind`` is npm, yarn (1), berry (Yarn 2 and later) or pnpm."""

    kind: str
    program: Path
    version: str

    @property
    def name(self) -> str:
        return PROGRAMS[self.kind]

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def install(self, *, locked: bool) -> list[str]:
        """All that is declared, as the lock has it; an error where it does not fit package.json."""
        return {
            "npm": ["ci", "--include=dev"] if locked else ["install", "--include=dev", "--no-package-lock"],
            "yarn": ["install", "--frozen-lockfile", "--non-interactive", "--production=false"],
            "berry": ["install", "--immutable"],
            "pnpm": ["install", "--frozen-lockfile", "--prod=false"],
        }[self.kind]

    def prune(self, *, workspace: bool) -> list[str] | None:
        """Take development dependencies out of what is installed; None where this version cannot.

        Packages' own scripts have run by then. pnpm cannot prune a workspace: it installs what is left anew, from its store.
        """
        if self.kind == "berry" and self.major < 4:  # there it is a plugin
            return None
        pnpm = ["install", "--frozen-lockfile", "--offline"] if workspace else ["prune"]
        return {
            "npm": ["prune", "--omit=dev", "--ignore-scripts", "--no-package-lock"],
            "yarn": ["install", "--frozen-lockfile", "--non-interactive", "--production", "--ignore-scripts"],
            "berry": ["workspaces", "focus", "--all", "--production"],
            "pnpm": [*pnpm, "--prod", "--ignore-scripts"],
        }[self.kind]

    def run_script(self, name: str) -> list[str]:
        return ["run", "--silent", name] if self.kind in ("npm", "yarn") else ["run", name]


def provide_manager(
    context: Context, kind: str, manifest: Manifest, registry: Registry, *, node: str, architecture: str
) -> Manager:
    """Make a layer hold the newest release that the app asks for and that works with this Node.js.

    It is a layer of this build alone, until it is saved otherwise. What the last build had is kept as long as it is what is
    asked for. Raises Refusal where the registry has none.
    """
    layer = context.layer(PROGRAMS[kind])
    asked, origin = _asked(kind, manifest)
    wanted = {"asked": asked, "node": node, "kind": kind}
    known = layer.metadata()
    if not wanted.items() <= known.items():
        about = registry.versions(_PACKAGES[kind])
        fitting = [version for version, one in about.items() if newest([node], _engine(one)) is not None]
        found = newest(fitting, asked)
        if found is None:
            raise Refusal(
                f"no {PROGRAMS[kind]} that the registry has is within {asked!r} ({origin}, with Node.js {node})",
                "ask for a release that there is, and that works with this Node.js",
            )
        say(f"Installing {PROGRAMS[kind]} {found} ({origin})")
        layer.reset()
        programs = _unpack(registry, about[found], layer.path / "lib", architecture)
        _link(layer.path, programs)
        known = {**wanted, "version": found}
    layer.save("build", "cache", metadata=known)
    return Manager(kind, layer.path / "bin" / PROGRAMS[kind], str(known["version"]))


def _asked(kind: str, manifest: Manifest) -> tuple[str, str]:
    """The range that is asked for, and by what."""
    name = PROGRAMS[kind]
    if manifest.pinned.get(name):
        return manifest.pinned[name], "packageManager in package.json"
    if manifest.engines.get(name):
        return manifest.engines[name], f"engines.{name} in package.json"
    if kind == "npm":
        return "*", "the newest; engines.npm in package.json chooses another"
    return (
        manifest.manager_range,
        f"as {manifest.lock} is written; packageManager in package.json chooses another",
    )


def _engine(about: Mapping[str, Any]) -> str:
    engines = about.get("engines")
    node = engines.get("node", "*") if isinstance(engines, dict) else "*"
    return str(node)


def _unpack(registry: Registry, about: Mapping[str, Any], library: Path, architecture: str) -> dict[str, str]:
    """Fetch a manager. Return its programs, as paths in ``library``."""
    native = _PLATFORMS.get(architecture, "")
    version = (about.get("optionalDependencies") or {}).get(native)
    if version:  # pnpm 12 and later is one program for each platform, in a package of its own
        registry.extract(registry.versions(native)[version], lambda _: library)
        return {"pnpm": "pnpm"}
    registry.extract(about, lambda path: None if path.parts[0] in ("docs", "man") else library)
    return {name: str(path) for name, path in about["bin"].items()}


def _link(layer: Path, programs: Mapping[str, str]) -> None:
    (layer / "bin").mkdir()
    for name, path in programs.items():
        target = layer / "lib" / path
        if not re.fullmatch(r"[a-z]+", name) or not target.is_file():
            raise Refusal(f"the registry's package for {name} has no such program", "tell the operator")
        target.chmod(0o755)
        (layer / "bin" / name).symlink_to(Path("..", "lib", path))
