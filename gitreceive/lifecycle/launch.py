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
_EXEC_ENV = "production"

# what the image tells the launcher is not for the process (Platform API, "Launch Environment")
_OWN_VARIABLES = (
    "CNB_APP_DIR",
    "CNB_LAYERS_DIR",
    "CNB_PROCESS_TYPE",
    "CNB_PLATFORM_API",
    "CNB_DEPRECATION_MODE",
    "CNB_NO_COLOR",
)


class LaunchError(Exception):
    """A process that cannot be started."""


def main(argv: Sequence[str], environ: Mapping[str, str], metadata_path: str = METADATA) -> NoReturn:
    """Become the process that ``argv[0]`` names, or the command that follows where it is the launcher itself."""
    try:
        with open(metadata_path, encoding="utf-8") as file:
            metadata = json.load(file)
        env = dict(environ)
        process = choose(metadata, argv, env.get("CNB_EXEC_ENV") or _EXEC_ENV)
        os.chdir(metadata["app"])
        apply_layers(env, metadata, process["type"])
        command = command_line(process, metadata, env)
        if process["direct"]:
            os.chdir(working_dir(process, metadata))
        os.execvpe(command[0], command, env)  # noqa: S606 - becoming the process is what a launcher is for
    except (OSError, LaunchError, ValueError, KeyError) as error:
        sys.stderr.write(f"launcher: {error}\n")
        sys.exit(_FAILED)


def choose(metadata: Mapping[str, Any], argv: Sequence[str], exec_env: str = _EXEC_ENV) -> Mapping[str, Any]:
    """The process with the arguments of ``argv``: in place of its own, or behind them for those that buildpacks of API 0.8
    and older made. Raises LaunchError.
    """
    name, rest = os.path.basename(argv[0]), list(argv[1:])
    processes = {process["type"]: process for process in metadata["processes"]}
    if name == "launcher" and name not in processes:
        if rest[:1] == ["--"] and rest[1:]:
            return {"type": "", "command": rest[1:], "args": [], "direct": True}
        if rest and rest != ["--"]:
            return {"type": "", "command": rest[:1], "args": rest[1:], "direct": False}
        name = metadata.get("default", "")
        if not name:
            raise LaunchError(f"no process is the default; there are: {', '.join(processes) or 'none'}")
    if name not in processes:
        raise LaunchError(f"there is no process type {name!r}; there are: {', '.join(processes) or 'none'}")
    process = processes[name]
    only_in = process.get("exec-env", ["*"])
    if exec_env not in only_in and "*" not in only_in:
        raise LaunchError(f"process {name!r} is for {', '.join(only_in)} only, and this is {exec_env}")
    own = process["args"]
    return {**process, "args": (rest or own) if process.get("replaces-args", True) else [*own, *rest]}


def apply_layers(env: MutableMapping[str, str], metadata: Mapping[str, Any], process: str) -> None:
    """Change ``env`` as the launch layers say, in the order in which they were built: first all variables, then all programs
    of ``exec.d``, then those for this process type.
    """
    exec_env = env.get("CNB_EXEC_ENV") or _EXEC_ENV
    for name in _OWN_VARIABLES:
        env.pop(name, None)
    path = env.get("PATH", "").split(":")
    env["PATH"] = ":".join(part for part in path if part not in {"/cnb/process", "/cnb/lifecycle"})
    layers = _layers(metadata, exec_env)
    for layer in layers:
        folders = ["env", "env.launch"] + ([f"env.launch/{process}"] if process else [])
        apply_layer(env, layer, folders, LAUNCH_PATHS)
    for folder in _for_process("exec.d", process):
        for layer in layers:
            _run_programs(env, os.path.join(layer, folder))


def command_line(
    process: Mapping[str, Any], metadata: Mapping[str, Any], env: Mapping[str, str] | None = None
) -> list[str]:
    """Direct commands as they are; others through bash, after the layers' and the app's profile scripts, which run in the
    app's folder. Of a command with arguments, bash expands the variables in each.
    """
    if process["direct"]:
        return [*process["command"], *process["args"]]
    profiles = [
        os.path.join(layer, folder, name)
        for folder in _for_process("profile.d", process["type"])
        for layer in _layers(metadata, (env or {}).get("CNB_EXEC_ENV") or _EXEC_ENV)
        for name in _files(os.path.join(layer, folder))
    ]
    profiles.append(os.path.join(metadata["app"], ".profile"))
    start = "".join(f"[ ! -f {_quote(path)} ] || . {_quote(path)}\n" for path in profiles)
    start += f"cd {_quote(working_dir(process, metadata))} || exit {_FAILED}\n"
    if process["args"]:
        words = [*process["command"], *process["args"]]
        return ["bash", "-c", f"{start}exec {' '.join(map(_expanded, words))}", "bash"]
    return ["bash", "-c", f"{start}exec bash -c {_quote(process['command'][0])}", "bash"]


def working_dir(process: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    return os.path.join(metadata["app"], process.get("working-dir") or "")


def _layers(metadata: Mapping[str, Any], exec_env: str) -> list[str]:
    """Those that are for this execution environment."""
    only_in = metadata.get("only-in", {})
    return [
        layer
        for layer in metadata["layers"]
        if layer not in only_in or exec_env in only_in[layer] or "*" in only_in[layer]
    ]


def _for_process(folder: str, process: str) -> list[str]:
    return [folder, f"{folder}/{process}"] if process else [folder]


def _run_programs(env: MutableMapping[str, str], folder: str) -> None:
    """Each program of an ``exec.d`` writes TOML, names to strings, to its file descriptor 3."""
    for name in _files(folder):
        import tomllib  # few layers have such programs, and the import is slow

        read, write = os.pipe()
        path = os.path.join(folder, name)
        try:
            program = os.posix_spawn(path, [path], dict(env), file_actions=[(os.POSIX_SPAWN_DUP2, write, 3)])
        finally:
            os.close(write)
        with open(read, "rb") as file:
            output = file.read()
        code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
        if code:
            raise LaunchError(f"{path} failed with exit code {code}")
        try:
            document = tomllib.loads(output.decode())
        except ValueError as error:
            raise LaunchError(f"{path} wrote no TOML to its file descriptor 3: {error}") from error
        wrong = [key for key, value in document.items() if not isinstance(value, str)]
        if wrong:
            raise LaunchError(f"{path}: {wrong[0]} must be a string")
        env.update(document)


def _files(folder: str) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return []


def _expanded(word: str) -> str:
    """The word for bash with its variables expanded and nothing split or looked for among files."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"
