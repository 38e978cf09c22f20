"""Where scripts fail, and that they do not notice that it is looked at."""

import os
import subprocess
from pathlib import Path

import pytest

from gitreceive.lifecycle.failed_at import failed_at, watched

_SAYS_ALL = """#!/usr/bin/env bash
echo "$- $? $#:$*"
false
echo "$? ${PIPESTATUS[*]} $_"
true | false | true
echo "${PIPESTATUS[*]}"
env | sort
export -p
set -o
bash -c 'trap; env | sort; set -e; false' || echo "inner $?"
(exit 5) || echo "outer $?"
set -x
false
"""


def _run(script: str, folder: Path) -> tuple[int, str, str]:
    """Exit code, output, and where it failed."""
    program = folder / "bin" / "build"
    program.parent.mkdir(exist_ok=True)
    program.write_text(script)
    program.chmod(0o755)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    code, output = _plain(program, watched(program, {"PATH": os.environ["PATH"]}, work))
    return code, output, failed_at(program, work)


def _plain(program: Path, env: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [program, "a", "b"],
        cwd=program.parents[1],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("script", "where"),
    [
        ("set -e\necho a\ncp none there\n", "4: cp none there"),
        ("set -eo pipefail\necho a |\n  grep b\n", "4: grep b"),
        ("set -e\nx=$(cat none)\n", "3: x=$(cat none)"),
        ("set -e\n(\n  cd /\n  cat none\n)\n", "6: ( cd /; cat none )"),
        ("set -e\nf() {\n  cat none\n}\ng() { f; }\n\ng\n", "8: g"),
        ("set -e\n. ./lib.sh\nfrom_lib\n", "4: from_lib"),
        ("fail() { echo $1; exit 3; }\ntrue\nfail 'no'\n", "4: fail"),
        ("set -ex\nfalse\n", "3: false"),
    ],
)
def test_a_script_of_bash_tells_its_line_and_its_command(script: str, where: str, tmp_path: Path) -> None:
    (tmp_path / "lib.sh").write_text("from_lib() {\n  cat none\n}\n")
    code, output, found = _run(f"#!/usr/bin/env bash\n{script}", tmp_path)
    assert code
    assert found == f"bin/build, line {where}"
    assert "printf" not in output


@pytest.mark.parametrize(
    "script",
    [
        "#!/usr/bin/env bash\nfalse\nexit 3\n",
        "#!/usr/bin/env bash\nset -e\ntrap 'echo mine' EXIT ERR\nfalse\n",
        "#!/usr/bin/env bash\nset -e\nif ! false; then exit 4; fi\n",
        "#!/bin/sh\nset -e\nfalse\n",
        "#!/usr/bin/env python3\nraise SystemExit(1)\n",
    ],
)
def test_what_tells_nothing_is_not_guessed_at(script: str, tmp_path: Path) -> None:
    code, _, found = _run(script, tmp_path)
    assert code
    assert found == ""


def test_a_script_that_ends_well_failed_nowhere(tmp_path: Path) -> None:
    assert _run("#!/bin/bash\nset -e\nf() { false || true; }\nf\n", tmp_path) == (0, "", "")


def test_a_script_does_not_see_that_it_is_looked_at(tmp_path: Path) -> None:
    code, output, _ = _run(_SAYS_ALL, tmp_path)
    assert (code, output) == _plain(tmp_path / "bin" / "build", {"PATH": os.environ["PATH"]})


@pytest.mark.parametrize(
    "options", ["", "set -eu", "set -euxo pipefail", "set -uC", "IFS=01; set -eC", "set -efu; set -E"]
)
@pytest.mark.parametrize(
    "script",
    [
        "exit 7",
        "false",
        "f() { exit 3; }; f",
        "f() { false; }; f; exit 5",
        "echo $none",
        "trap 'exit 9' EXIT",
        '{ kill "$$"; } 2> /dev/null',
    ],
)
@pytest.mark.parametrize("writable", [True, False])
def test_the_exit_code_and_the_output_stay(options: str, script: str, writable: bool, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "build"
    program.parent.mkdir()
    program.write_text(f"#!/usr/bin/env bash\n{options}\n{script}\n")
    program.chmod(0o755)
    env = {"PATH": os.environ["PATH"]}
    looked_at = watched(program, env, tmp_path)
    if not writable:
        (tmp_path / "failed-at").mkdir()
    for _ in range(2):  # the second time the file is there
        assert _plain(program, looked_at) == _plain(program, env)


def test_a_file_that_the_environment_names_itself_is_left_to_bash(tmp_path: Path) -> None:
    program = tmp_path / "build"
    program.write_text("#!/bin/bash\n")
    assert watched(program, {"BASH_ENV": "mine"}, tmp_path) == {"BASH_ENV": "mine"}
