"""A runtime out of the distribution's own packages: unpacked into a layer, without root and without installing anything.

apt resolves, downloads and verifies, with a state of its own in a folder that goes away. Buildpacks that carry this file carry
it byte for byte the same; ``tests/bundled/test_folders.py`` compares the copies.
"""

import hashlib
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from .cnb import Context, Layer, Refusal, run, say

_STATUS = Path("/var/lib/dpkg/status")
_FRESH = 7 * 86400  # seconds for which unpacked packages are kept without asking for security fixes

# what every run image of a stack made of packages has; what else the build image has does not count, it is not there at launch
_IN_RUN_IMAGES = (
    "bash",
    "ca-certificates",
    "libatomic1",
    "libpq5",
    "libstdc++6",
    "nginx-light",
    "python3",
    "tzdata",
)
# packages ask for these to be installed and configured, which does not happen here
_FOR_INSTALLING = (
    "debconf",
    "mime-support",
    "procps",
    "psmisc",
    "sgml-base",
    "systemd-standalone-tmpfiles",
    "ucf",
)
_LEFT_OUT = (
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/share/ri",
)

_HINTS = (
    (
        r"(?i)could not resolve|temporary failure|connection failed|could not connect|unable to connect|timed out|unreachable",
        "the package archive was not reached: the operator sets a proxy or APT_SOURCES in build.env",
    ),
    (
        r"(?i)certificate verif|not trusted|handshake",
        "the archive's certificate is not trusted: the operator sets the CA bundle for builds (build.ca_bundle)",
    ),
    (
        r"(?i)401 +unauthorized|403 +forbidden|407 +proxy",
        "the archive refused: its credentials belong in the build secret apt-auth.conf",
    ),
    (
        r"(?i)NO_PUBKEY|not signed|GPG error",
        "the archive is signed with a key that the build image lacks: name its keyring with [signed-by=FILE] in APT_SOURCES",
    ),
    (r"(?i)404 +not found", "the archive lacks what its lists or sources name: see APT_SOURCES"),
    (r"(?i)no space left on device", "the disk for builds is full: the operator has to make room"),
)


@dataclass(frozen=True)
class Archive:
    """The package archive as of now. ``folder`` holds apt's state and goes away with the build."""

    folder: Path
    env: Mapping[str, str] = field(repr=False)
    options: tuple[str, ...] = ()

    def names(self, prefix: str) -> tuple[str, ...]:
        """The packages whose names begin so, sorted. Raises Refusal."""
        return tuple(sorted(self._ask("apt-cache", "pkgnames", prefix)))

    def version(self, package: str) -> str:
        """The upstream version that would be unpacked, such as ``8.2.36``. Raises Refusal where there is no such package."""
        for line in self._ask("apt-cache", "show", "--no-all-versions", package):
            match = re.match(r"Version: (?:\d+:)?(\d+(?:\.\d+)*)", line)
            if match:
                return match[1]
        raise Refusal(f"the package archive has no {package}", "see APT_SOURCES and the stack's suite")

    def closure(self, packages: Sequence[str]) -> tuple[str, ...]:
        """NAME=VERSION of the packages and of all that they need and a run image lacks, sorted. Raises Refusal."""
        base = [*_needed_to_boot(_STATUS), *_IN_RUN_IMAGES, *_FOR_INSTALLING]
        known = set(self._ask("apt-cache", "pkgnames"))
        base = [name for name in base if name in known]
        there = {name for name, _ in self._resolve(base)}
        wanted = self._resolve([*base, *packages])
        return tuple(sorted(f"{name}={version}" for name, version in wanted if name not in there))

    def unpack(self, packages: Sequence[str], target: Path) -> None:
        """Download and unpack into ``target``, without pages for people. Raises Refusal."""
        downloads = self.folder / "debs"
        downloads.mkdir(exist_ok=True)
        self._ask("apt-get", "download", "-qq", *packages, cwd=downloads)
        for deb in sorted(downloads.glob("*.deb")):
            self._ask("dpkg-deb", "-x", str(deb), str(target))
        shutil.rmtree(downloads)
        for name in _LEFT_OUT:
            shutil.rmtree(target / name, ignore_errors=True)
        for path in (target / "usr/share/doc").rglob("*"):
            if path.is_symlink() or (path.is_file() and path.name != "copyright"):
                path.unlink()

    def _resolve(self, packages: Sequence[str]) -> list[tuple[str, str]]:
        lines = self._ask(
            "apt-get", "install", "-y", "-qq", "--no-install-recommends", "--print-uris", *packages
        )
        files = [line.split()[1] for line in lines if line.startswith("'")]
        return [
            (unquote(name), unquote(version)) for name, version, _ in (file.split("_", 2) for file in files)
        ]

    def _ask(self, program: str, *arguments: str, cwd: Path | None = None) -> list[str]:
        """All that it prints, of which nothing is shown unless it fails. Raises Refusal."""
        lines: list[str] = []

        def keep(line: str) -> bool:
            lines.append(line.rstrip())
            return True

        options = () if program == "dpkg-deb" else self.options
        status, last = run([program, *options, *arguments], cwd=cwd or self.folder, env=self.env, quiet=keep)
        if status:
            for line in last[-12:]:
                say(f"  {line}")
            raise Refusal(f"{program} {arguments[0]} failed", explain(last))
        return lines


