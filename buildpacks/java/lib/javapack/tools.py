"""Maven and Gradle: run where the app lies, with their downloads in a layer."""

import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from javapack.cnb import Context, Layer, Refusal, run, say
from javapack.project import GRADLE_FILES, Project
from javapack.runtime import Java
from javapack.settings import java_options, render_settings

_KEPT = 90 * 86400  # seconds; then downloads begin anew, as versions that are no longer used are among them
_WRAPPERS = {
    "maven": ("mvnw", ".mvn/wrapper/maven-wrapper.properties", "mvn wrapper:wrapper"),
    "gradle": ("gradlew", "gradle/wrapper/gradle-wrapper.properties", "gradle wrapper"),
}
# a build is over before Java's second compiler would pay; and Maven writes escape sequences even where nothing is coloured
_MAVEN_OPTIONS = "-XX:TieredStopAtLevel=1 -Djansi.mode=strip -Djansi.noreset=true"
_LONGEST = 160  # characters of a cause: it stands in git's status line
_CAUSES = (
    r"^\[ERROR\] (\S+:\[\d+,\d+\] .+)$",
    r"^(\S+\.\w+:\d+: error: .+)$",
    r"^e: (?:file:/*)?(\S+\.kt\S* .+)$",
    r"^\[ERROR\] (?:Failed to execute goal \S+ \(.+?\) on project \S+: |Plugin \S+ or .+? could not be resolved: )*(.+?)(?: -> \[Help \d+\])?$",
    r"^\* What went wrong:\n(.+)$",
    r"^Exception in thread \"main\" (.+)$",
)


def check_tool(context: Context, project: Project) -> None:
    """Raises Refusal where the tool cannot be run as the source is."""
    if project.wrapper:
        _check_wrapper(context.app, *_WRAPPERS[project.tool])
    elif project.tool == "gradle" and not shutil.which("gradle", path=context.env.get("PATH")):
        raise Refusal(
            "there is no gradlew, and this stack has no Gradle",
            "run `gradle wrapper` and commit gradlew, gradlew.bat and gradle/wrapper with gradle-wrapper.jar",
        )


def run_tool(context: Context, project: Project, java: Java, folder: Path) -> None:
    """Build what lies in ``folder``. Raises Refusal; what to do about it is in buildpack.toml, by the tool's own words."""
    downloads = _downloads(context, project.tool)
    with tempfile.TemporaryDirectory(prefix="settings-") as settings:
        call = (_maven if project.tool == "maven" else _gradle)(
            context, project, java, folder, downloads.path, Path(settings)
        )
        env = {
            **context.env,
            **call.env,
            "JAVA_HOME": str(java.home),
            "PATH": f"{java.home / 'bin'}:{context.env.get('PATH', '/usr/bin:/bin')}",
        }
        say(f"Running {Path(call.program[-1]).name} {' '.join(call.asked)}")

        def show(line: str) -> bool:
            say(line.replace(f"{folder}/", ""))  # people know their files by their place in the app
            return True

        status, lines = run([*call.program, *call.options, *call.asked], cwd=folder, env=env, quiet=show)
    if status:
        cause = find_cause([line.replace(f"{folder}/", "") for line in lines])
        raise Refusal(f"{project.tool.capitalize()} could not build the app{cause and f': {cause}'}")


def find_cause(lines: Sequence[str]) -> str:
    """The line that says most of why Maven or Gradle failed: the compiler's first, else the tool's own; empty where none is known."""
    text = "\n".join(lines)
    for pattern in _CAUSES:
        match = re.search(pattern, text, re.MULTILINE)
        if match:
            return match[1].strip()[:_LONGEST]
    return ""


@dataclass(frozen=True)
class _Call:
    """``asked`` is what the app or the operator asked for, ``options`` all else."""

    program: list[str]
    options: list[str]
    asked: list[str]
    env: dict[str, str] = field(repr=False)


