import subprocess
from pathlib import Path
from typing import Any

import pytest

from gitreceive.lifecycle.launch import LaunchError, apply_layers, choose, command_line

WEB = {"type": "web", "command": ["serve"], "args": ["--fast"], "direct": True, "working-dir": ""}


def _metadata(*layers: Path, app: str = "/workspace", **more: Any) -> dict[str, Any]:
    return {
        "app": app,
        "layers": [str(layer) for layer in layers],
        "processes": [WEB],
        "default": "web",
        **more,
    }


def test_a_process_is_chosen_by_the_name_it_is_called_by() -> None:
    assert choose(_metadata(), ["/cnb/process/web"])["args"] == ["--fast"]
    assert choose(_metadata(), ["/cnb/process/web", "--slow"])["args"] == ["--slow"]
    assert choose(_metadata(), ["launcher"])["command"] == ["serve"]


def test_the_launcher_runs_any_command() -> None:
    direct = choose(_metadata(), ["/cnb/lifecycle/launcher", "--", "ls", "-l"])
    assert command_line(direct, _metadata()) == ["ls", "-l"]


def test_an_unknown_process_lists_those_there_are() -> None:
    with pytest.raises(LaunchError, match="no process type 'worker'; there are: web"):
        choose(_metadata(), ["/cnb/process/worker"])


def test_layers_give_their_environment_that_of_the_process_last(tmp_path: Path) -> None:
    for folder, content in (("env", "all"), ("env.launch", "launch"), ("env.launch/web", "web")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "WHO").write_text(content)
    (tmp_path / "bin").mkdir()
    env = {"PATH": "/cnb/process:/cnb/lifecycle:/usr/bin"}
    apply_layers(env, _metadata(tmp_path), "web")
    assert env == {"PATH": f"{tmp_path}/bin:/usr/bin", "WHO": "web"}
    apply_layers(env, _metadata(tmp_path), "worker")
    assert env["WHO"] == "launch"


def test_programs_of_exec_d_set_variables_through_descriptor_3(tmp_path: Path) -> None:
    (tmp_path / "exec.d").mkdir()
    program = tmp_path / "exec.d" / "count"
    program.write_text("#!/bin/sh\necho talk >&2; echo \"CORES = '$BASE'\" >&3\n")
    program.chmod(0o755)
    env = {"PATH": "/usr/bin:/bin", "BASE": "8"}
    apply_layers(env, _metadata(tmp_path), "web")
    assert env["CORES"] == "8"


def test_a_program_of_exec_d_that_fails_stops_the_launch(tmp_path: Path) -> None:
    (tmp_path / "exec.d").mkdir()
    program = tmp_path / "exec.d" / "count"
    program.write_text("#!/bin/sh\nexit 4\n")
    program.chmod(0o755)
    with pytest.raises(LaunchError, match=r"exec\.d/count failed with exit code 4"):
        apply_layers({"PATH": "/bin"}, _metadata(tmp_path), "web")


@pytest.mark.parametrize("args", [[], ["more"]])
def test_shell_commands_see_what_profiles_export(args: list[str], tmp_path: Path) -> None:
    (tmp_path / "layer" / "profile.d").mkdir(parents=True)
    (tmp_path / "layer" / "profile.d" / "it's.sh").write_text("export A=layer\n")
    (tmp_path / ".profile").write_text("export B=$A-app\n")
    command = "sh -c 'echo $B'" if not args else "printenv"
    process = {**WEB, "command": [command], "args": ["B"] if args else [], "direct": False}
    line = command_line(process, _metadata(tmp_path / "layer", app=str(tmp_path)))
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "layer-app\n"
