"""node_modules: installed in the app, kept in layers, linked into the app.

``modules`` goes into the image. Where there are development dependencies, ``build-modules`` holds them as well; it is
for the build script and the cache alone. Where only a front end is built, ``asset-modules`` holds all, and none goes into
the image. A workspace's packages may have a node_modules each: the layers hold each of them at its path in the app, so that
node looks for modules in the same order.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nodepack.cnb import Context, Layer, Refusal, run, say
from nodepack.explaining import explain
from nodepack.manifest import Manifest
from nodepack.registry import find_registry
from nodepack.runtime import Runtime

_HOOKS = ("preinstall", "install", "postinstall", "prepare")
_NAME = "node_modules"
_SETTINGS = (".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml", ".pnpmfile.cjs", ".pnpmfile.mjs")
_YARN_PLACE = re.compile(rb'(?m)^(\s*resolved ")https?://[^/"]+/')
_NEVER_ENTERED = {".git", ".yarn"}


@dataclass(frozen=True)
class _Layers:
    """The layer that the app may run from, and the one with all that the build script may need: perhaps the same."""

    production: Layer
    everything: Layer
    in_image: bool


def provide_modules(
    context: Context, manifest: Manifest, runtime: Runtime, env: Mapping[str, str], *, assets: bool
) -> None:
    """Leave ``node_modules`` in the app as a link to all that the build script may need. Raises Refusal.

    ``assets`` says that only the script's result is wanted: no modules then go into the image.
    """
    layers = _layers(context, manifest, assets=assets)
    cache = context.layer("cache")
    cache.path.mkdir(parents=True, exist_ok=True)
    cache.save("cache")
    manager = runtime.manager
    key = {
        "node": runtime.node_version,
        "manager": f"{manager.name} {manager.version}",
        "digest": _digest(context.app, manifest),
    }
    hooks = [name for name in _HOOKS if name in manifest.scripts]
    before = layers.production.metadata()
    if before == key == layers.everything.metadata() and not hooks:
        say(
            f"Using the modules of the last build ({manifest.lock or 'package.json'} and Node.js are unchanged)"
        )
    else:
        reason = _why_anew(before, key, hooks)
        if reason:
            say(f"Installing everything anew: {reason}")
        _install(context, manifest, runtime, env, layers)
        _store(context, manifest, runtime, env, layers)
    layers.everything.save("cache", metadata=key)
    if layers.in_image:
        layers.production.save("launch", "build", "cache", metadata=key)
    _link(context, layers.everything)


def leave_production_modules(context: Context, manifest: Manifest) -> None:
    """After the build script: let the app's links point to what goes into the image."""
    if manifest.has_development:
        _link(context, context.layer("modules"))


def leave_no_modules(context: Context) -> None:
    """After the build script: take the links out of the app, as what they point to is not in the image."""
    _unlink(context)


def _layers(context: Context, manifest: Manifest, *, assets: bool) -> _Layers:
    if assets:
        return _Layers(context.layer("asset-modules"), context.layer("asset-modules"), in_image=False)
    everything = "build-modules" if manifest.has_development else "modules"
    return _Layers(context.layer("modules"), context.layer(everything), in_image=True)


def _why_anew(before: Mapping[str, str], now: Mapping[str, str], hooks: list[str]) -> str:
    """The reason in words, empty for the first build."""
    if not before:
        return ""
    for key, what in (("node", "Node.js"), ("manager", "the package manager")):
        if before.get(key) != now[key]:
            return f"{what} was {before.get(key, 'another')} and is {now[key]}"
    if before.get("digest") != now["digest"]:
        return "what is declared or locked has changed"
    return (
        f"the script {hooks[0]} may depend on any file" if hooks else "the last build's modules are not whole"
    )


def _install(
    context: Context, manifest: Manifest, runtime: Runtime, env: Mapping[str, str], layers: _Layers
) -> None:
    _unlink(context)
    # from here on the layers hold neither the old modules nor yet the new
    for layer in (layers.production, layers.everything):
        layer.toml.unlink(missing_ok=True)
    manager = runtime.manager
    if not manifest.lock:
        say("warning: there is no package-lock.json, so each build may get other versions: commit it")
    say(f"Installing {manifest.lock or 'package.json'} with {manager.name} {manager.version}")
    command = manager.install(locked=bool(manifest.lock))
    with _mirrored(context, manifest):
        status, lines = run([str(manager.program), *command], cwd=context.app, env=env)
    if status:
        raise Refusal(f"{manager.name} {command[0]} failed", explain(lines, manager.name, manifest.lock))
    (context.app / _NAME).mkdir(exist_ok=True)  # there is none where there is nothing to install


