"""Build a PHP app: PHP, packages, and a program that starts nginx and PHP-FPM."""

import re
import shutil
import tempfile
from pathlib import Path

from phppack import serving
from phppack.cnb import Context, Process, Refusal, run, say
from phppack.composing import provide_vendor
from phppack.manifest import read_manifest
from phppack.runtime import Runtime, provide_runtime

_PROGRAM = "serve-php"
# files that, when they appear or change, choose another PHP, another root or an error
_DECIDING = (
    "composer.json",
    "composer.lock",
    ".php-version",
    "index.php",
    "*/index.php",
    "Procfile",
    "vendor/autoload.php",
)


def make(context: Context) -> None:
    """The whole build. Raises Refusal."""
    manifest = read_manifest(context.app)
    procfile = _names_web(context.app)
    site = None if procfile else _find_site(context.app)
    runtime = provide_runtime(context, manifest)
    composed = provide_vendor(context, manifest, runtime)
    _provide_server(context)
    if site:
        _check(context, runtime, site)
        root = site.root.relative_to(context.app).as_posix()
        say(
            f"Process web: {_PROGRAM} (serves {'the app itself' if root == '.' else f'{root}/'} with nginx and PHP-FPM)"
        )
    context.write_launch([Process("web", (_PROGRAM,), default=True)] if site else [])
    # Composer's class map and scripts follow from the app's own files
    context.write_inputs(["**"] if composed else _DECIDING)


def _find_site(app: Path) -> serving.Site:
    try:
        return serving.find_site(app)
    except ValueError as error:
        raise Refusal(
            f"no start command was found: {error}",
            f"add an index.php, or a Procfile with a line such as: web: {_PROGRAM} htdocs",
        ) from error


def _names_web(app: Path) -> bool:
    """Whether a Procfile says how ``web`` starts; the buildpack that reads it checks it."""
    path = app / "Procfile"
    return path.is_file() and bool(re.search(rb"^web\s*:", path.read_bytes(), re.MULTILINE))


def _provide_server(context: Context) -> None:
    layer = context.layer("server")
    layer.reset()
    program = layer.path / "bin" / _PROGRAM
    program.parent.mkdir()
    shutil.copyfile(serving.__file__, program)
    program.chmod(0o755)
    layer.save("launch")


def _check(context: Context, runtime: Runtime, site: serving.Site) -> None:
    """Have the programs judge their configuration before the roll-out does."""
    nginx = shutil.which("nginx", path=serving.search_path(context.env))
    if not nginx:
        raise Refusal(
            "nginx is not in this stack", "the stack's build and run image need the package nginx-light"
        )
    fpm = str(runtime.layer.path / "bin" / "php-fpm")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "nginx.conf").write_text(
            serving.render_nginx(site, 8080, folder, "/dev/null"), encoding="utf-8"
        )
        (folder / "fpm.conf").write_text(serving.render_fpm(1, folder), encoding="utf-8")
        for command in (
            [nginx, "-t", "-q", "-e", "stderr", "-c", str(folder / "nginx.conf")],
            [fpm, "-t", "-y", str(folder / "fpm.conf")],
        ):
            status, lines = run(
                command, cwd=context.app, env={**context.env, **runtime.env}, quiet=lambda _: True
            )
            if status:
                for line in lines:
                    say(f"  {line}")
                raise Refusal(f"{Path(command[0]).name} refuses the configuration", "its own words are above")
