"""Java out of the distribution's packages: what runs the app in one layer, what builds it in another."""

import hashlib
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from javapack.cnb import Context, Layer, Refusal, run, say
from javapack.debian import Archive, library_path, open_archive, stack_digest, why_again
from javapack.project import Project, Wish
from javapack.truststore import to_jks

_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# printing, sound, smart cards and another library's certificates: Java loads them where a program asks for them, and a server does not
_NOT_NEEDED = re.compile(
    r"(?:ca-certificates-java|java-common|lib(?:asound2(?:-data)?|avahi-[\w-]+|cups2|dbus-1-3|nspr4|nss3|pcsclite1))="
)
_MAVEN = re.compile(r"(?:maven|lib[\w.+-]+-java)=")
# a server has no use for more of its container than its heap and what Java itself needs beside that
_OPTIONS = "-XX:MaxRAMPercentage=70 -XX:+ExitOnOutOfMemoryError -Dfile.encoding=UTF-8"


@dataclass(frozen=True)
class Java:
    """``jdk`` is None where nothing is compiled. ``version`` is such as 17.0.15, ``major`` its first number."""

    jre: Layer
    jdk: Layer | None
    version: str
    major: int

    @property
    def home(self) -> Path:
        """JAVA_HOME for the build: with a compiler, where there is one."""
        return find_home((self.jdk or self.jre).path, self.major)

    @property
    def maven(self) -> Path:
        """The program, where Maven was asked for."""
        return (self.jdk or self.jre).path / "usr/share/maven/bin/mvn"


def provide_java(context: Context, project: Project) -> Java:
    """What was kept where it still serves, else anew. Raises Refusal, saying what there is, where nothing fits."""
    jre, jdk = context.layer("jre"), context.layer("jdk") if project.tool != "jar" else None
    maven = project.tool == "maven" and not project.wrapper
    certificates = _read(_CERTIFICATES)
    wish = {
        "the stack": stack_digest(),
        "the Java that is asked for": str(project.wish.major or "any"),
        "the package sources": context.env.get("APT_SOURCES", ""),
        "the certificates of the stack": hashlib.sha256(certificates.encode()).hexdigest(),
        "what the build needs beside Java": "a compiler and Maven" if maven else "a compiler" if jdk else "",
    }
    reason = why_again(jre, wish) or _unfit(jre, jdk, project.wish)
    if reason:
        say(f"Unpacking Java: {reason}")
        metadata = {**_unpack(context, jre, jdk, project.wish, maven=maven), "wish": wish}
        _trust(find_home(jre.path, int(str(metadata["major"]))), certificates)
    else:
        metadata = jre.metadata()
    java = Java(jre, jdk, str(metadata["version"]), int(str(metadata["major"])))
    origin = f"from {project.wish.source}" if project.wish.source else "system.properties chooses another"
    say(f"Using Java {java.version} ({origin}{'' if reason else ', kept from the last build'})")
    _declare(context, java, metadata)
    if reason:
        _check(context, java)
    return java


def _unfit(jre: Layer, jdk: Layer | None, wish: Wish) -> str:
    known = jre.metadata()
    if wish.exact and known.get("major") != wish.major:
        return "a newer Java will no longer do"
    if jdk and jdk.metadata().get("unpacked_at") != known.get("unpacked_at"):
        return "the compiler is not kept from the last build"
    return ""


def find_home(root: Path, major: int) -> Path:
    """The folder below an unpacked package that is JAVA_HOME. Raises Refusal."""
    for path in sorted(root.glob(f"usr/lib/jvm/java-{major}-openjdk-*")):
        return path
    raise Refusal(f"the package openjdk-{major}-jre-headless holds no Java", "see APT_SOURCES")


def choose(offered: dict[int, str], wish: Wish) -> int:
    """The version asked for; where a newer one will do, the one next to it; where any will, the newest. Raises Refusal."""
    fitting = [m for m in offered if m == wish.major or (not wish.exact and m > wish.major)]
    if fitting:
        return min(fitting) if wish.major else max(fitting)
    operator = "have the operator name an archive that has it in APT_SOURCES, in the build's environment"
    if not offered:
        raise Refusal("the package archive has no Java", operator)
    there = ", ".join(map(str, sorted(offered)))
    raise Refusal(
        f"{wish.source} asks for Java {wish.major}, and the package archive has {there}",
        f"ask for {max(offered)}, or {operator}",
    )