@contextmanager
def _mirrored(context: Context, manifest: Manifest) -> Iterator[None]:
    """Yarn 1 fetches from where its lock says: let that be the registry that is set, as npm does. Digests stay."""
    registry = find_registry(context)
    lock = context.app / "yarn.lock"
    if manifest.manager != "yarn" or not registry.configured:
        yield
        return
    text = lock.read_bytes()
    lock.write_bytes(_YARN_PLACE.sub(lambda found: found[1] + registry.url.encode(), text))
    try:
        yield
    finally:
        lock.write_bytes(text)


def _store(
    context: Context, manifest: Manifest, runtime: Runtime, env: Mapping[str, str], layers: _Layers
) -> None:
    app, production, everything = context.app, layers.production, layers.everything
    production.reset()
    if everything.path != production.path:
        everything.reset()
        for folder in _folders(app):
            shutil.copytree(app / folder, everything.path / folder, symlinks=True)
            _point_into_app(everything.path, folder, app)
        _prune(context, manifest, runtime, env)
    elif context.layer("build-modules").path.is_dir():
        shutil.rmtree(context.layer("build-modules").path)
    for folder in _folders(app):
        (production.path / folder).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(app / folder, production.path / folder)
        _point_into_app(production.path, folder, app)


def _prune(context: Context, manifest: Manifest, runtime: Runtime, env: Mapping[str, str]) -> None:
    manager = runtime.manager
    command = manager.prune(workspace=manifest.workspace)
    if command is None:
        say(f"warning: Yarn {manager.version} cannot remove development dependencies: they go into the image")
        return
    say("Removing development dependencies from what goes into the image")
    if manager.kind == "pnpm" and manifest.workspace:
        for folder in _folders(context.app):
            shutil.rmtree(context.app / folder)
    with _mirrored(context, manifest):
        status, _ = run(
            [str(manager.program), *command], cwd=context.app, env={**env, "YARN_ENABLE_SCRIPTS": "false"}
        )
    if status:
        raise Refusal(f"{manager.name} {command[0]} failed", f"{manager.name}'s own words are above")
    (context.app / _NAME).mkdir(exist_ok=True)


def _folders(root: Path) -> list[Path]:
    """Each node_modules below ``root`` that is in no other, relative to it."""
    found = []
    for folder, names, _ in os.walk(root):
        if _NAME in names:
            found.append((Path(folder) / _NAME).relative_to(root))
        names[:] = [name for name in names if name != _NAME and name not in _NEVER_ENTERED]
    return sorted(found)


def _point_into_app(root: Path, folder: Path, app: Path) -> None:
    """Links to the app's own packages (workspaces, ``file:``) are relative to where ``folder`` was."""
    modules = root / folder
    for pattern in ("*", "@*/*", ".pnpm/node_modules/*", ".pnpm/node_modules/@*/*"):
        for link in modules.glob(pattern):
            if link.is_symlink():
                place = app / link.relative_to(root)
                target = Path(os.path.normpath(place.parent / link.readlink()))
                if not target.is_relative_to(app) or _NAME not in target.relative_to(app).parts:
                    link.unlink()
                    link.symlink_to(target)


def _link(context: Context, layer: Layer) -> None:
    _unlink(context)
    for folder in _folders(layer.path):
        if (context.app / folder).parent.is_dir():
            (context.app / folder).symlink_to(layer.path / folder)


def _unlink(context: Context) -> None:
    """Remove the links that are there, also one of the last build that came with the source."""
    for folder in _folders(context.app):
        if (context.app / folder).is_symlink():
            (context.app / folder).unlink()


def _digest(app: Path, manifest: Manifest) -> str:
    digest = hashlib.sha256(json.dumps(manifest.dependencies, sort_keys=True).encode())
    files = [app / name for name in (manifest.lock, *_SETTINGS) if name]
    if manifest.workspace:
        files += _manifests(app)
    for path in files:
        digest.update(path.read_bytes() if path.is_file() else b"")
        digest.update(b"\0")
    return digest.hexdigest()


def _manifests(app: Path) -> list[Path]:
    """Every package.json of the app: a workspace's packages are among them."""
    found = []
    for folder, names, files in os.walk(app):
        names[:] = sorted(name for name in names if name != _NAME and name not in _NEVER_ENTERED)
        found += [Path(folder) / "package.json"] if "package.json" in files else []
    return found
