"""PHP out of the distribution's packages, in a layer: chosen, unpacked, and told where it now lies."""

import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from phppack.cnb import Context, Layer, Refusal, run, say
from phppack.constraints import Version, parse, satisfies
from phppack.debian import Archive, library_path, open_archive, stack_digest, why_again
from phppack.manifest import Manifest

# what nearly every framework asks for and is small; composer.json's ext-* add to it
_ALWAYS = (
    "bcmath",
    "cli",
    "curl",
    "fpm",
    "intl",
    "mbstring",
    "mysql",
    "opcache",
    "pgsql",
    "sqlite3",
    "xml",
    "zip",
)
# extensions that come in another package's name
_PACKAGES = {
    **dict.fromkeys(("dom", "simplexml", "xmlreader", "xmlwriter", "xsl"), "xml"),
    **dict.fromkeys(("mysqli", "mysqlnd", "pdo_mysql"), "mysql"),
    "pdo_pgsql": "pgsql",
    "pdo_sqlite": "sqlite3",
    "zend-opcache": "opcache",
    "zend opcache": "opcache",
    **dict.fromkeys(("pdo_odbc",), "odbc"),
}
# extensions that the program or php-common has
_BUILT_IN = frozenset(
    [
        "calendar",
        "core",
        "ctype",
        "date",
        "exif",
        "ffi",
        "fileinfo",
        "filter",
        "ftp",
        "gettext",
        "hash",
        "iconv",
        "json",
        "libxml",
        "openssl",
        "pcntl",
        "pcre",
        "pdo",
        "phar",
        "posix",
        "random",
        "readline",
        "reflection",
        "session",
        "shmop",
        "sockets",
        "sodium",
        "spl",
        "standard",
        "sysvmsg",
        "sysvsem",
        "sysvshm",
        "tokenizer",
        "zlib",
    ]
)
_SETTINGS = """\
expose_php = Off
display_errors = Off
log_errors = On
html_errors = Off
error_reporting = E_ALL & ~E_DEPRECATED & ~E_STRICT
zend.assertions = -1
short_open_tag = Off
variables_order = EGPCS
date.timezone = UTC
memory_limit = 128M
post_max_size = 32M
upload_max_filesize = 32M
realpath_cache_size = 4096K
realpath_cache_ttl = 600
session.use_strict_mode = 1
opcache.enable = 1
opcache.max_accelerated_files = 20000
opcache.interned_strings_buffer = 16
; an image's files do not change
opcache.validate_timestamps = 0
"""


@dataclass(frozen=True)
class Runtime:
    """``series`` is what the packages are called after, such as ``8.2``."""

    layer: Layer
    version: str
    series: str

    @property
    def env(self) -> dict[str, str]:
        """What the program needs to find its parts here instead of at ``/``."""
        root = self.layer.path
        return {
            "PHPRC": str(root / "etc/php.ini"),
            "PHP_INI_SCAN_DIR": str(root / "etc/conf.d"),
            "LD_LIBRARY_PATH": library_path(root),
        }


def provide_runtime(context: Context, manifest: Manifest) -> Runtime:
    """The kept runtime where it still serves, else a new one. Raises Refusal, saying what there is, where none fits."""
    layer = context.layer("runtime")
    wish = {
        "the stack": stack_digest(),
        "the PHP that is asked for": manifest.php,
        "the extensions that are asked for": " ".join(sorted(manifest.extensions)),
        "the package sources": context.env.get("APT_SOURCES", ""),
    }
    reason = why_again(layer, wish)
    origin = f"from {manifest.source}" if manifest.php else "the stack's; .php-version chooses another"
    if reason:
        say(f"Unpacking PHP and its libraries: {reason}")
        metadata = _unpack(context, layer, manifest)
        metadata |= {"wish": wish, "unpacked_at": int(time.time())}
    else:
        metadata = layer.metadata()
    runtime = Runtime(layer, str(metadata["version"]), str(metadata["series"]))
    say(f"Using PHP {runtime.version} ({origin}{'' if reason else ', kept from the last build'})")
    layer.set_env(
        {
            "PHPRC": runtime.env["PHPRC"],
            "PHP_INI_SCAN_DIR.default": runtime.env["PHP_INI_SCAN_DIR"],
            "LD_LIBRARY_PATH.prepend": runtime.env["LD_LIBRARY_PATH"],
            "LD_LIBRARY_PATH.delim": ":",
        }
    )
    layer.save("launch", "build", "cache", metadata=metadata)
    return runtime


