"""What a push of a folder would build and apply. Offline: no server, Docker, registry or cluster is asked."""

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitreceive import config
from gitreceive.access import LOCAL_ADMINISTRATOR
from gitreceive.appjson.description import AppJson
from gitreceive.cli import remote, working_copy
from gitreceive.cli.common import as_json, print_json
from gitreceive.config import Settings
from gitreceive.errors import DetectError, GitreceiveError, UsageError
from gitreceive.model import (
    RELEASE_PROCESS,
    WEB_PROCESS,
    ZERO_COMMIT,
    AppName,
    AppSettings,
    Choice,
    Digest,
    Image,
    ImageRef,
    ProcessType,
    Project,
    PushOptions,
    Release,
    SourceEntry,
)
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.lifecycle.detect import Detection
    from gitreceive.lifecycle.folder import Folder

_PLACEHOLDER = Digest("sha256:" + "0" * 64)  # a digest is known only when the image has been built
_PROCFILE = "Procfile"
_TEXT_LIMIT = 1 << 20


@dataclass(frozen=True)
class Plan:
    """``buildpacks`` is the group, or ``dockerfile``; ``verdicts`` as the detect phase reports them, and in words, ``why``: both are
    empty for a Dockerfile.
    """

    buildpacks: tuple[str, ...]
    verdicts: Sequence[dict[str, Any]]
    processes: tuple[ProcessType, ...]
    commands: dict[str, str]  # for people: what each process type runs
    port: int | None = None
    why: tuple[str, ...] = ()
    asked: AppJson = field(default_factory=AppJson)


@click.command("plan")
@click.argument(
    "folder", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="[DIR]"
)
@click.option(
    "-a", "--app", metavar="NAME", help="The app; else that of the git remote, or the folder's name."
)
@click.option("--buildpack", metavar="REF", help="As git push -o buildpack=REF.")
@click.option("--target", type=click.Choice(["kubernetes", "docker"]), help="In place of the setting.")
@as_json
def command(folder: Path, app: str | None, buildpack: str | None, target: str | None, as_json: bool) -> None:
    """What a push of the folder DIR would build and apply, without doing it. It asks nobody: it works offline.

    What would be applied is YAML on standard output; the digest and the release number in it are placeholders. All
    else is said on standard error. Exit 20: no buildpack takes the folder.

    \b
    Examples:
      gitreceive plan
      gitreceive plan tests/apps/flask --target kubernetes > shop.yaml
      gitreceive plan --json | jq .processes
    """
    settings = config.load()
    if target:
        settings = replace(settings, target=target)
    if buildpack is not None:
        buildpack = PushOptions.parse((f"buildpack={buildpack}",)).buildpack
    name = AppName.parse(app) if app else _name(folder)
    log = Voice(lambda chunk: click.echo(chunk, nl=False, err=True))
    plan = _plan(folder, settings, buildpack, log)
    applied = _applied(plan, name, settings)
    if as_json:
        print_json(_facts(plan, name, settings, applied))
        return
    _tell(plan, name, settings, log)
    click.echo(applied, nl=False)


def _plan(folder: Path, settings: Settings, buildpack: str | None, log: Voice) -> Plan:
    """Raises DetectError and SourceError, and BuildError for a Procfile that is not understood."""
    from gitreceive.appjson.reading import LARGEST, parse_app_json
    from gitreceive.appjson.values import FILE
    from gitreceive.buildpacks.choice import read_choice, told_choice
    from gitreceive.buildpacks.dockerfile import takes

    read = partial(working_copy.read, folder)
    asked = parse_app_json(read(FILE, LARGEST) or b"")
    for notice in asked.notices:
        log.warn(notice)
    choice, project = read_choice(read, PushOptions(buildpack=buildpack), (), asked.buildpacks)
    if not choice.group and takes(_entries(folder)):
        return replace(_of_dockerfile(folder), asked=asked)
    for line in (*project.warnings, *told_choice(choice)):
        log.detail(line)
    with tempfile.TemporaryDirectory(prefix="plan-") as name:
        source = working_copy.selected(folder, project, Path(name) / "source")
        plan = _of_buildpacks(source, _Chosen(folder, choice, project, Path(name)), settings, log)
        return replace(plan, asked=asked)


def _of_dockerfile(folder: Path) -> Plan:
    from gitreceive.buildpacks.dockerfile import DOCKERFILE, exposed_port

    declared = _procfile(folder)
    processes = {WEB_PROCESS: ProcessType(WEB_PROCESS), **{process.name: process for process in declared}}
    commands = {WEB_PROCESS: "what the Dockerfile's CMD says"}
    commands |= {process.name: process.command[-1] for process in declared}
    in_order = tuple(processes[name] for name in sorted(processes))
    return Plan(("dockerfile",), (), in_order, commands, exposed_port(_text(folder / DOCKERFILE)))


@dataclass(frozen=True)
class _Chosen:
    """``folder`` is the whole source, ``place`` a folder for what is made of it."""

    folder: Path
    choice: Choice
    project: Project
    place: Path


