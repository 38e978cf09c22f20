"""The Cloud Native Buildpacks contract, as a buildpack sees it (Buildpack API 0.10).

Every bundled buildpack carries this file, byte for byte the same, because a buildpack has to be a whole on its own;
``tests/bundled/test_folders.py`` compares the copies.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PASS, FAIL, ERROR = 0, 100, 1


class Refusal(Exception):
    """The app cannot be built as it is: why, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Verdict:
    """What ``bin/detect`` found. ``reason`` is one line, for people.

    ``provides`` and ``requires`` each name a dependency of the build plan, or nothing. They are preferred, not insisted on:
    a group in which they do not fit may still have the buildpack without them.
    """

    passed: bool
    reason: str
    provides: str = ""
    requires: str = ""


@dataclass(frozen=True)
class Process:
    """One process type. ``command`` is executed as it is: no shell."""

    type: str
    command: tuple[str, ...]
    default: bool = False


@dataclass(frozen=True)
class Layer:
    """A folder under the layers folder, and the TOML file next to it."""

    path: Path

    @property
    def toml(self) -> Path:
        return self.path.with_name(self.path.name + ".toml")

    def metadata(self) -> dict[str, Any]:
        """What the last build recorded; empty when there was none, or when the content did not come back with it."""
        if not self.path.is_dir() or not self.toml.is_file():
            return {}
        try:
            metadata = tomllib.loads(self.toml.read_text(encoding="utf-8")).get("metadata", {})
        except (tomllib.TOMLDecodeError, UnicodeDecodeError):
            return {}  # it does not say what the layer holds, so the layer is made again
        return metadata if isinstance(metadata, dict) else {}

    def reset(self) -> None:
        """Leave an empty folder, and no claim about its content."""
        self.toml.unlink(missing_ok=True)
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(parents=True)

    def save(self, *types: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Declare the layer for ``launch``, ``build`` or ``cache``; needed at every build, restored or not."""
        table = {"types": {name: name in types for name in ("launch", "build", "cache")}}
        self.toml.write_text(to_toml({**table, "metadata": dict(metadata or {})}), encoding="utf-8")

    def set_env(self, variables: Mapping[str, str], when: str = "") -> None:
        """Write environment files, such as ``{"PORT.default": "8080"}``; ``when`` is empty, ``build`` or ``launch``."""
        folder = self.path / (f"env.{when}" if when else "env")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, value in variables.items():
            (folder / name).write_text(value, encoding="utf-8")


@dataclass(frozen=True)
class Context:
    """Where a build happens. ``env`` is the environment together with what the platform's ``env`` folder holds.

    ``plan`` names what other buildpacks of the group require of this one.
    """

    app: Path
    layers: Path
    platform: Path
    buildpack: Path
    env: Mapping[str, str] = field(repr=False)
    plan: frozenset[str] = frozenset()

    def layer(self, name: str) -> Layer:
        return Layer(self.layers / name)

    def secret(self, name: str) -> Path | None:
        """The file of a build-only secret, which is never to be copied, printed or put in a layer."""
        path = self.platform / "secrets" / name
        return path if path.is_file() else None

    def write_launch(self, processes: Sequence[Process]) -> None:
        """Record the process types, in order."""
        tables = [
            {"type": p.type, "command": list(p.command), **({"default": True} if p.default else {})}
            for p in processes
        ]
        text = "\n".join("[[processes]]\n" + to_toml(table) for table in tables)
        (self.layers / "launch.toml").write_text(text, encoding="utf-8")

    def write_inputs(self, globs: Sequence[str]) -> None:
        """Record on which of the app's files this result depends: as long as they are the same, so is the result.

        It narrows or widens ``metadata.gitreceive.inputs`` of ``buildpack.toml`` for this app. ``**`` is everything.
        """
        table = {"metadata": {"gitreceive": {"inputs": sorted(set(globs))}}}
        (self.layers / "store.toml").write_text(to_toml(table), encoding="utf-8")


def detect(decide: Callable[[Path], Verdict]) -> int:
    """Run ``decide`` on the app's folder and answer as ``bin/detect`` has to. The reason goes to stdout."""
    try:
        verdict = decide(Path.cwd())
        if verdict.passed and (verdict.provides or verdict.requires):
            _build_plan(sys.argv[1:], os.environ).write_text(_preferred(verdict), encoding="utf-8")
    except Refusal as refusal:
        return _refuse(refusal)
    say(verdict.reason)
    return PASS if verdict.passed else FAIL


def build(make: Callable[[Context], None]) -> int:
    """Run ``make`` with what ``bin/build`` was given, and answer as it has to."""
    try:
        make(_context(sys.argv[1:], os.environ))
    except Refusal as refusal:
        return _refuse(refusal)
    return PASS


def say(line: str) -> None:
    """Print one line of the build's log, at once."""
    print(line, flush=True)


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], quiet: Callable[[str], bool] | None = None
) -> tuple[int, list[str]]:
    """Run a program with its output in the log as it comes. Return its exit status and its last 400 lines.

    Lines for which ``quiet`` is true are kept but not shown.
    """
    with subprocess.Popen(
        list(command),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        lines: list[str] = []
        for line in process.stdout or ():
            lines = [*lines[-399:], line.rstrip()]
            if not (quiet and quiet(lines[-1])):
                say(lines[-1])
        return process.wait(), lines


def to_toml(table: Mapping[str, Any]) -> str:
    """A table of strings, booleans, whole numbers, lists of strings and such tables, as TOML."""
    return "".join(_table_lines(table, ()))


def _table_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"[{'.'.join(map(_key, path))}]\n"] if path and plain else []
    lines += [f"{_key(key)} = {_value(value)}\n" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += _table_lines(value, (*path, key))
    return lines


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if not isinstance(value, str | int):
        raise TypeError(f"{value!r} has no place in TOML here")
    # a JSON string is a TOML basic string, but for the one control character that JSON leaves alone
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _build_plan(argv: Sequence[str], environ: Mapping[str, str]) -> Path:
    given = list(argv) + [""] * 2
    path = environ.get("CNB_BUILD_PLAN_PATH") or given[1]
    if not path:
        raise Refusal("this program is run by a buildpack lifecycle", "usage: detect PLATFORM PLAN")
    return Path(path)


def _preferred(verdict: Verdict) -> str:
    """A build plan (Buildpack spec, "Build Plan (TOML)") with an empty alternative."""
    named = {"provides": verdict.provides, "requires": verdict.requires}
    return (
        "".join(f"[[{key}]]\n{to_toml({'name': name})}" for key, name in named.items() if name) + "[[or]]\n"
    )


def _context(argv: Sequence[str], environ: Mapping[str, str]) -> Context:
    given = list(argv) + [""] * 3
    layers = environ.get("CNB_LAYERS_DIR") or given[0]
    platform = environ.get("CNB_PLATFORM_DIR") or given[1]
    if not layers or not platform:
        raise Refusal("this program is run by a buildpack lifecycle", "usage: build LAYERS PLATFORM PLAN")
    return Context(
        app=Path.cwd(),
        layers=Path(layers),
        platform=Path(platform),
        buildpack=Path(environ.get("CNB_BUILDPACK_DIR") or Path(sys.argv[0]).resolve().parents[1]),
        env={**environ, **_platform_variables(Path(platform) / "env")},
        plan=_required(environ.get("CNB_BP_PLAN_PATH") or given[2]),
    )


def _required(plan: str) -> frozenset[str]:
    if not plan or not Path(plan).is_file():
        return frozenset()
    entries = tomllib.loads(Path(plan).read_text(encoding="utf-8")).get("entries", [])
    return frozenset(str(entry["name"]) for entry in entries)


def _platform_variables(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        return {}
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.is_file()}


def _refuse(refusal: Refusal) -> int:
    say(f"error: {refusal}")
    for line in refusal.hint.splitlines():
        say(f"hint: {line}")
    return ERROR
