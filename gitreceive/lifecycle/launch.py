"""The launcher inside app images: gives a process the environment that its layers ask for, and becomes it.

It starts with every container, so it imports little and reads one small file.
"""

import json
import os
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, NoReturn

from gitreceive.lifecycle.env import LAUNCH_PATHS, apply_layer

METADATA = "/layers/config/metadata.json"
# Platform API: 80 to 89 is the launcher's
_FAILED = 82

_SHELL = """
for file in "${GITRECEIVE_PROFILES[@]}"; do [ ! -f "$file" ] || . "$file"; done
unset GITRECEIVE_PROFILES file
"""


class LaunchError(Exception):
    """A process that cannot be started."""


def main(argv: Sequence[str], environ: Mapping[str, str], metadata_path: str = METADATA) -> NoReturn:
    """Become the process that ``argv[0]`` names, or the command that follows where it is the launcher itself."""
    try:
        with open(metadata_path, encoding="utf-8") as file:
            metadata = json.load(file)
        env = dict(environ)
        process = choose(metadata, argv)
        apply_layers(env, metadata, process["type"])
        command = command_line(process, metadata, env)
        os.chdir(process.get("working-dir") or metadata["app"])
        os.execvpe(command[0], command, env)  # noqa: S606 - becoming the process is what a launcher is for
    except (OSError, LaunchError, ValueError, KeyError) as error:
        sys.stderr.write(f"launcher: {error}\n")
        sys.exit(_FAILED)


def choose(metadata: Mapping[str, Any], argv: Sequence[str]) -> Mapping[str, Any]:
    """The process, its ``args`` replaced by those of ``argv`` where there are any. Raises LaunchError."""
    name, rest = os.path.basename(argv[0]), list(argv[1:])
    processes = {process["type"]: process for process in metadata["processes"]}
    if name == "launcher":
        if rest[:1] == ["--"]:
            return {"type": "", "command": rest[1:], "args": [], "direct": True}
        if rest:
            return {"type": "", "command": rest[:1], "args": rest[1:], "direct": False}
        name = metadata.get("default", "")
    if name not in processes:
        raise LaunchError(f"there is no process type {name!r}; there are: {', '.join(processes) or 'none'}")
    return {**processes[name], "args": rest or processes[name]["args"]}


def apply_layers(env: MutableMapping[str, str], metadata: Mapping[str, Any], process: str) -> None:
    """Change ``env`` as the launch layers say, in the order in which they were built."""
    path = env.get("PATH", "").split(":")
    env["PATH"] = ":".join(part for part in path if part not in {"/cnb/process", "/cnb/lifecycle"})
    for layer in metadata["layers"]:
        folders = ["env", "env.launch"] + ([f"env.launch/{process}"] if process else [])
        apply_layer(env, layer, folders, LAUNCH_PATHS)
    for layer in metadata["layers"]:
        for folder in ("exec.d", f"exec.d/{process}"):
            _run_programs(env, os.path.join(layer, folder))


def command_line(
    process: Mapping[str, Any], metadata: Mapping[str, Any], env: MutableMapping[str, str]
) -> list[str]:
    """Direct commands as they are; others through bash, after the layers' and the app's profile scripts."""
    if process["direct"]:
        return [*process["command"], *process["args"]]
    profiles = [
        os.path.join(folder, name)
        for layer in metadata["layers"]
        for folder in (f"{layer}/profile.d", f"{layer}/profile.d/{process['type']}")
        for name in _files(folder)
    ]
    profiles.append(os.path.join(metadata["app"], ".profile"))
    quoted = " ".join(_quote(path) for path in profiles)
    start = f"GITRECEIVE_PROFILES=({quoted})\n{_SHELL}"
    if process["args"]:
        return ["bash", "-c", f'{start}exec "$@"', "bash", *process["command"], *process["args"]]
    return ["bash", "-c", f"{start}{process['command'][0]}", "bash"]


def _run_programs(env: MutableMapping[str, str], folder: str) -> None:
    """Each program of an ``exec.d`` writes TOML, names to strings, to its file descriptor 3."""
    for name in _files(folder):
        import tomllib  # few layers have such programs, and the import is slow

        read, write = os.pipe()
        path = os.path.join(folder, name)
        program = os.posix_spawn(path, [path], dict(env), file_actions=[(os.POSIX_SPAWN_DUP2, write, 3)])
        os.close(write)
        with open(read, "rb") as file:
            document = tomllib.loads(file.read().decode())
        code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
        if code:
            raise LaunchError(f"{path} failed with exit code {code}")
        env.update({key: str(value) for key, value in document.items()})


def _files(folder: str) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return []


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"