def _of_buildpacks(folder: Path, chosen: _Chosen, settings: Settings, log: Voice) -> Plan:
    from gitreceive.buildpacks.gather import gather
    from gitreceive.buildpacks.order import read_folder
    from gitreceive.buildpacks.verdicts import told
    from gitreceive.lifecycle.detect import detect_here
    from gitreceive.lifecycle.folder import FolderError

    own = read_folder(config.buildpacks_folder(settings.build))
    copy = partial(working_copy.copy_folder, chosen.folder)
    gathered = gather(chosen.choice, own, chosen.place / "buildpacks", copy, working_copy.not_fetched)
    packs, order = gathered.folder, gathered.order
    env = {**chosen.project.env, **settings.build.env}
    try:
        found = detect_here(packs, order, folder, config.process_environment(), env)
    except FolderError as error:
        raise DetectError(str(error), hint="the buildpacks' order.toml needs a repair") from error
    if not found.group:
        raise _undetected(found, _entries(folder), packs, chosen.choice, log)
    commands = {process.name: process.command[-1] for process in _declared(folder, found)}
    starters = [member.id for member in found.group if _PROCFILE not in member.detects]
    commands = commands or {WEB_PROCESS: f"what {' or '.join(starters)} finds to start"}
    # as a built image has it: each process type is a program there
    processes = tuple(ProcessType(name, (f"/cnb/process/{name}",)) for name in commands)
    return Plan(
        tuple(f"{member.id}@{member.version}" for member in found.group),
        found.as_json()["verdicts"],
        processes,
        commands,
        why=told(found, packs, order),
    )


def _declared(folder: Path, found: "Detection") -> tuple[ProcessType, ...]:
    """The Procfile's process types, where the group has a buildpack that reads it."""
    return _procfile(folder) if any(_PROCFILE in member.detects for member in found.group) else ()


def _undetected(
    found: "Detection", root: Sequence[SourceEntry], packs: "Folder", choice: Choice, log: Voice
) -> GitreceiveError:
    from gitreceive.buildpacks.undetected import explain, explain_choice

    seen = found.as_json()
    names = [f"{entry.name}/" if entry.kind == "directory" else entry.name for entry in root]
    if choice.group:
        explanation = explain_choice(seen["verdicts"], seen["reasons"], choice)
        log.step(f"The buildpacks of {choice.by} do not take this folder")
    else:
        explanation = explain(seen["verdicts"], seen["reasons"], names, packs)
        log.step("No buildpack takes this folder")
    for line in explanation.lines:
        log.detail(line)
    return DetectError(explanation.message, hint=explanation.hint)


def _applied(plan: Plan, name: AppName, settings: Settings) -> str:
    from gitreceive import wiring
    from gitreceive.appjson.beginning import first_settings

    release = Release(
        app=name,
        number=1,
        image=Image(
            ImageRef(f"{settings.registry}/{name}", _PLACEHOLDER), plan.processes, plan.port, plan.buildpacks
        ),
        commit=ZERO_COMMIT,
        config={},
        user=LOCAL_ADMINISTRATOR.name,
        description="plan",
        created_at=datetime.now(UTC),
        settings=first_settings(plan.asked, AppSettings()),
        declared=plan.asked.declared,
    )
    return wiring.target(settings).plan(release)


def _tell(plan: Plan, name: AppName, settings: Settings, log: Voice) -> None:
    from gitreceive.appjson.told import told

    if plan.buildpacks == ("dockerfile",):
        log.step("A Dockerfile is at the root: Docker would build it")
    else:
        log.step(f"These buildpacks would build it: {', '.join(plan.buildpacks)}")
    for line in plan.why:
        log.detail(line)
    log.step("Process types")
    for process, text in plan.commands.items():
        once = " (runs once, before each roll-out)" if process == RELEASE_PROCESS else ""
        log.detail(f"{process}: {text}{once}")
    described = tuple(told(plan.asked))
    if described:
        log.step("app.json asks for")
    for line in described:
        log.detail(line)
    log.step(f"What would be applied for {name}, on {settings.target}")


def _facts(plan: Plan, name: AppName, settings: Settings, applied: str) -> dict[str, object]:
    import yaml

    from gitreceive.appjson.told import facts

    return {
        "app": name,
        "buildpacks": list(plan.buildpacks),
        "verdicts": list(plan.verdicts),
        "why": list(plan.why),
        "processes": plan.commands,
        "app_json": facts(plan.asked),
        "port": plan.port,
        "target": settings.target,
        "manifests": list(yaml.safe_load_all(applied)),
    }


def _name(folder: Path) -> AppName:
    """The git remote's app, else the folder's own name where that can be one. Raises UsageError."""
    with suppress(UsageError):  # a remote that is no gitreceive server's does not matter here
        found = remote.find(folder)
        if found is not None:
            return found.app
    try:
        return AppName.parse(folder.resolve().name)
    except UsageError as error:
        raise UsageError("no app is named", hint="add --app NAME") from error


def _entries(folder: Path) -> tuple[SourceEntry, ...]:
    """What lies at the folder's root, as a source has it: without git's own folder, sorted by name."""
    paths = sorted((path for path in folder.iterdir() if path.name != ".git"), key=lambda path: path.name)
    return tuple(SourceEntry(path.name, _kind(path)) for path in paths)


def _kind(path: Path) -> str:
    if path.is_symlink():
        return "symlink"
    return "directory" if path.is_dir() else "file"


def _procfile(folder: Path) -> tuple[ProcessType, ...]:
    from gitreceive.buildpacks.procfile import parse_procfile

    path = folder / _PROCFILE
    return parse_procfile(path.read_bytes()[:_TEXT_LIMIT]) if path.is_file() else ()


def _text(path: Path) -> str:
    return path.read_bytes()[:_TEXT_LIMIT].decode("utf-8", "replace")
