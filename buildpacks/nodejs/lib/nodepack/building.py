"""Build a Node.js app: Node.js, modules, build script, start command."""

from collections.abc import Mapping

from nodepack.cnb import Context, Process, Refusal, run, say
from nodepack.detection import ASSETS
from nodepack.environment import script_env
from nodepack.manifest import Manifest, read_manifest
from nodepack.modules import leave_no_modules, leave_production_modules, provide_modules
from nodepack.runtime import Runtime, provide_runtime
from nodepack.start import Start, find_start, programs_at_build, programs_at_launch


def make(context: Context) -> None:
    """The whole build; of the front end alone, where another buildpack of the group builds the app. Raises Refusal."""
    manifest = read_manifest(context.app)
    assets = ASSETS in context.plan
    if assets:
        say("Building the front end with Node.js; the image will hold what it makes, without Node.js")
    runtime = provide_runtime(
        context,
        manifest,
        called=programs_at_build(manifest),
        image=frozenset() if assets else {"node", *programs_at_launch(context.app, manifest)},
    )
    env = script_env(context, runtime)
    _run_script(context, manifest, runtime, env, "heroku-prebuild")
    provide_modules(context, manifest, runtime, env, assets=assets)
    after = "heroku-postbuild" if "heroku-postbuild" in manifest.scripts else "build"
    _run_script(context, manifest, runtime, env, after)
    if assets:
        leave_no_modules(context)
        context.write_launch([])
    else:
        _make_startable(context, manifest)
    context.write_inputs(["**"])


def _make_startable(context: Context, manifest: Manifest) -> None:
    leave_production_modules(context, manifest)
    context.layer("modules").set_env(
        {"PATH.prepend": str(context.app / "node_modules" / ".bin"), "PATH.delim": ":"}, when="launch"
    )
    start = find_start(context.app, manifest)
    _announce(context, start)
    context.write_launch([Process("web", start.command, default=True)] if start else [])


def _run_script(
    context: Context, manifest: Manifest, runtime: Runtime, env: Mapping[str, str], name: str
) -> None:
    if name not in manifest.scripts:
        return
    say(f"Running the script {name}: {manifest.scripts[name]}")
    manager = runtime.manager
    status, _ = run([str(manager.program), *manager.run_script(name)], cwd=context.app, env=env)
    if status:
        raise Refusal(
            f"the script {name} failed with status {status}",
            f"an install and `{manager.name} run {name}` in a fresh clone show the same; what it needs has to be in package.json",
        )


def _announce(context: Context, start: Start | None) -> None:
    if start:
        command = start.command[-1] if start.command[0] == "bash" else " ".join(start.command)
        say(f"Process web: {command} ({start.because})")
    elif not (context.app / "Procfile").is_file():
        raise Refusal(
            "no start command was found: no scripts.start, no main, no server.js or index.js",
            'add "start" to the scripts in package.json, or a Procfile with a line such as: web: node serve.js',
        )
