"""Ruby out of the distribution's packages, in a layer: chosen, unpacked, and told where it now lies."""

import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rubypack.cnb import Context, Layer, Refusal, run, say
from rubypack.debian import Archive, library_path, open_archive, stack_digest, why_again
from rubypack.manifest import Manifest, satisfies

# Ruby itself brings RubyGems, Bundler and its bundled gems; the distribution's own gems would stand beside the app's
_NOT_GEMS = re.compile(r"(?!ruby-|rubygems-integration=|rake=|ruby=|libruby=)")
_PROGRAMS = ("bundle", "bundler", "erb", "gem", "irb")
# RubyGems loads this file for whoever distributes Ruby. Gems have to go before the standard library in the load path, and RubyGems
# knows it by this mark, which Ruby gives to the folders that it was compiled for.
_DEFAULTS = """\
root = File.expand_path("../../../../../..", __dir__)
$LOAD_PATH.map! do |path|
  path.start_with?("#{root}/") ? path.dup.tap { |own| own.instance_variable_set(:@gem_prelude_index, own) } : path
end
"""


@dataclass(frozen=True)
class Runtime:
    """``series`` is what the packages are called after, such as ``3.1``."""

    layer: Layer
    version: str
    series: str

    @property
    def env(self) -> dict[str, str]:
        """What the program needs to find its parts here instead of at ``/``."""
        root = self.layer.path
        libraries = [*root.glob("usr/lib/ruby/3.*"), *root.glob("usr/lib/*-linux-*/ruby/3.*")]
        return {
            "RUBYLIB": ":".join(map(str, libraries)),
            "LD_LIBRARY_PATH": library_path(root),
            "DEBIAN_DISABLE_RUBYGEMS_INTEGRATION": "1",
        }


def provide_runtime(context: Context, manifest: Manifest) -> Runtime:
    """The kept runtime where it still serves, else a new one. Raises Refusal, saying what there is, where none fits."""
    layer = context.layer("runtime")
    wish = {
        "the stack": stack_digest(),
        "the Ruby that is asked for": manifest.requirement,
        "the package sources": context.env.get("APT_SOURCES", ""),
    }
    reason = why_again(layer, wish)
    if reason:
        say(f"Unpacking Ruby and its libraries: {reason}")
        metadata = {**_unpack(context, layer, manifest), "wish": wish, "unpacked_at": int(time.time())}
    else:
        metadata = layer.metadata()
    runtime = Runtime(layer, str(metadata["version"]), str(metadata["series"]))
    origin = f"from {manifest.source}" if manifest.source else "the stack's; .ruby-version chooses another"
    say(f"Using Ruby {runtime.version} ({origin}{'' if reason else ', kept from the last build'})")
    libraries = runtime.env["LD_LIBRARY_PATH"]
    own = {name: value for name, value in runtime.env.items() if name != "LD_LIBRARY_PATH"}
    layer.set_env({**own, "LD_LIBRARY_PATH.prepend": libraries, "LD_LIBRARY_PATH.delim": ":"})
    layer.save("launch", "build", "cache", metadata=metadata)
    return runtime


def _unpack(context: Context, layer: Layer, manifest: Manifest) -> dict[str, object]:
    layer.reset()
    with tempfile.TemporaryDirectory(prefix="apt-") as folder:
        archive = open_archive(context, Path(folder))
        series, version = _choose(archive, manifest)
        needed = archive.closure([f"ruby{series}", f"libruby{series}"])
        # gems with extensions in C are compiled against these headers
        headers = [p for p in archive.closure([f"ruby{series}-dev"]) if p.startswith(f"ruby{series}-dev=")]
        packages = [*filter(_NOT_GEMS.match, needed), *headers]
        archive.unpack(packages, layer.path)
    set_up(layer.path, series)
    runtime = Runtime(layer, version, series)
    _check(context, runtime)
    return {"version": version, "series": series, "packages": packages}


def _choose(archive: Archive, manifest: Manifest) -> tuple[str, str]:
    """The newest Ruby of the archive that the requirement allows."""
    offered = {
        match[1]: archive.version(name)
        for name in archive.names("ruby")
        if (match := re.fullmatch(r"ruby(\d+\.\d+)", name))
    }
    try:
        fitting = [series for series, version in offered.items() if satisfies(version, manifest.requirement)]
    except ValueError as error:
        raise Refusal(
            f"{manifest.source}: the Ruby version {error}", 'write one such as ruby "~> 3.1"'
        ) from error
    if fitting:
        series = max(fitting, key=_order)
        return series, offered[series]
    operator = "have the operator name an archive that has it in APT_SOURCES, in the build's environment"
    if not offered:
        raise Refusal("the package archive has no Ruby", operator)
    newest = max(offered, key=_order)
    remedy = f'ruby "~> {newest}.0"' if manifest.source == "Gemfile" else offered[newest]
    raise Refusal(
        f"{manifest.source} asks for Ruby {manifest.requirement}, and the package archive has {', '.join(offered.values())}",
        f"ask for {remedy}, or {operator}",
    )


def _order(series: str) -> tuple[int, ...]:
    return tuple(int(part) for part in series.split("."))


def set_up(root: Path, series: str) -> None:
    """What the packages' installation would do: programs without version in their name, and where they find Ruby."""
    (root / "bin").mkdir()
    for name in ("ruby", f"ruby{series}"):  # the programs of gems are started by the latter
        (root / "bin" / name).symlink_to(f"../usr/bin/ruby{series}")
    for name in _PROGRAMS:
        source = root / "usr/bin" / f"{name}{series}"
        if source.is_file():
            _, _, text = source.read_text(encoding="utf-8").partition("\n")
            target = root / "bin" / name
            target.write_text(f"#!{root / 'bin' / 'ruby'}\n{text}", encoding="utf-8")
            target.chmod(0o755)
    defaults = root / f"usr/lib/ruby/{series}.0/rubygems/defaults/operating_system.rb"
    defaults.parent.mkdir(parents=True, exist_ok=True)
    defaults.write_text(_DEFAULTS, encoding="utf-8")


def _check(context: Context, runtime: Runtime) -> None:
    """Have it start once with its libraries: here, not at the roll-out, is where to hear of one that is missing."""
    status, lines = run(
        [str(runtime.layer.path / "bin/ruby"), "-ropenssl", "-rpsych", "-rzlib", "-rbundler", "-e", ""],
        cwd=context.app,
        env={**context.env, **runtime.env},
        quiet=lambda _: True,
    )
    if status:
        for line in lines:
            say(f"  {line}")
        raise Refusal("Ruby of the package archive does not start here", "its own words are above")
