"""Build a static site: put the program into a layer that starts nginx, and check that nginx takes its configuration."""

import shutil
import tempfile
from pathlib import Path

from staticpack import serving
from staticpack.cnb import Context, Process, Refusal, run, say

_PROGRAM = "serve-static"


def make(context: Context) -> None:
    """The whole build. Raises Refusal."""
    try:
        site = serving.find_site(context.app)
    except ValueError as error:
        raise Refusal(
            str(error),
            "a Staticfile holds lines such as `root: dist` and `pushstate: enabled`; a _headers file a path such as "
            "`/assets/*`, and below it indented lines such as `X-Frame-Options: DENY`",
        ) from error
    say(
        f"Serving {site.root.relative_to(context.app).as_posix()}/ with nginx"
        if site.root != context.app
        else "Serving the app's root with nginx"
    )
    if (context.app / "_headers").is_file() and not (site.root / "_headers").is_file():
        folder = site.root.relative_to(context.app).as_posix()
        say(f"warning: _headers sets nothing where it is: move it to {folder}/, which is served")
    _check(context, site)
    layer = context.layer("server")
    layer.reset()
    program = layer.path / "bin" / _PROGRAM
    program.parent.mkdir()
    shutil.copyfile(serving.__file__, program)
    program.chmod(0o755)
    layer.save("launch")
    say(f"Process web: {_PROGRAM}")
    context.write_launch([Process("web", (_PROGRAM,), default=True)])
    # a Staticfile's folder is looked for in the whole source; without one, the files that detection knows decide
    context.write_inputs(
        ["**"]
        if (context.app / "Staticfile").is_file()
        else ["Staticfile", "Procfile", "_headers", "public/_headers"]
    )


def _check(context: Context, site: serving.Site) -> None:
    """Have this image's nginx, which is the run image's as well, judge the configuration."""
    nginx = shutil.which("nginx", path=serving.search_path(context.env))
    if not nginx:
        raise Refusal(
            "nginx is not in this stack", "the stack's build and run image need the package nginx-light"
        )
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(serving.render(site, 8080, Path(folder), "/dev/null"), encoding="utf-8")
        status, _ = run(
            [nginx, "-t", "-q", "-e", "stderr", "-c", str(configuration)], cwd=context.app, env=context.env
        )
    if status:
        raise Refusal("nginx refuses the configuration", "its own words are above")
