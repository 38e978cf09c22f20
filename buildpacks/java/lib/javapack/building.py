"""Build a Java app: Java, Maven or Gradle, and how the program that they leave is started."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from javapack.cnb import Context, Process, say
from javapack.placing import Start, find_program, place, start_in_place
from javapack.project import Project, read_project
from javapack.runtime import provide_java
from javapack.tools import check_tool, run_tool

# files that, when they appear or change, choose another Java, another jar or an error, where nothing is compiled
_DECIDING = ("*.jar", "target/*.jar", "system.properties", ".java-version", ".sdkmanrc", "Procfile")


def make(context: Context) -> None:
    """The whole build. Raises Refusal."""
    project = read_project(context.app)
    check_tool(context, project)
    java = provide_java(context, project)
    if project.tool == "jar":
        start = None if project.names_web else start_in_place(context.app, find_program(context.app, "jar"))
    else:
        with _workplace(context, project) as folder:
            run_tool(context, project, java, folder)
            start = _start(context, project, folder)
    if start:
        command = start.command[-1].removeprefix("exec ")
        say(f"Process web: {command} ({start.because})")
    context.write_launch([Process("web", start.command, default=True)] if start else [])
    # plugins of Maven and Gradle may read anything
    context.write_inputs(_DECIDING if project.tool == "jar" else ["**"])


def _start(context: Context, project: Project, folder: Path) -> Start | None:
    if project.names_web:
        return None
    program = find_program(folder, project.tool)
    return start_in_place(folder, program) if project.in_place else place(context, folder, program)


@contextmanager
def _workplace(context: Context, project: Project) -> Iterator[Path]:
    """Where to build: in a copy, so that the image has the source and the program, and nothing that was made on the way."""
    if project.in_place:
        say("Building where the source lies: the Procfile may name what is built")
        yield context.app
        return
    with tempfile.TemporaryDirectory(prefix="java-") as name:
        # some plugins name things after the folder
        folder = Path(name) / context.app.name
        shutil.copytree(context.app, folder, symlinks=True)
        yield folder