def open_archive(context: Context, folder: Path) -> Archive:
    """Read the package lists, of the image's own sources or of ``APT_SOURCES``. Raises Refusal."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise Refusal(
            "this stack has no apt, and the runtime comes from Debian packages",
            "use a stack of Debian packages: gitreceive stack create",
        )
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()  # nothing is installed: apt then names all that is needed
    archive = Archive(folder, {**context.env, "LC_ALL": "C.UTF-8"}, _options(context, folder))
    archive._ask("apt-get", "update", "-qq", "--error-on=any")  # noqa: SLF001 - the other half of this class
    return archive


def why_again(layer: Layer, wish: Mapping[str, str]) -> str:
    """Why what the layer holds cannot be kept; empty where it can. ``wish`` names in words what it followed from."""
    known = layer.metadata()
    if not known:
        return "nothing is kept from a build before"
    before = known.get("wish", {})
    changed = [name for name, value in wish.items() if before.get(name) != value]
    if changed:
        return f"{' and '.join(changed)} changed"
    if not 0 <= time.time() - int(known.get("unpacked_at", 0)) < _FRESH:
        return "they are a week old, and there may be security fixes"
    return ""


def stack_digest() -> str:
    """What tells one build image's packages from another's."""
    content = _STATUS.read_bytes() if _STATUS.is_file() else b""
    return hashlib.sha256(content).hexdigest()[:16]


def library_path(root: Path) -> str:
    """The folders with shared libraries, for ``LD_LIBRARY_PATH``."""
    folders = {
        path.parent for pattern in ("lib/*/*.so*", "usr/lib/*-linux-*/*.so*") for path in root.glob(pattern)
    }
    return ":".join(map(str, sorted(folders)))


def explain(lines: Sequence[str]) -> str:
    """The hints that fit apt's output, or where to look."""
    text = "\n".join(lines)
    return (
        "\n".join(hint for pattern, hint in _HINTS if re.search(pattern, text)) or "apt's own words are above"
    )


def _options(context: Context, folder: Path) -> tuple[str, ...]:
    settings = {
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Debug::NoLocking": "1",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "20",
        "Acquire::https::Timeout": "20",
    }
    sources = context.env.get("APT_SOURCES", "").strip()
    if sources:
        (folder / "sources.list").write_text(f"{sources}\n", encoding="utf-8")
        settings |= {"Dir::Etc::sourcelist": folder / "sources.list", "Dir::Etc::sourceparts": "/dev/null"}
    if context.env.get("SSL_CERT_FILE"):
        settings["Acquire::https::CAInfo"] = context.env["SSL_CERT_FILE"]
    credentials = context.secret("apt-auth.conf")
    if credentials:
        settings["Dir::Etc::netrc"] = credentials  # apt_auth.conf(5)
    return tuple(part for name, value in settings.items() for part in ("-o", f"{name}={value}"))


def _needed_to_boot(status: Path) -> list[str]:
    """The packages that each Debian system has: essential ones, and those of priority "required"."""
    if not status.is_file():
        return []
    paragraphs = status.read_text(encoding="utf-8", errors="replace").split("\n\n")
    wanted = [p for p in paragraphs if re.search(r"^(?:Essential: yes|Priority: required)$", p, re.MULTILINE)]
    return [match[1] for p in wanted if (match := re.search(r"^Package: (\S+)$", p, re.MULTILINE))]
