"""Heroku classic buildpacks, unchanged: their ``bin/detect`` and ``bin/compile`` behind the Cloud Native contract.

``python … detect`` and ``python … build`` are run in the app's folder in the place of a buildpack's own ``bin/detect`` and
``bin/build``, with the environment of those; ``CNB_BUILDPACK_DIR`` is the classic buildpack's folder. See
``docs/heroku-buildpacks.md`` for what of Heroku's contract is kept, and how.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from gitreceive.lifecycle import profile_scripts, toml
from gitreceive.lifecycle.failed_at import watched
from gitreceive.lifecycle.release_yaml import Release, ReleaseError, parse_release

_ID = "classic/"
VERSION = "0"  # classic buildpacks have none
API = (0, 10)
HOME = "/app"  # where Heroku has the app while it runs, and what shebangs of installed programs say

# folders that seldom change with the app: each gets a layer of its own
SLICES = (".heroku", "node_modules", "vendor")

_NOT_TAKEN = 100
# the newest first; a program that was made on one runs with the C library of any newer system
_STACKS = (((2, 39), "heroku-24"), ((2, 35), "heroku-22"))
_REPORT_SECONDS = 60
_START = "import sys; sys.path.insert(0, sys.argv[1]); from gitreceive.lifecycle.classic import main; sys.exit(main())"
_EXPORTED = '. "$1" >&2 && exec /usr/bin/env -0'
_SHELLS_OWN = {"_", "SHLVL", "PWD", "OLDPWD"}


def is_classic(folder: Path) -> bool:
    """Whether the folder holds a classic buildpack: ``bin/compile``, and no ``buildpack.toml`` that says an ``api``."""
    if not (folder / "bin" / "compile").is_file():
        return False
    try:
        return "api" not in toml.read(folder / "buildpack.toml")
    except toml.UnreadableError:
        return True


def identity(folder: Path, root: Path) -> str:
    """The id of a classic buildpack in ``folder`` of the folder of buildpacks ``root``."""
    return f"{_ID}{folder.relative_to(root).as_posix()}"


def place(identity: str) -> str:
    """The folder that a classic buildpack of that id has in a folder of buildpacks."""
    return identity.removeprefix(_ID)


def command(phase: str) -> list[str]:
    """What is run as ``bin/detect`` or ``bin/build``; their arguments follow."""
    package_root = str(Path(__file__).parents[2])
    return [sys.executable, "-ISB", "-c", _START, package_root, phase]


def main() -> int:
    """Exit codes are those of the phase (Buildpack API)."""
    phase = {"detect": detect, "build": build}[sys.argv[2]]
    return phase(Path.cwd(), os.environ)


def detect(app: Path, environ: Mapping[str, str]) -> int:
    """0 where ``bin/detect`` takes the app, 100 where it does not. Its output is passed on."""
    program = Path(environ["CNB_BUILDPACK_DIR"], "bin", "detect")
    try:
        code = subprocess.run(
            [str(program), str(app)], env=_environment(environ), stdin=subprocess.DEVNULL, check=False
        ).returncode
    except OSError as error:
        _say(f"bin/detect cannot be run: {error}")
        return 126
    return code and _NOT_TAKEN


def build(app: Path, environ: Mapping[str, str]) -> int:
    """Compile, report, release, and what of them the next buildpack and the image must know, as layers."""
    layers = Path(environ["CNB_LAYERS_DIR"])
    env_dir = Path(environ["CNB_PLATFORM_DIR"], "env")
    env = _environment(environ)
    _mirror(environ, env)
    buildpack = _writable_copy(Path(environ["CNB_BUILDPACK_DIR"]))
    cache = _layer(layers, "cache", cache=True)
    arguments = [str(app), str(cache), str(env_dir)]
    program = buildpack / "bin" / "compile"
    try:
        code = _run([str(program), *arguments], app, watched(program, env, Path(environ["CNB_WORK_DIR"])))
        _report(buildpack, arguments, app, env, tell=code != 0)
        if code:
            return code
        release = _release(buildpack, app, env)
        exported = _exported(buildpack / "export", app, env)
    except ReleaseError as error:
        _say(f"what bin/release prints cannot be used: {error}")
        return 1
    except OSError as error:
        _say(f"{error}")
        return 126
    _write_exported(layers, exported)
    _write_profile(layers, release)
    _write_launch(layers, release)
    return 0


def drop_earlier(processes: MutableMapping[str, Mapping[str, Any]]) -> None:
    """Of several classic buildpacks the last one's ``bin/release`` counts: forget the process types of those before it."""
    for kind in [kind for kind, process in processes.items() if process["buildpack"].startswith("classic/")]:
        del processes[kind]


def stack(libc: str) -> str:
    """The newest Heroku stack whose programs run here, by ``glibc X.Y`` as confstr says it; the oldest where none does."""
    name, _, version = libc.partition(" ")
    parts = version.split(".")
    if name == "glibc" and len(parts) >= 2 and all(part.isdigit() for part in parts[:2]):
        here = (int(parts[0]), int(parts[1]))
        for needed, stack_name in _STACKS:
            if here >= needed:
                return stack_name
    return _STACKS[-1][1]


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    env = {name: value for name, value in environ.items() if not name.startswith("CNB_")}
    env.setdefault("STACK", stack(os.confstr("CS_GNU_LIBC_VERSION") or ""))
    if os.access(HOME, os.W_OK):
        env["HOME"] = HOME
    return env


