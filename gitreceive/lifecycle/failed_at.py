"""Where a program in bash failed: script and line, without a change to the script.

bash reads the file that BASH_ENV names before a script. Ours takes the variable away again, so that nothing that the script
starts sees it, and sets two traps that write the place down. A script that sets traps of its own has them in their
stead. Commands, exit codes and what is printed stay as they are.
"""

import re
from collections.abc import Mapping
from pathlib import Path

_BASH = re.compile(rb"#!\s*(?:\S*/bash|\S*/env\s+(?:-S\s*)?bash)(?:\s|$)")
_ENV, _PLACE = "bash-env", "failed-at"
# ERR: the command that ends a script that has `set -e`. EXIT: from within which function of the script it ended, where ERR
# is not told. `{ } 2> /dev/null` hides both from `set -x`; the rest of the care is for `set -u`, `set -C`, any IFS, a full
# disk: nothing here may fail, as that would become the script's exit code.
_TRAPS = """unset BASH_ENV
trap '{{ case $- in *e*) builtin printf "%s\\0" "${{BASH_SOURCE[0]-}}" "$LINENO" "$BASH_COMMAND" >| {file} || : ;; esac; }} 2> /dev/null' ERR
trap '{{ [[ "$?" == 0 || -z "${{FUNCNAME[0]-}}" ]] || builtin printf "%s\\0" "${{BASH_SOURCE[-1]}}" "${{BASH_LINENO[-2]}}" "${{FUNCNAME[-2]}}" >| {file} || :; }} 2> /dev/null' EXIT
"""
_LONGEST = 200


def watched(program: Path, env: Mapping[str, str], work: Path) -> dict[str, str]:
    """The environment in which a script in bash tells ``failed_at`` where it fails; as it is for any other program.

    ``work`` is a folder for this run alone, whose name is plain.
    """
    if "BASH_ENV" in env or not _is_bash(program):
        return dict(env)
    file = work / _ENV
    file.write_text(_TRAPS.format(file=work / _PLACE), encoding="utf-8")
    return {**env, "BASH_ENV": str(file)}


def failed_at(program: Path, work: Path) -> str:
    """Such as ``bin/build, line 4: cp a b``; empty where it is not known."""
    try:
        parts = (work / _PLACE).read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    if len(parts) != 4 or Path(parts[0]).name != program.name or not parts[1].isdecimal():
        return ""  # of another script that this one read
    command = " ".join(parts[2].split())
    return f"{program.parent.name}/{program.name}, line {parts[1]}: {command[:_LONGEST]}"


def _is_bash(program: Path) -> bool:
    try:
        with program.open("rb") as file:
            return _BASH.match(file.readline(_LONGEST)) is not None
    except OSError:
        return False