def _maven(
    context: Context, project: Project, java: Java, folder: Path, downloads: Path, settings: Path
) -> _Call:
    quiet = "-Dorg.slf4j.simpleLogger.log.org.apache.maven.cli.transfer.Slf4jMavenTransferListener=warn"
    options = ["-B", "-Dstyle.color=never", quiet]
    if "maven.repo.local" not in _text(folder / ".mvn/maven.config"):
        options.append(f"-Dmaven.repo.local={downloads / 'repository'}")
    mirror = context.env.get("MAVEN_MIRROR", "")
    rendered = render_settings(mirror, context.env)
    if rendered:
        (settings / "settings.xml").write_text(rendered, encoding="utf-8")
        options += ["-gs", str(settings / "settings.xml")]
    own = _find_settings(context, folder)
    if own:
        options += ["-s", str(own)]
    asked = shlex.split(context.env.get("MAVEN_CUSTOM_OPTS", "-DskipTests"))
    asked += shlex.split(context.env.get("MAVEN_CUSTOM_GOALS", "package"))
    env = {
        "MAVEN_USER_HOME": str(downloads),
        "MAVEN_OPTS": f"{_MAVEN_OPTIONS} {context.env.get('MAVEN_OPTS', '')}".strip(),
    }
    if mirror:
        env["MVNW_REPOURL"] = mirror.rstrip("/")
    return _Call(["sh", "./mvnw"] if project.wrapper else [str(java.maven)], options, asked, env)


def _find_settings(context: Context, folder: Path) -> Path | None:
    """The user's settings: the build secret, what MAVEN_SETTINGS_PATH names, or settings.xml at the root. Raises Refusal."""
    secret = context.secret("maven-settings.xml")
    named = context.env.get("MAVEN_SETTINGS_PATH", "")
    if secret or not named:
        own = folder / "settings.xml"
        return secret or (own if own.is_file() else None)
    path = folder / named
    if not path.is_file():
        raise Refusal(f"MAVEN_SETTINGS_PATH names {named}, which is not there", "commit it, or unset it")
    return path


def _gradle(
    context: Context, project: Project, _java: Java, folder: Path, downloads: Path, _settings: Path
) -> _Call:
    secret = context.secret("init.gradle")
    options = ["--no-daemon", "--console=plain", *(["--init-script", str(secret)] if secret else [])]
    asked = shlex.split(context.env.get("GRADLE_TASK") or choose_task(folder))
    given = context.env.get("GRADLE_OPTS", "")
    env = {
        "GRADLE_USER_HOME": str(downloads),
        "GRADLE_OPTS": f"{shlex.join(java_options(context.env))} {given}".strip(),
    }
    return _Call(["sh", "./gradlew"] if project.wrapper else ["gradle"], options, asked, env)


def choose_task(folder: Path) -> str:
    """``stage`` where the build has such a task; a distribution where the plugin application makes the program; else all archives."""
    files = [path for name in GRADLE_FILES[:2] for path in (folder / name, *folder.glob(f"*/{name}"))]
    text = "\n".join(map(_text, files))
    if re.search(r"(?m)^\s*task\s*\(?\s*[\"']?stage\b|register(?:<\w+>)?\(\s*[\"']stage[\"']", text):
        return "stage"
    if re.search(r"org\.springframework\.boot|shadow[\"']", text):
        return "assemble"
    applied = r"(?m)^\s*application\s*$|(?:id|plugin)\b[\s(:]*[\"']application[\"']|\bapplication\s*(?:;|\})"
    return "installDist" if re.search(applied, text) else "assemble"


def _check_wrapper(folder: Path, script: str, properties: str, remedy: str) -> None:
    """What is most often missing of a wrapper, told before the wrapper tells it in its own way. Raises Refusal."""
    if b"\r\n" in (folder / script).read_bytes():
        raise Refusal(
            f"{script} has Windows line ends, with which no shell runs it",
            f"echo '{script} text eol=lf' >> .gitattributes && git add --renormalize {script}",
        )
    if not (folder / properties).is_file():
        raise Refusal(
            f"there is {script}, but no {properties}", f"run `{remedy}` and commit {script} and its folder"
        )
    jar = "gradle/wrapper/gradle-wrapper.jar"
    if script == "gradlew" and not (folder / jar).is_file():
        raise Refusal(
            f"there is gradlew, but no {jar}", f"git add --force {jar}: a .gitignore may name *.jar"
        )


def _downloads(context: Context, tool: str) -> Layer:
    """The layer with what the tool downloads, which is no part of the image."""
    layer = context.layer("downloads")
    known = layer.metadata()
    now = int(time.time())
    key = {"tool": tool, "mirror": context.env.get("MAVEN_MIRROR", "")}
    reason = ""
    if known and {name: known.get(name) for name in key} != key:
        changed = [name for name in key if known.get(name) != key[name]]
        reason = f"the {' and the '.join(changed)} changed"
    elif known and not 0 <= now - int(known.get("since", 0)) < _KEPT:
        reason = "it is three months old, and holds what is no longer used"
    if reason:
        say(f"Emptying the cache of downloads: {reason}")
    if reason or not known:
        layer.reset()
        known = {"since": now}
    layer.save("cache", metadata={**key, "since": int(known["since"])})
    return layer


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
