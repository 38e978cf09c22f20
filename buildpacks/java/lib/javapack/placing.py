"""What was built, in layers: libraries, which seldom change, apart from the app's own classes."""

import hashlib
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from javapack.archives import Manifest, is_program, preferred, read_manifest
from javapack.cnb import Context, Layer, Refusal, say

_BUILT = {
    "maven": ("target/*.jar", "target/*.war"),
    "gradle": ("build/libs/*.jar", "build/libs/*.war"),
    "jar": ("*.jar", "target/*.jar"),
}
_REMEDY = {
    "maven": "have spring-boot-maven-plugin, maven-shade-plugin or maven-jar-plugin write a Main-Class into the jar's manifest",
    "gradle": 'apply the plugin application with a mainClass, or write jar { manifest { attributes("Main-Class": "…") } }',
    "jar": "commit a jar whose manifest has a Main-Class",
}


@dataclass(frozen=True)
class Start:
    """``words`` is a shell's command after java's own options, or a program; ``because`` is for people."""

    command: tuple[str, ...]
    because: str


def find_program(folder: Path, tool: str) -> Path:
    """The jar, or the script that starts a distribution. Raises Refusal where there is none, or more than one."""
    patterns = [f"**/{pattern}" if tool != "jar" else pattern for pattern in _BUILT[tool]]
    jars = sorted({path for pattern in patterns for path in folder.glob(pattern) if is_program(path)})
    scripts = [path for path in folder.glob("**/build/install/*/bin/*") if path.suffix != ".bat"]
    boot = [path for path in jars if read_manifest(path).start_class]
    found = preferred(boot or scripts or jars)
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refusal("the build left no jar with a Main-Class", _REMEDY[tool])
    names = ", ".join(path.relative_to(folder).as_posix() for path in found)
    raise Refusal(
        f"which is the program? {names}",
        f"add a Procfile with a line such as: web: java $JAVA_OPTS -jar {found[0].relative_to(folder).as_posix()}",
    )


def start_in_place(folder: Path, program: Path) -> Start:
    """Start what lies in the app's folder, from there."""
    name = program.relative_to(folder).as_posix()
    if program.suffix not in {".jar", ".war"}:
        return Start(("bash", "-c", f"exec {_quoted(name)}"), f"{name}, of the plugin application")
    manifest = read_manifest(program)
    what = f"{name}, Spring Boot" if manifest.start_class else name
    return Start(_java(manifest, f"-jar {_quoted(name)}"), what)


def place(context: Context, folder: Path, program: Path) -> Start:
    """Take what is needed to start the program into two layers, and say how it starts there."""
    application = context.layer("application")
    application.reset()
    manifest = read_manifest(program)
    name = program.relative_to(folder).as_posix()
    if program.suffix not in {".jar", ".war"}:
        shutil.copytree(program.parent.parent, application.path, symlinks=True, dirs_exist_ok=True)
        own = {path.name for path in folder.glob("**/build/libs/*.jar")}
        libraries = [p for p in sorted(application.path.glob("lib/*.jar")) if p.name not in own]
        script = application.path / "bin" / program.name
        start = Start(("bash", "-c", f"exec {_quoted(str(script))}"), f"{name}, of the plugin application")
    elif manifest.is_boot and program.suffix == ".jar":
        libraries = _take_apart(program, manifest, application)
        arguments = f"@{application.path / 'class-path'} {manifest.start_class}"
        start = Start(_java(manifest, arguments), f"{name}, Spring Boot")
    else:
        libraries = _copy_jar(program, manifest, application)
        there = application.path / program.name
        start = Start(_java(manifest, f"-jar {_quoted(str(there))}"), name)
    _move_libraries(context, application, libraries)
    application.save("launch")
    return start


def _java(manifest: Manifest, arguments: str) -> tuple[str, ...]:
    port = '-Dserver.port="${PORT:-8080}" ' if manifest.start_class else ""
    return ("bash", "-c", f"exec java {port}$JAVA_OPTS {arguments}")


def _take_apart(program: Path, manifest: Manifest, application: Layer) -> list[Path]:
    """Unpack a Spring Boot jar, and write down its class path in the order that its index says."""
    with zipfile.ZipFile(program) as archive:
        names = [
            name for name in archive.namelist() if not name.startswith("org/springframework/boot/loader/")
        ]
        for name in names:
            archive.extract(name, application.path)
        index = archive.read(manifest.boot_index).decode() if manifest.boot_index in names else ""
    libraries = sorted((application.path / manifest.boot_libraries).glob("*.jar"))
    listed = [application.path / name for name in re.findall(r'^- "(.+)"$', index, re.MULTILINE)]
    in_order = [path for path in dict.fromkeys([*listed, *libraries]) if path in set(libraries)]
    class_path = ":".join(map(str, [application.path / manifest.boot_classes, *in_order]))
    escaped = class_path.replace("\\", "\\\\").replace('"', '\\"')
    (application.path / "class-path").write_text(f'-cp "{escaped}"\n', encoding="utf-8")
    return libraries


def _copy_jar(program: Path, manifest: Manifest, application: Layer) -> list[Path]:
    """Copy a jar and, where they lie next to it, the jars that its Class-Path names."""
    shutil.copyfile(program, application.path / program.name)
    libraries = []
    for name in dict.fromkeys(manifest.class_path):
        source, target = program.parent / name, application.path / name
        if source.is_file() and program.parent.resolve() in source.resolve().parents:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            libraries.append(target)
    return libraries


def _move_libraries(context: Context, application: Layer, libraries: list[Path]) -> None:
    """Leave links to a layer that stays as it is while no library changes."""
    layer = context.layer("libraries")
    if not libraries:
        return
    names = {path.relative_to(application.path).as_posix(): path for path in libraries}
    digest = hashlib.sha256()
    for name, path in sorted(names.items()):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode())
    kept = layer.metadata() == {"libraries": digest.hexdigest()}
    if not kept:
        layer.reset()
    say(f"Libraries in a layer of their own: {len(names)}{', as in the last build' if kept else ''}")
    for name, path in names.items():
        target = layer.path / name
        if kept:
            path.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        path.symlink_to(target)
    layer.save("launch", "cache", metadata={"libraries": digest.hexdigest()})


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else "'" + text.replace("'", "'\\''") + "'"
