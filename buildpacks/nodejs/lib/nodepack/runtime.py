"""Node.js and npm, as layers."""

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodepack.cnb import Context, Layer, Refusal, say
from nodepack.manifest import Manifest
from nodepack.registry import Registry, find_registry
from nodepack.semver import newest

DEFAULT_NODE = "24.x"
_ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Runtime:
    """Where Node.js and npm are, and which they are."""

    node: Path
    node_version: str
    npm: Path
    npm_version: str
    headers: Path


def provide_runtime(context: Context, manifest: Manifest, *, npm_at_launch: bool) -> Runtime:
    """Make the layers ``node``, ``headers`` and ``npm`` hold what package.json asks for.

    What the last build had is kept as long as it is what is asked for, so that a push does not depend on the registry.
    """
    registry = find_registry(context)
    node, headers, version = _node(context, manifest, registry)
    npm, npm_version = _npm(context, manifest, registry, version)
    npm.save("build", "cache", *(["launch"] if npm_at_launch else []), metadata=npm.metadata())
    return Runtime(node.path / "bin" / "node", version, npm.path / "bin" / "npm", npm_version, headers.path)


def _node(context: Context, manifest: Manifest, registry: Registry) -> tuple[Layer, Layer, str]:
    layer, headers = context.layer("node"), context.layer("headers")
    asked, origin = _asked_node(context.app, manifest)
    known = layer.metadata()
    if known.get("asked") == asked and headers.metadata().get("version") == known["version"]:
        say(f"Using Node.js {known['version']} ({origin}, kept from the last build)")
    else:
        package = f"node-linux-{_architecture()}"
        versions = registry.versions(package)
        version = _choose(versions, asked, "Node.js", origin)
        say(f"Installing Node.js {version} ({origin})")
        layer.reset()
        headers.reset()
        places = {"bin/node": layer.path, "LICENSE": layer.path}
        registry.extract(
            versions[version],
            lambda path: places.get(str(path)) or (headers.path if path.parts[0] == "include" else None),
        )
        known = {"asked": asked, "version": version}
    layer.set_env({"NODE_ENV.default": "production"}, when="launch")
    layer.save("launch", "build", "cache", metadata=known)
    headers.save("cache", metadata={"version": known["version"]})
    return layer, headers, str(known["version"])


def _npm(context: Context, manifest: Manifest, registry: Registry, node: str) -> tuple[Layer, str]:
    layer = context.layer("npm")
    asked = manifest.engines.get("npm", "*")
    known = layer.metadata()
    if known.get("asked") == asked and known.get("node") == node:
        return layer, str(known["version"])
    versions = {
        version: about
        for version, about in registry.versions("npm").items()
        if newest([node], _engine(about)) is not None
    }
    version = _choose(versions, asked, "npm", f"engines.npm, with Node.js {node}")
    say(f"Installing npm {version}")
    layer.reset()
    library = layer.path / "lib"
    registry.extract(versions[version], lambda path: None if path.parts[0] in ("docs", "man") else library)
    (layer.path / "bin").mkdir()
    for program in ("npm", "npx"):
        target = library / "bin" / f"{program}-cli.js"
        target.chmod(0o755)
        (layer.path / "bin" / program).symlink_to(Path("..", "lib", "bin", target.name))
    layer.save("build", "cache", metadata={"asked": asked, "node": node, "version": version})
    return layer, version


def _asked_node(app: Path, manifest: Manifest) -> tuple[str, str]:
    """The range that is asked for, and by what."""
    if manifest.engines.get("node"):
        return manifest.engines["node"], "engines.node in package.json"
    for name in (".node-version", ".nvmrc"):
        path = app / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            return (DEFAULT_NODE if text.startswith("lts/") else text), name
    return DEFAULT_NODE, "the default; engines.node in package.json chooses another"


def _architecture() -> str:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise Refusal(f"there is no Node.js for {machine} on npm", "build on x86-64 or arm64")
    return _ARCHITECTURES[machine]


def _choose(versions: Iterable[str], asked: str, what: str, origin: str) -> str:
    version = newest(versions, asked)
    if version is None:
        raise Refusal(
            f"no {what} that the registry has is within {asked!r} ({origin})",
            f"choose a range with a release in it, such as {DEFAULT_NODE if what == 'Node.js' else '11.x'}",
        )
    return version


def _engine(about: Mapping[str, Any]) -> str:
    engines = about.get("engines")
    node = engines.get("node", "*") if isinstance(engines, dict) else "*"
    return str(node)
