"""node_modules: installed by npm in the app, kept in layers, linked into the app.

``modules`` goes into the image. Where there are development dependencies, ``build-modules`` holds them as well; it is
for the build script and the cache alone.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from nodepack.cnb import Context, Layer, Refusal, run, say
from nodepack.manifest import Manifest
from nodepack.runtime import Runtime

_HOOKS = ("preinstall", "install", "postinstall", "prepare")
_NAME = "node_modules"


def provide_modules(context: Context, manifest: Manifest, runtime: Runtime, env: Mapping[str, str]) -> None:
    """Leave ``node_modules`` in the app as a link to all that the build script may need. Raises Refusal."""
    production, everything = context.layer("modules"), _build_layer(context, manifest)
    cache = context.layer("cache")
    cache.path.mkdir(parents=True, exist_ok=True)
    cache.save("cache")
    key = {"node": runtime.node_version, "npm": runtime.npm_version, "digest": _digest(context.app, manifest)}
    hooks = [name for name in _HOOKS if name in manifest.scripts]
    kept = production.metadata() == key == everything.metadata() and not hooks
    if kept:
        say(
            f"Using the modules of the last build ({manifest.lock or 'package.json'} and Node.js are unchanged)"
        )
    else:
        _install(context, manifest, runtime, env)
        _store(context, manifest, runtime, env)
    for layer in {everything.path: everything, production.path: production}.values():
        types = ("launch", "build", "cache") if layer.path == production.path else ("cache",)
        layer.save(*types, metadata=key)
    _link(context.app, everything)


def leave_production_modules(context: Context) -> None:
    """After the build script: let the app's link point to what goes into the image."""
    _link(context.app, context.layer("modules"))


def npm_env(context: Context, runtime: Runtime) -> dict[str, str]:
    """The environment for npm and for the app's scripts."""
    env = dict(context.env)
    env.setdefault("NODE_EXTRA_CA_CERTS", env.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    secret = context.secret("npmrc")
    if secret:
        env["NPM_CONFIG_USERCONFIG"] = str(secret)
    path = f"{runtime.node.parent}:{runtime.npm.parent}:{env.get('PATH', '/usr/bin:/bin')}"
    env.update(
        PATH=path,
        NODE_ENV=env.get("NODE_ENV", "production"),
        NPM_CONFIG_CACHE=str(context.layer("cache").path / "npm"),
        NPM_CONFIG_UPDATE_NOTIFIER="false",
        NPM_CONFIG_AUDIT="false",
        NPM_CONFIG_FUND="false",
        NPM_CONFIG_PROGRESS="false",
        NPM_CONFIG_LOGS_MAX="0",
        NPM_CONFIG_PREFER_OFFLINE="true",
        npm_package_config_node_gyp_nodedir=str(runtime.headers),  # its headers need not be downloaded
        NO_COLOR="1",
    )
    return env


def _build_layer(context: Context, manifest: Manifest) -> Layer:
    return context.layer("build-modules" if manifest.has_development else "modules")


def _install(context: Context, manifest: Manifest, runtime: Runtime, env: Mapping[str, str]) -> None:
    link = context.app / _NAME
    if link.is_symlink():
        link.unlink()
    # from here on the layers hold neither the old modules nor yet the new
    for name in ("modules", "build-modules"):
        context.layer(name).toml.unlink(missing_ok=True)
    if manifest.lock:
        say(f"Installing {manifest.lock} with npm {runtime.npm_version}")
        command = ["npm", "ci", "--include=dev"]
    else:
        say("warning: there is no package-lock.json, so each build may get other versions: commit it")
        say(f"Installing package.json with npm {runtime.npm_version}")
        command = ["npm", "install", "--include=dev", "--no-package-lock"]
    status, lines = run([str(runtime.npm), *command[1:]], cwd=context.app, env=env)
    if status:
        raise Refusal(f"{' '.join(command[:2])} failed", explain(lines))
    (context.app / _NAME).mkdir(exist_ok=True)  # npm makes none where there is nothing to install


def _store(context: Context, manifest: Manifest, runtime: Runtime, env: Mapping[str, str]) -> None:
    installed = context.app / _NAME
    production, everything = context.layer("modules"), _build_layer(context, manifest)
    production.reset()
    if manifest.has_development:
        everything.reset()
        shutil.copytree(installed, everything.path / _NAME, symlinks=True)
        _point_into_app(everything.path / _NAME, context.app)
        say("Removing development dependencies from what goes into the image")
        prune = [str(runtime.npm), "prune", "--omit=dev", "--ignore-scripts", "--no-package-lock"]
        status, _ = run(prune, cwd=context.app, env=env)
        if status:
            raise Refusal("npm prune --omit=dev failed", "npm's own words are above")
        installed.mkdir(exist_ok=True)
    elif context.layer("build-modules").path.is_dir():
        shutil.rmtree(context.layer("build-modules").path)
    shutil.move(installed, production.path / _NAME)
    _point_into_app(production.path / _NAME, context.app)


def _point_into_app(modules: Path, app: Path) -> None:
    """Links to the app's own packages (workspaces, ``file:``) are relative to where node_modules was."""
    for link in [*modules.glob("*"), *modules.glob("@*/*")]:
        if link.is_symlink():
            inside = link.relative_to(modules)
            target = Path(os.path.normpath(app / _NAME / inside.parent / link.readlink()))
            if not target.is_relative_to(app / _NAME):
                link.unlink()
                link.symlink_to(target)


def _link(app: Path, layer: Layer) -> None:
    link = app / _NAME
    link.unlink(missing_ok=True)
    link.symlink_to(layer.path / _NAME)


def _digest(app: Path, manifest: Manifest) -> str:
    digest = hashlib.sha256(json.dumps(manifest.dependencies, sort_keys=True).encode())
    for name in (manifest.lock, ".npmrc"):
        path = app / name if name else None
        digest.update(path.read_bytes() if path and path.is_file() else b"")
        digest.update(b"\0")
    return digest.hexdigest()


_HINTS = (
    (
        r"can only install packages when your package\.json and .*lock",
        "the lock does not fit package.json: run `npm install` and commit package-lock.json",
    ),
    (
        r"E404|404 Not Found",
        "a package is not on the registry: check its spelling, or have the operator set NPM_CONFIG_REGISTRY",
    ),
    (r"ETARGET|No matching version found for (\S+)", "there is no such version: choose one that there is"),
    (
        r"ERESOLVE",
        "packages ask for versions that exclude each other: `npm install` on your own machine shows which",
    ),
    (r"EBADENGINE", "a package needs another Node.js: set engines.node in package.json"),
    (r"EINTEGRITY", "the registry serves other bytes than were locked: make the lock again"),
    (r"E401|E403", "the registry refused: its credentials belong in the build secret npmrc"),
    (
        r"SELF_SIGNED_CERT|UNABLE_TO_(?:VERIFY|GET)",
        "the registry's certificate is not trusted: the operator sets build.ca_bundle",
    ),
    (
        r"ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN",
        "the registry was not reached: the operator sets NPM_CONFIG_REGISTRY and the proxy in build.env",
    ),
    (r"gyp ERR", "a package is compiled from source: choose a version with prebuilt binaries"),
    (r"ENOSPC", "the disk for builds is full: the operator has to make room"),
)


def explain(lines: Sequence[str]) -> str:
    """The hints that fit npm's output, or where to look."""
    text = "\n".join(lines)
    found = [hint for pattern, hint in _HINTS if re.search(pattern, text)]
    return "\n".join(found[:3]) or "npm's own words are above"