def _unpack(context: Context, layer: Layer, manifest: Manifest) -> dict[str, object]:
    layer.reset()
    with tempfile.TemporaryDirectory(prefix="apt-") as folder:
        archive = open_archive(context, Path(folder))
        series, version = _choose(archive, manifest)
        packages = archive.closure(_packages(archive, series, manifest))
        archive.unpack(packages, layer.path)
    set_up(layer.path, series)
    _check(context, Runtime(layer, version, series))
    return {"version": version, "series": series, "packages": list(packages)}


def _choose(archive: Archive, manifest: Manifest) -> tuple[str, str]:
    """The newest PHP of the archive that the constraint allows."""
    offered: dict[str, Version] = {}
    for name in archive.names("php"):
        match = re.fullmatch(r"php(\d+\.\d+)-fpm", name)
        if match:
            offered[match[1]] = parse(archive.version(name))
    try:
        fitting = {s: v for s, v in offered.items() if not manifest.php or satisfies(v, manifest.php)}
    except ValueError as error:
        raise Refusal(f"{manifest.source}: the PHP version {error}", "write one such as ^8.2") from error
    if not fitting:
        raise _unmet(manifest, offered)
    series = max(fitting, key=lambda s: fitting[s])
    return series, ".".join(map(str, fitting[series]))


def _unmet(manifest: Manifest, offered: Mapping[str, Version]) -> Refusal:
    asked = manifest.php.removesuffix(".*")
    operator = "have the operator name an archive that has it in APT_SOURCES, in the build's environment"
    if not offered:
        return Refusal("the package archive has no PHP", operator)
    newest = max(offered, key=lambda series: offered[series])
    there = ", ".join(".".join(map(str, version)) for version in sorted(offered.values()))
    remedy = newest if manifest.source == ".php-version" else f"^{newest}"
    return Refusal(
        f"{manifest.source} asks for PHP {asked}, and the package archive has {there}",
        f"ask for {remedy}, or {operator}",
    )


def _packages(archive: Archive, series: str, manifest: Manifest) -> Sequence[str]:
    known = set(archive.names(f"php{series}-"))
    wanted = {_PACKAGES.get(name, name) for name in manifest.extensions - _BUILT_IN}
    missing = sorted(name for name in wanted if f"php{series}-{name}" not in known)
    if missing:
        raise Refusal(
            f"the package archive has no PHP extension {', '.join(missing)} for PHP {series}",
            "remove ext-NAME from composer.json and make the lock again, or have the operator name an archive in APT_SOURCES",
        )
    return [f"php{series}-{name}" for name in sorted({*_ALWAYS, *wanted}) if f"php{series}-{name}" in known]


def set_up(root: Path, series: str) -> None:
    """What the packages' installation would do: names without version, and the list of extensions to load."""
    (root / "bin").mkdir()
    for name, program in (("php", f"bin/php{series}"), ("php-fpm", f"sbin/php-fpm{series}")):
        (root / "bin" / name).symlink_to(f"../usr/{program}")
    scanned = root / "etc/conf.d"
    scanned.mkdir(parents=True)
    extensions = next(root.glob("usr/lib/php/20*"))
    (root / "etc/php.ini").write_text(f'{_SETTINGS}extension_dir = "{extensions}"\n', encoding="utf-8")
    for path in sorted(root.glob(f"usr/share/php{series}-*/*/*.ini")):
        text = path.read_text(encoding="utf-8")
        priority = re.search(r"^;\s*priority=(\d+)", text, re.MULTILINE)
        (scanned / f"{priority[1] if priority else '20'}-{path.name}").write_text(text, encoding="utf-8")


def _check(context: Context, runtime: Runtime) -> None:
    """Have it start once with all its extensions: here, not at the roll-out, is where to hear of a missing library."""
    for program in ("php", "php-fpm"):
        status, lines = run(
            [str(runtime.layer.path / "bin" / program), "-v"],
            cwd=context.app,
            env={**context.env, **runtime.env},
            quiet=lambda _: True,
        )
        if status or any("Warning" in line for line in lines):
            for line in lines:
                say(f"  {line}")
            raise Refusal(f"{program} of the package archive does not start here", "its own words are above")