def set_up(root: Path, major: int) -> None:
    """What the packages' installation would do: links that lead here instead of to ``/``, programs on the PATH, fonts."""
    for path in list(root.rglob("*")):
        if path.is_symlink() and (to := str(path.readlink())).startswith("/"):
            target = root / to.lstrip("/")
            path.unlink()
            if target.exists() or target.is_symlink():
                path.symlink_to(os.path.relpath(target, path.parent))
    programs = root / "bin"
    programs.mkdir(exist_ok=True)
    for program in find_home(root, major).glob("bin/*"):
        link = programs / program.name
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(program, programs))
    fonts = root / "etc/fonts/fonts.conf"
    if fonts.is_file():
        text = fonts.read_text(encoding="utf-8")
        fonts.write_text(text.replace(">/usr/share/fonts<", f">{root}/usr/share/fonts<"), encoding="utf-8")


def _unpack(context: Context, jre: Layer, jdk: Layer | None, wish: Wish, *, maven: bool) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="apt-") as folder:
        archive = open_archive(context, Path(folder))
        offered = _offered(archive)
        major = choose(offered, wish)
        runtime, compiler = f"openjdk-{major}-jre-headless", f"openjdk-{major}-jdk-headless"
        packages = [p for p in archive.closure([runtime]) if not _NOT_NEEDED.match(p)]
        jre.reset()  # not before it is known that there is something else to be had
        archive.unpack(packages, jre.path)
        if jdk:
            jdk.reset()
            shutil.copytree(jre.path, jdk.path, symlinks=True, dirs_exist_ok=True)
            wanted = [compiler, *(["maven"] if maven else []), runtime]
            needed = [p for p in archive.closure(wanted) if p.startswith(f"{compiler}=") or _MAVEN.match(p)]
            archive.unpack(needed, jdk.path)
            set_up(jdk.path, major)
            shutil.rmtree(find_home(jdk.path, major) / "jmods", ignore_errors=True)  # jlink's, 75 MB
    set_up(jre.path, major)
    return {
        "version": offered[major],
        "major": major,
        "packages": packages,
        "unpacked_at": int(time.time()),
    }


def _offered(archive: Archive) -> dict[int, str]:
    return {
        int(match[1]): archive.version(name)
        for name in archive.names("openjdk-")
        if (match := re.fullmatch(r"openjdk-(\d+)-jdk-headless", name))
    }


def _declare(context: Context, java: Java, metadata: dict[str, object]) -> None:
    libraries = library_path(java.jre.path)
    java.jre.set_env(
        {
            "JAVA_HOME": str(find_home(java.jre.path, java.major)),
            "JAVA_TOOL_OPTIONS.default": _OPTIONS,
            "FONTCONFIG_FILE.default": str(java.jre.path / "etc/fonts/fonts.conf"),
            "LD_LIBRARY_PATH.prepend": libraries,
            "LD_LIBRARY_PATH.delim": ":",
        },
        when="launch",
    )
    java.jre.save("launch", "cache", metadata=metadata)
    if java.jdk:
        _trust(java.home, _read(Path(context.env.get("SSL_CERT_FILE", "")), _read(_CERTIFICATES)))
        java.jdk.set_env({"JAVA_HOME": str(java.home)}, when="build")
        java.jdk.save("build", "cache", metadata={"unpacked_at": metadata["unpacked_at"]})


def _trust(home: Path, certificates: str) -> None:
    """Write the truststore that this Java reads, where it holds anything else. Raises Refusal."""
    path = home / "lib/security/cacerts"
    try:
        content = to_jks(certificates)
    except ValueError as error:
        raise Refusal(
            f"the CA bundle cannot be read: {error}", "the operator sets build.ca_bundle to a file in PEM"
        ) from error
    if path.is_symlink() or not path.is_file() or path.read_bytes() != content:
        path.unlink(missing_ok=True)
        path.write_bytes(content)


def _read(path: Path, otherwise: str = "") -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else otherwise


def _check(context: Context, java: Java) -> None:
    """Have it start once: here, not at the roll-out, is where to hear of a library that is missing."""
    for program in ("java", *(("javac",) if java.jdk else ())):
        folder = java.jre.path / "bin" if program == "java" else java.home / "bin"
        status, lines = run(
            [str(folder / program), "-version"], cwd=context.app, env=context.env, quiet=lambda _: True
        )
        if status:
            for line in lines:
                say(f"  {line}")
            raise Refusal(f"{program} of the package archive does not start here", "its own words are above")
