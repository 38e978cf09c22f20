"""Jars: what they say of themselves, and which of them is the program."""

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PLACES = ("*.jar", "target/*.jar")
_NO_PROGRAM = re.compile(
    r"original-.*|.*-(?:sources|javadoc|tests|test-sources|plain)\.[jw]ar", re.IGNORECASE
)
_WITH_LIBRARIES = re.compile(r".*-(?:all|shaded|jar-with-dependencies|fat|uber|runner|exec)\.[jw]ar")


@dataclass(frozen=True)
class Manifest:
    """The main section of META-INF/MANIFEST.MF (JAR File Specification): empty strings where it does not say."""

    main_class: str = ""
    class_path: tuple[str, ...] = ()
    start_class: str = ""  # Spring Boot's: the app's own main class, which its loader starts
    boot_classes: str = ""  # folders in the jar that end with a slash
    boot_libraries: str = ""
    boot_index: str = ""
    needs_jar: bool = False  # it asks for what Java grants only to a jar that it is started with

    @property
    def is_boot(self) -> bool:
        """Whether the jar is a Spring Boot app that can be taken apart."""
        return bool(
            self.start_class
            and self.boot_classes
            and self.boot_libraries.endswith("/")
            and not self.needs_jar
        )


def runnable_jars(app: Path) -> list[Path]:
    """The jars in a source, not built here, that have a Main-Class, sorted."""
    paths = sorted(path for pattern in _PLACES for path in app.glob(pattern))
    return [path for path in paths if is_program(path)]


def is_program(path: Path) -> bool:
    """Whether a jar or war has a Main-Class and is no jar of sources, tests or documentation."""
    return path.is_file() and not _NO_PROGRAM.fullmatch(path.name) and bool(read_manifest(path).main_class)


def preferred(paths: Sequence[Path]) -> Sequence[Path]:
    """Those to choose among: Spring Boot's before others, then those that bring their libraries."""
    boot = [path for path in paths if read_manifest(path).start_class]
    whole = [path for path in paths if _WITH_LIBRARIES.fullmatch(path.name)]
    return boot or whole or paths


def read_manifest(path: Path) -> Manifest:
    """What the jar says; an empty manifest where it is no jar, or says nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read("META-INF/MANIFEST.MF").decode("utf-8", "replace")
    except (OSError, KeyError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return Manifest()
    return _parse(text)


def _parse(text: str) -> Manifest:
    lines = re.sub(r"\r\n?|\n", "\n", text).replace("\n ", "")  # a line that begins with a space goes on
    main, _, _ = lines.partition("\n\n")
    said = {
        name.strip().lower(): value.strip()
        for name, colon, value in (line.partition(":") for line in main.splitlines())
        if colon
    }
    return Manifest(
        main_class=said.get("main-class", ""),
        class_path=tuple(said.get("class-path", "").split()),
        start_class=said.get("start-class", ""),
        boot_classes=said.get("spring-boot-classes", ""),
        boot_libraries=said.get("spring-boot-lib", ""),
        boot_index=said.get("spring-boot-classpath-index", ""),
        needs_jar=bool({"add-opens", "add-exports", "launcher-agent-class"} & said.keys()),
    )