def _mirror(environ: Mapping[str, str], env: MutableMapping[str, str]) -> None:
    """Let curl read the build secret ``curlrc`` as its own settings: where downloads really come from."""
    platform = Path(environ["CNB_PLATFORM_DIR"])
    settings = platform / "secrets" / "curlrc"
    if settings.is_file() and "CURL_HOME" not in env:
        home = platform / "curl"
        home.mkdir(exist_ok=True)
        link = home / ".curlrc"
        if not link.is_symlink():
            link.symlink_to(settings)
        env["CURL_HOME"] = str(home)


def _writable_copy(folder: Path) -> Path:
    """Buildpacks write ``export`` beside their programs. The copy stays: what is exported may lead into it."""
    copy = Path(tempfile.mkdtemp(prefix="buildpack-")) / folder.name
    shutil.copytree(folder, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    (copy / "export").unlink(missing_ok=True)
    return copy


def _run(arguments: Sequence[str], app: Path, env: Mapping[str, str]) -> int:
    code = subprocess.run(arguments, cwd=app, env=env, stdin=subprocess.DEVNULL, check=False).returncode
    # as a shell tells of signals
    return code if code >= 0 else 128 - code


def _report(
    buildpack: Path, arguments: Sequence[str], app: Path, env: Mapping[str, str], *, tell: bool
) -> None:
    """What it says is for the buildpack's authors; people see it where the build failed. Its own failure does no harm."""
    program = buildpack / "bin" / "report"
    if not program.is_file():
        return
    try:
        said = subprocess.run(
            [str(program), *arguments],
            cwd=app,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=_REPORT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _say(f"bin/report is left out: {error}")
        return
    if said.returncode:
        _say(f"bin/report failed with exit code {said.returncode}, which does no harm")
    elif tell and said.stdout.strip():
        _say("bin/report says:")
        _say(said.stdout.decode(errors="replace").rstrip())


def _release(buildpack: Path, app: Path, env: Mapping[str, str]) -> Release:
    program = buildpack / "bin" / "release"
    if not program.is_file():
        return Release()
    said = subprocess.run(
        [str(program), str(app)],
        cwd=app,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    if said.returncode:
        raise ReleaseError(f"it failed with exit code {said.returncode}")
    try:
        release = parse_release(said.stdout.decode())
    except UnicodeDecodeError as error:
        raise ReleaseError(str(error)) from error
    if release.addons:
        _say(f"the buildpack asks for add-ons, of which there are none here: {', '.join(release.addons)}")
    return release


def _exported(file: Path, app: Path, env: Mapping[str, str]) -> dict[str, str]:
    """What the buildpack's ``export`` changes in the environment, for the buildpacks that follow."""
    if not file.is_file():
        return {}
    said = subprocess.run(
        ["bash", "-c", _EXPORTED, "bash", str(file)],
        cwd=app,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    if said.returncode:
        raise OSError(f"its export file failed with exit code {said.returncode}")
    pairs = (part.partition("=") for part in os.fsdecode(said.stdout).split("\0") if part)
    return {name: value for name, _, value in pairs if name not in _SHELLS_OWN and env.get(name) != value}


def _write_exported(layers: Path, exported: Mapping[str, str]) -> None:
    if exported:
        folder = _layer(layers, "export", build=True)
        _write_variables(folder / "env.build", exported, "override")


def _write_profile(layers: Path, release: Release) -> None:
    folder = _layer(layers, "profile", launch=True)
    _write_variables(folder / "env.launch", {"HOME": HOME}, "override")
    _write_variables(folder / "env.launch", release.config_vars, "default")
    program = folder / "exec.d" / "profile"
    program.parent.mkdir(exist_ok=True)
    source = Path(profile_scripts.__file__).read_text(encoding="utf-8")
    program.write_text(f"#!/usr/bin/python3 -ISB\n{source}", encoding="utf-8")
    program.chmod(0o755)


def _write_launch(layers: Path, release: Release) -> None:
    processes = [
        # bash, so that variables of the profile scripts are put in; it becomes a single command, and hears its signals
        {"type": kind, "command": ["bash", "-c", line], "default": kind == "web"}
        for kind, line in release.processes.items()
    ]
    document = {"processes": processes, "slices": [{"paths": [name]} for name in SLICES]}
    (layers / "launch.toml").write_text(toml.dumps(document), encoding="utf-8")


def _write_variables(folder: Path, values: Mapping[str, str], suffix: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        with open(folder / f"{name}.{suffix}", "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(value)


def _layer(layers: Path, name: str, **types: bool) -> Path:
    folder = layers / name
    folder.mkdir(exist_ok=True)
    (layers / f"{name}.toml").write_text(toml.dumps({"types": types}), encoding="utf-8")
    return folder


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
