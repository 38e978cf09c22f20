"""Node.js and package managers, as layers."""

import platform
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from nodepack.cnb import Context, Layer, Refusal, say
from nodepack.concurrency import follow_memory
from nodepack.managers import PROGRAMS, Manager, provide_manager
from nodepack.manifest import Manifest
from nodepack.registry import Registry, find_registry
from nodepack.semver import newest

DEFAULT_NODE = "24.x"
_ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Runtime:
    """Where Node.js and the package manager are, and which they are. ``folders`` are what belongs on PATH."""

    node: Path
    node_version: str
    manager: Manager
    headers: Path
    folders: tuple[Path, ...]


def provide_runtime(
    context: Context, manifest: Manifest, *, called: Collection[str], image: Collection[str]
) -> Runtime:
    """Make the layers ``node``, ``headers`` and those of package managers hold what package.json asks for.

    ``called`` are the package managers that scripts call; the layers in ``image`` go into it. Of npm's rivals, only the one
    that the app is for is there.

    What the last build had is kept as long as it is what is asked for, so that a push does not depend on the registry.
    """
    registry = find_registry(context)
    node, headers, version = _node(context, manifest, registry)
    kinds = [manifest.manager]
    if manifest.manager != "npm" and "npm" in {*called, *image}:
        kinds.append("npm")
    managers = [
        provide_manager(context, kind, manifest, registry, node=version, architecture=_architecture())
        for kind in kinds
    ]
    for layer in (node, *(context.layer(PROGRAMS[kind]) for kind in kinds)):
        launch = ["launch"] if layer.path.name in image else []
        layer.save("build", "cache", *launch, metadata=layer.metadata())
    folders = (node.path / "bin", *(manager.program.parent for manager in managers))
    return Runtime(node.path / "bin" / "node", version, managers[0], headers.path, folders)


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
    follow_memory(layer.path, megabytes=512, without_limit=1)
    layer.save("build", "cache", metadata=known)
    headers.save("cache", metadata={"version": known["version"]})
    return layer, headers, str(known["version"])


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
