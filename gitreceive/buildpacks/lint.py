"""What can be told to be wrong with a buildpack's folder without running it. Pure but for reading the folder."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gitreceive.buildpacks import programs
from gitreceive.buildpacks.finding import ERROR, WARNING, Finding
from gitreceive.lifecycle import classic, toml
from gitreceive.lifecycle.folder import DESCRIPTION, Buildpack, FolderError, read_buildpack
from gitreceive.lifecycle.shape import Misfit, misfits

_PROGRAMS = ("bin/detect", "bin/build")
_CLASSIC, _CLASSIC_OTHERS = ("bin/detect", "bin/compile"), ("bin/release", "bin/report")
_STACKS_ARE_OLD = (0, 10)

_AT_LINE = re.compile(r"\(at line (\d+), column (\d+)\)")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", re.ASCII)


def lint(folder: Path) -> tuple[Finding, ...]:
    """Everything that is found, errors first. The folder is a Cloud Native buildpack, or one of Heroku's classic ones."""
    findings = _classic(folder) if classic.is_classic(folder) else _cloud_native(folder)
    return tuple(sorted(findings, key=lambda one: one.level != ERROR))


def _classic(folder: Path) -> Iterator[Finding]:
    """A ``buildpack.toml`` without an API is the publisher's own affair."""
    yield from _links(folder)
    yield from programs.sound(folder, _CLASSIC, _CLASSIC_OTHERS)


def _cloud_native(folder: Path) -> Iterator[Finding]:
    try:
        document = toml.read(folder / DESCRIPTION)
    except toml.UnreadableError as error:
        at = _AT_LINE.search(str(error))
        yield Finding(ERROR, DESCRIPTION, int(at[1]) if at else 0, f"it cannot be read: {error}")
        return
    text = (folder / DESCRIPTION).read_text(encoding="utf-8")
    wrong = [_misfit(misfit, text) for misfit in misfits(document)]
    yield from wrong
    yield from _links(folder)
    composite = isinstance(document.get("order"), list) and bool(document["order"])
    if not composite:
        yield from programs.sound(folder, _PROGRAMS)
    if any(finding.level == ERROR for finding in wrong):
        return
    try:
        buildpack = read_buildpack(folder / DESCRIPTION)
    except FolderError as error:
        message = str(error).removeprefix(f"{folder / DESCRIPTION}: ")
        if not message.startswith(f"{folder} has no "):  # which is said above
            yield Finding(ERROR, DESCRIPTION, 0, message)
        return
    yield from _head(buildpack, document, text)
    yield from _targets(buildpack, document, text)
    yield from _composite(buildpack, document) if composite else _ours(folder, buildpack)


def _misfit(misfit: Misfit, text: str) -> Finding:
    line = _line(text, misfit.key)
    if misfit.wanted:
        return Finding(ERROR, DESCRIPTION, line, str(misfit))
    near = difflib.get_close_matches(misfit.key, misfit.known, n=1)
    meant = f"; is {near[0]!r} meant?" if near else ""
    where = f"[{misfit.table}]" if misfit.table else "the top"
    message = f"{misfit.key!r} is no key of {where}, so it does nothing{meant}"
    return Finding(WARNING, DESCRIPTION, line, message)


def _links(folder: Path) -> Iterator[Finding]:
    """Only what lies inside the folder comes into a build."""
    top = folder.resolve()
    for current, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(current, name)
            if path.is_symlink() and not path.resolve().is_relative_to(top):
                yield Finding(
                    ERROR,
                    path.relative_to(folder).as_posix(),
                    0,
                    f"the link leads out of the buildpack, to {path.readlink()}",
                )


def _head(buildpack: Buildpack, document: Mapping[str, Any], text: str) -> Iterator[Finding]:
    if not _VERSION.fullmatch(buildpack.version):
        yield Finding(
            ERROR,
            DESCRIPTION,
            _line(text, "version"),
            f"version {buildpack.version!r} is not of the form X.Y.Z",
        )
    if not document["buildpack"].get("name"):
        yield Finding(WARNING, DESCRIPTION, 0, "[buildpack] has no name for people")


def _targets(buildpack: Buildpack, document: Mapping[str, Any], text: str) -> Iterator[Finding]:
    systems = {entry.get("os") for entry in document.get("targets", ())}
    if systems and not systems & {"linux", None}:
        yield Finding(
            WARNING, DESCRIPTION, _line(text, "os"), "no [[targets]] is for linux, and builds happen on Linux"
        )
    if document.get("stacks"):
        line = _line(text, "stacks")
        if buildpack.order:
            yield Finding(ERROR, DESCRIPTION, line, "[[stacks]] cannot be beside [[order]]")
        elif buildpack.api >= _STACKS_ARE_OLD and not systems:
            yield Finding(
                WARNING,
                DESCRIPTION,
                line,
                "[[stacks]] counts no more since Buildpack API 0.10: say [[targets]]",
            )


def _composite(buildpack: Buildpack, document: Mapping[str, Any]) -> Iterator[Finding]:
    for name in _PROGRAMS:
        if (buildpack.path / name).is_file():
            yield Finding(
                WARNING, name, 0, "it is never run: the buildpack stands for those of its [[order]]"
            )
    members = [member for group in buildpack.order for member in group]
    for member in dict.fromkeys(members):
        if member.id == buildpack.id:
            yield Finding(ERROR, DESCRIPTION, 0, f"buildpack {member.id} contains itself")
        elif not member.version:
            yield Finding(WARNING, DESCRIPTION, 0, f"{member.id} in [[order.group]] has no version")
    for key in ("detects", "inputs"):
        if key in document.get("metadata", {}).get("gitreceive", {}):
            message = f"metadata.gitreceive.{key} does nothing here: each buildpack of [[order]] says its own"
            yield Finding(WARNING, DESCRIPTION, 0, message)


def _ours(folder: Path, buildpack: Buildpack) -> Iterator[Finding]:
    if not buildpack.detects:
        message = "metadata.gitreceive.detects is missing: misspellings of what it looks for get no hint"
        yield Finding(WARNING, DESCRIPTION, 0, message)
    if buildpack.inputs is None:
        message = "metadata.gitreceive.inputs is missing: every push builds, even where nothing has changed"
        yield Finding(WARNING, DESCRIPTION, 0, message)
    for key, globs in (("detects", buildpack.detects), ("inputs", buildpack.inputs or ())):
        for glob in globs:
            if ".." in glob.split("/"):
                message = (
                    f"metadata.gitreceive.{key}: {glob!r} leads out of the app's folder, so nothing fits it"
                )
                yield Finding(WARNING, DESCRIPTION, 0, message)
    yield from programs.undeclared(folder, "bin/detect", "detects", buildpack.detects)
    yield from programs.undeclared(folder, "bin/build", "inputs", buildpack.inputs)


def _line(text: str, key: str) -> int:
    """The line where the key is given a value; 0 where that cannot be told."""
    wanted = re.compile(rf"\s*\[*\s*(?:[\w.-]+\.)?[\"']?{re.escape(key)}[\"']?\s*[=\].]")
    return next((at for at, line in enumerate(text.splitlines(), 1) if wanted.match(line)), 0)
