"""vendor/: installed by Composer into a layer, and linked into the app."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from phppack.cnb import Context, Layer, Refusal, run, say
from phppack.debian import open_archive
from phppack.manifest import Manifest
from phppack.runtime import Runtime

# what is read in Composer's output, and the hint that it calls for; {0} is what the first group matched
_HINTS = (
    (
        r"(?:lock file is not up to date|not present in the lock file|lock file does not contain)",
        "composer.lock does not fit composer.json: run `composer update --lock` and commit composer.lock",
    ),
    (
        r"(ext-[\w-]+) (?:\S+ )?(?:is|->) (?:missing|it is missing)",
        '{0} is missing: add "{0}": "*" to require in composer.json and make the lock again',
    ),
    (
        r"(\S+/\S+) \S+ requires php (\S+)",
        "{0} asks for PHP {1}: choose another version of it, or another PHP in composer.json",
    ),
    (
        r"Could not find (?:a version of )?package (\S+)|Root composer\.json requires (\S+?),? .*could not be found",
        "a package is not in the repositories: check its spelling, or set repositories in composer.json",
    ),
    (
        r"(?i)could not authenticate|401|403 forbidden|bad credentials",
        "the repository refused: its credentials belong in the build secret composer-auth.json",
    ),
    (
        r"(?i)could not resolve|connection refused|timed out|failed to connect|network is unreachable|connection timeout",
        "the repository was not reached: the operator sets COMPOSER_MIRROR or a proxy in build.env",
    ),
    (
        r"(?i)certificate verify failed|SSL certificate problem",
        "the repository's certificate is not trusted: the operator sets the CA bundle for builds (build.ca_bundle)",
    ),
    (r"Script (.+?) (?:handling|returned)", "the app's own script failed: {0}"),
    (
        r"(?i)allowed memory size|out of memory",
        "the operator sets build.memory, and COMPOSER_MEMORY_LIMIT in build.env",
    ),
)


def provide_vendor(context: Context, manifest: Manifest, runtime: Runtime) -> bool:
    """Leave ``vendor/`` in the app, and say whether Composer made it. Raises Refusal."""
    target = context.app / manifest.vendor
    if (target / "autoload.php").is_file() and not target.is_symlink():
        say(f"Using {manifest.vendor}/ as it is committed; Composer is not run")
        return False
    if not manifest.needs_composer:
        return False
    if target.is_dir() and any(target.iterdir()):
        raise Refusal(
            f"{manifest.vendor}/ is committed, but has no autoload.php",
            f"git rm -r --cached {manifest.vendor} && echo {manifest.vendor}/ >> .gitignore, or commit the whole of it",
        )
    if not manifest.locked and manifest.packages:
        say(
            "warning: there is no composer.lock, so each build may get other versions; run `composer update` and commit it"
        )
    layer = _vendor_layer(context, runtime)
    _install(context, runtime, layer)
    if target.is_dir():
        target.rmdir()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(layer.path)
    return True


def explain(lines: Sequence[str]) -> str:
    """The hints that fit the output, at most three, or where to look."""
    text = re.sub(r"\s+", " ", " ".join(lines))
    hints = []
    for pattern, hint in _HINTS:
        match = re.search(pattern, text)
        if match:
            hints.append(hint.format(*match.groups()))
    return "\n".join(hints[:3]) or "Composer's own words are above"


def _vendor_layer(context: Context, runtime: Runtime) -> Layer:
    layer = context.layer("vendor")
    known = layer.metadata().get("php")
    if known != runtime.series:
        say(
            "Installing packages"
            if known is None
            else f"Installing packages anew: PHP was {known}, and is {runtime.series}"
        )
        layer.reset()
    else:
        say("Bringing the packages of the last build up to date")
        layer.toml.unlink()  # until it is whole again it makes no claim
    return layer


def _install(context: Context, runtime: Runtime, layer: Layer) -> None:
    composer = _provide_composer(context, runtime)
    cache = context.layer("downloads")
    cache.path.mkdir(parents=True, exist_ok=True)
    cache.save("cache")
    command = [
        "install",
        "--no-dev",
        "--prefer-dist",
        "--optimize-autoloader",
        "--no-interaction",
        "--no-progress",
        "--no-ansi",
    ]
    with tempfile.TemporaryDirectory(prefix="composer-") as home:
        env = {
            **context.env,
            **runtime.env,
            **_settings(context, Path(home)),
            "PATH": f"{runtime.layer.path / 'bin'}:{context.env.get('PATH', '/usr/bin:/bin')}",
            "COMPOSER_CACHE_DIR": str(cache.path),
            "COMPOSER_VENDOR_DIR": str(layer.path),
        }
        status, lines = run(
            [str(runtime.layer.path / "bin/php"), str(composer), *command],
            cwd=context.app,
            env=env,
            quiet=lambda line: line.startswith("install [--"),
        )
    if status:
        raise Refusal("Composer could not install the packages", explain(lines))
    layer.save("launch", "build", "cache", metadata={"php": runtime.series})


def _settings(context: Context, home: Path) -> dict[str, str]:
    """The operator's mirror and credentials, for this run alone."""
    mirror = context.env.get("COMPOSER_MIRROR")
    # it breaks its messages at the terminal's width, in the middle of words
    settings = {"COMPOSER_HOME": str(home), "COLUMNS": "400"}
    if mirror:
        quoted = mirror.replace("\\", "\\\\").replace('"', '\\"')
        text = f'{{"repositories": [{{"type": "composer", "url": "{quoted}"}}, {{"packagist": false}}]}}'
        (home / "config.json").write_text(text, encoding="utf-8")
    secret = context.secret("composer-auth.json")
    if secret:
        settings["COMPOSER_AUTH"] = secret.read_text(encoding="utf-8")
    return settings


def _provide_composer(context: Context, runtime: Runtime) -> Path:
    layer = context.layer("composer")
    known = layer.metadata()
    stamp = {"for": str(runtime.layer.metadata().get("unpacked_at", "")), "php": runtime.version}
    program = layer.path / "usr/bin/composer"
    if known != stamp or not program.is_file():
        layer.reset()
        with tempfile.TemporaryDirectory(prefix="apt-") as folder:
            archive = open_archive(context, Path(folder))
            there = set(map(str, runtime.layer.metadata().get("packages", ())))
            needed = [p for p in archive.closure(["composer", f"php{runtime.series}-cli"]) if p not in there]
            # its libraries are PHP files; another PHP and its libraries are not wanted here
            archive.unpack(
                [p for p in needed if p.startswith(("composer=", "php-", "jsonlint="))], layer.path
            )
    layer.save("cache", metadata=stamp)
    if not program.is_file():
        raise Refusal("the package composer holds no program", "see APT_SOURCES")
    shutil.rmtree(layer.path / "usr/share/doc", ignore_errors=True)
    return program
