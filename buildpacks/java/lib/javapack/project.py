"""What the app's own files say: who builds it, and for which Java."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from javapack.archives import runnable_jars
from javapack.cnb import Refusal

GRADLE_FILES = ("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts")
_POM_PROPERTIES = ("maven.compiler.release", "java.version", "maven.compiler.target", "maven.compiler.source")
_OUTPUTS = re.compile(r"\b(?:target|build)/")


@dataclass(frozen=True)
class Wish:
    """A major version of Java, such as 17; 0 where any will do. ``exact``: a newer one will not do."""

    major: int = 0
    exact: bool = False
    source: str = ""


@dataclass(frozen=True)
class Project:
    """``tool`` is maven, gradle or jar. ``in_place``: processes of the Procfile look for what is built where the tool leaves it."""

    tool: str
    wish: Wish = Wish()
    wrapper: bool = False
    names_web: bool = False
    in_place: bool = False


def read_project(app: Path) -> Project:
    """Raises Refusal for what cannot be understood, or is no Java app."""
    tool = _tool(app)
    procfile = _read(app / "Procfile")
    names_web = bool(re.search(r"^web\s*:", procfile, re.MULTILINE))
    return Project(
        tool,
        _version_files(app) or _declared(app, tool),
        wrapper=(app / {"maven": "mvnw", "gradle": "gradlew"}.get(tool, "")).is_file(),
        names_web=names_web,
        in_place=names_web or bool(_OUTPUTS.search(procfile)),
    )


def _tool(app: Path) -> str:
    if (app / "pom.xml").is_file():
        return "maven"
    if any((app / name).is_file() for name in GRADLE_FILES):
        return "gradle"
    if runnable_jars(app):
        return "jar"
    raise Refusal(
        f"no pom.xml, {', '.join(GRADLE_FILES)}, and no jar with a Main-Class",
        "add a pom.xml or a build.gradle, or commit a jar whose manifest has a Main-Class",
    )


def _version_files(app: Path) -> Wish | None:
    """The first of the files that are there only to choose a version."""
    readers = {
        "system.properties": r"^\s*java\.runtime\.version\s*[=:\s]\s*(\S+)",
        ".java-version": r"^\s*([^#\s]+)",
        ".sdkmanrc": r"^\s*java\s*=\s*(\S+)",
    }
    for name, pattern in readers.items():
        match = re.search(pattern, _read(app / name), re.MULTILINE)
        if match:
            return Wish(_major(match[1], name), exact=True, source=name)
    return None


def _declared(app: Path, tool: str) -> Wish:
    if tool == "maven":
        return _from_pom(app / "pom.xml")
    return _from_gradle(app) if tool == "gradle" else Wish()


def _from_pom(path: Path) -> Wish:
    """A compiler makes classes for older versions too, so what the pom says is the least that will do."""
    try:
        root = ET.fromstring(path.read_bytes())  # noqa: S314 - the app's own file, which Maven executes
    except ET.ParseError as error:
        raise Refusal(
            f"pom.xml is no XML: {error}", "`mvn validate` on your own machine shows the same"
        ) from error
    for element in root.iter():  # namespaces are of no use here
        element.tag = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
    properties = {child.tag: (child.text or "").strip() for child in root.iterfind("properties/*")}
    plugins = root.iterfind("build//plugin")
    configured = [
        (plugin.findtext("configuration/release") or "").strip()
        for plugin in plugins
        if plugin.findtext("artifactId") == "maven-compiler-plugin"
    ]
    for text in (*configured, *(properties.get(name, "") for name in _POM_PROPERTIES)):
        value = _resolve(text, properties)
        if re.fullmatch(r"(?:1\.)?\d{1,2}", value):
            return Wish(_major(value, "pom.xml"), source="pom.xml")
    return Wish()


def _from_gradle(app: Path) -> Wish:
    for name in GRADLE_FILES[:2]:
        text = _read(app / name)
        toolchain = re.search(r"(?:JavaLanguageVersion\.of|jvmToolchain)\(\s*[\"']?(\d+)", text)
        if toolchain:  # Gradle looks for that very version, and downloads it where there is another
            return Wish(int(toolchain[1]), exact=True, source=name)
        least = re.search(r"(?:source|target)Compatibility\s*=?\s*\D{0,24}?(?:1[._])?(\d{1,2})\b", text)
        if least:
            return Wish(int(least[1]), source=name)
    return Wish()


def _resolve(text: str, properties: Mapping[str, str]) -> str:
    match = re.fullmatch(r"\$\{(.+)\}", text)
    return properties.get(match[1], "") if match else text


def _major(text: str, source: str) -> int:
    """17 of 17.0.9-tem, temurin-17.0.9+9, openjdk64-17; 8 of 1.8.0_392."""
    match = re.search(r"(?:^|[-@])(?:1\.)?(\d{1,2})(?!\d)", text)
    if not match:
        raise Refusal(
            f"{source}: the Java version {text!r} is not understood", "write its major version, such as 17"
        )
    return int(match[1])


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
