"""Build a Ruby app: Ruby, gems, assets, start command."""

from rubypack.bundling import installer_env, provide_gems
from rubypack.cnb import Context, Layer, Process, Refusal, run, say
from rubypack.manifest import Manifest, read_manifest
from rubypack.runtime import Runtime, provide_runtime
from rubypack.start import find_start

# files that, when they appear or change, choose another Ruby, other gems, another command or an error
_DECIDING = (
    "Gemfile",
    "Gemfile.lock",
    ".ruby-version",
    "config.ru",
    "*.rb",
    "Procfile",
    "Rakefile",
    "vendor/cache/**",
)
_ASSET_GEMS = (
    "sprockets",
    "sprockets-rails",
    "propshaft",
    "vite_rails",
    "jsbundling-rails",
    "cssbundling-rails",
)


def make(context: Context) -> None:
    """The whole build. Raises Refusal."""
    manifest = read_manifest(context.app)
    start = find_start(context.app, manifest)
    runtime = provide_runtime(context, manifest)
    gems = provide_gems(context, manifest, runtime)
    compiled = _compile_assets(context, manifest, runtime, gems)
    if start:
        command = (
            start.command[-1].removeprefix("exec ") if start.command[0] == "bash" else " ".join(start.command)
        )
        say(f"Process web: {command} ({start.because})")
    context.write_launch([Process("web", start.command, default=True)] if start else [])
    # assets, and gems that are folders, follow from the app's own files
    context.write_inputs(["**"] if compiled or manifest.local else _DECIDING)


def _compile_assets(context: Context, manifest: Manifest, runtime: Runtime, gems: Layer) -> bool:
    if not manifest.has(*_ASSET_GEMS) or not (context.app / "Rakefile").is_file():
        return False
    if context.env.get("DISABLE_ASSETS_PRECOMPILE") == "1":
        say("Assets are not compiled: DISABLE_ASSETS_PRECOMPILE is 1")
        return False
    say("Running rake assets:precompile")
    env = {
        "RAILS_ENV": "production",
        "RACK_ENV": "production",
        # Rails asks for a key to start at all, and the real one is not for builds
        "SECRET_KEY_BASE": "not-secret-and-for-this-build-alone",
        "SECRET_KEY_BASE_DUMMY": "1",
        **installer_env(context, runtime, gems),
    }
    command = [str(runtime.layer.path / "bin/bundle"), "exec", "rake", "assets:precompile"]
    status, _ = run(command, cwd=context.app, env=env)
    if status:
        raise Refusal(
            "rake assets:precompile failed",
            "its own words are above; it has to work without database and config. DISABLE_ASSETS_PRECOMPILE=1 in build.env leaves it out",
        )
    return True
