"""Gems: installed by Bundler into a layer."""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rubypack.cnb import Context, Layer, Refusal, run, say
from rubypack.concurrency import follow_memory
from rubypack.debian import stack_digest
from rubypack.manifest import Manifest
from rubypack.runtime import Runtime

# what is read in Bundler's output, and the hint that it calls for; {0} is what the first group matched
_HINTS = (
    (
        r"Could not find (?:gem '?)?([\w.-]+)\S*.*? in (?:locally installed gems|cached gems|any of the sources|vendor)",
        "{0} is not there: with vendor/cache, run `bundle cache --all-platforms` and commit vendor/cache; else check its spelling and version",
    ),
    (
        r"(?i)(?:frozen|deployment) mode|lockfile .*(?:can't|cannot) be updated|gemspecs? .* (?:has|have) changed",
        "Gemfile.lock does not fit the Gemfile: run `bundle install` and commit Gemfile.lock",
    ),
    (
        r"Your bundle only supports platforms|not .*platform.* x86_64-linux",
        "run `bundle lock --add-platform x86_64-linux` and commit Gemfile.lock",
    ),
    (
        r"Your Ruby version is (\S+), but your Gemfile specified (\S+)",
        'Ruby is {0} here: write `ruby "~> 3.1"` or remove the line from the Gemfile',
    ),
    (
        r"([\w.-]+?)-\S+ requires ruby version (.+?),? which is incompatible",
        "{0} asks for Ruby {1}: choose another version of it",
    ),
    (
        r"Can't find the '?(libpq-fe\.h)'?|(mysql client is missing)|(?:fatal error: |checking for )(\S+\.h)(?:: No such file|\.\.\. no)",
        "a gem needs a system library's header: write its Debian package, such as libpq-dev, into an Aptfile",
    ),
    (
        r"An error occurred while installing (\S+)",
        "{0} could not be compiled or unpacked: its own words are above",
    ),
    (
        r"(?i)bad username or password|authentication is required|401|403 forbidden",
        "the gem server refused: its credentials belong in the build secret bundle-config",
    ),
    (
        r"(?i)could not reach host|could not resolve|failed to open tcp|connection refused|timed out|network is unreachable|could not fetch specs|name resolution",
        "the gem server was not reached: the operator sets BUNDLE_MIRROR__ALL or a proxy in build.env, or the app commits vendor/cache",
    ),
    (
        r"(?i)certificate verif|could not verify the ssl certificate",
        "the gem server's certificate is not trusted: the operator sets the CA bundle for builds (build.ca_bundle)",
    ),
)


def provide_gems(context: Context, manifest: Manifest, runtime: Runtime) -> Layer:
    """The layer with the gems, and with the environment of the app's processes. Raises Refusal."""
    layer = context.layer("gems")
    if manifest.gemfile:
        if not manifest.locked:
            raise Refusal(
                "there is a Gemfile, but no Gemfile.lock", "run `bundle lock` and commit Gemfile.lock"
            )
        _bring_up_to_date(context, manifest, runtime, layer)
    else:
        layer.reset()
        layer.save("launch")
    own = bundle_env(layer) if manifest.gemfile else {}
    defaults = {
        **dict.fromkeys(("RACK_ENV", "RAILS_ENV", "APP_ENV"), "production"),
        **dict.fromkeys(("RAILS_LOG_TO_STDOUT", "RAILS_SERVE_STATIC_FILES"), "1"),
        "MALLOC_ARENA_MAX": "2",
    }
    follow_memory(layer.path, megabytes=256, without_limit=2)
    layer.set_env({**own, **{f"{name}.default": value for name, value in defaults.items()}}, when="launch")
    return layer


def bundle_env(layer: Layer) -> dict[str, str]:
    """How Bundler is told what the layer holds. The app's own .bundle/config, made for another machine, is not read."""
    return {
        "BUNDLE_PATH": str(layer.path / "bundle"),
        "BUNDLE_APP_CONFIG": str(layer.path / "config"),
        "BUNDLE_WITHOUT": "development:test",
        "BUNDLE_DEPLOYMENT": "1",
    }


def explain(lines: Sequence[str]) -> str:
    """The hints that fit the output, at most three, or where to look."""
    text = re.sub(r"\s+", " ", " ".join(lines))
    hints = []
    for pattern, hint in _HINTS:
        match = re.search(pattern, text)
        if match:
            hints.append(hint.format(*match.groups()))
    return "\n".join(hints[:3]) or "Bundler's own words are above"


def _bring_up_to_date(context: Context, manifest: Manifest, runtime: Runtime, layer: Layer) -> None:
    key = {"ruby": runtime.version, "stack": stack_digest(), "digest": _digest(context.app)}
    known = layer.metadata()
    if known == key and not manifest.local:
        say("Using the gems of the last build (Gemfile.lock and Ruby are unchanged)")
        layer.save("launch", "build", "cache", metadata=key)
        return
    changed = [name for name in ("ruby", "stack") if known and known.get(name) != key[name]]
    if changed or not known:
        say(
            f"Installing gems anew: the {' and the '.join(changed)} changed" if changed else "Installing gems"
        )
        layer.reset()
    else:
        say("Bringing the gems of the last build up to date")
        layer.toml.unlink()  # until it is whole again it makes no claim
    _install(context, runtime, layer)
    layer.save("launch", "build", "cache", metadata=key)


def _install(context: Context, runtime: Runtime, layer: Layer) -> None:
    vendored = any((context.app / "vendor/cache").glob("*.gem"))
    if vendored:
        say("vendor/cache is committed: no gem server is asked")
    with tempfile.TemporaryDirectory(prefix="bundle-") as home:
        env = {**installer_env(context, runtime, layer), "BUNDLE_USER_HOME": home}
        command = [str(runtime.layer.path / "bin/bundle"), "install", *(["--local"] if vendored else [])]
        status, lines = run(command, cwd=context.app, env=env)
    if status:
        raise Refusal("Bundler could not install the gems", explain(lines))
    for cache in layer.path.glob("bundle/ruby/*/cache"):
        shutil.rmtree(cache)  # the packed gems; the unpacked ones are next to it


def installer_env(context: Context, runtime: Runtime, layer: Layer) -> dict[str, str]:
    """The environment for Bundler and for the app's own tasks in the build."""
    env: Mapping[str, str] = context.env
    secret = context.secret("bundle-config")
    libraries = runtime.env["LD_LIBRARY_PATH"]
    defaults = {"BUNDLE_JOBS": str(os.cpu_count() or 1), "BUNDLE_RETRY": "2"}
    if env.get("SSL_CERT_FILE"):
        defaults["BUNDLE_SSL_CA_CERT"] = env["SSL_CERT_FILE"]
    return {
        **defaults,
        **env,
        **runtime.env,
        **bundle_env(layer),
        **({"BUNDLE_USER_CONFIG": str(secret)} if secret else {}),
        "BUNDLE_CLEAN": "1",
        "PATH": f"{runtime.layer.path / 'bin'}:{env.get('PATH', '/usr/bin:/bin')}",
        "LIBRARY_PATH": f"{libraries}:{env['LIBRARY_PATH']}" if env.get("LIBRARY_PATH") else libraries,
    }


def _digest(app: Path) -> str:
    digest = hashlib.sha256()
    for name in ("Gemfile", "Gemfile.lock"):
        digest.update((app / name).read_bytes() + b"\0")
    return digest.hexdigest()
