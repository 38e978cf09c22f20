"""Read the Procfile: one process type a line, ``NAME: COMMAND``."""

import re

from procfilepack.cnb import Context, Process, Refusal, say

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?")
_EXAMPLE = "a line is NAME: COMMAND, such as web: gunicorn app:app"


def make(context: Context) -> None:
    """Record the Procfile's process types. Raises Refusal with the line's number on any that is malformed."""
    processes = parse((context.app / "Procfile").read_bytes())
    for name, command in processes.items():
        say(f"Process {name}: {command}")
    context.write_launch(
        [Process(name, launched(line), default=name == "web") for name, line in processes.items()]
    )
    context.write_inputs(["Procfile"])


def parse(content: bytes) -> dict[str, str]:
    """Process types and their commands, in order. Raises Refusal."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refusal(f"Procfile is not UTF-8 text (byte {error.start})", "save it as UTF-8") from error
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, command = _line(number, line)
        if name in found:
            raise Refusal(
                f"Procfile line {number}: {name} is there already, in line {lines[name]}",
                "remove one of them",
            )
        found[name], lines[name] = command, number
    if not found:
        raise Refusal("the Procfile names no process type", _EXAMPLE)
    return found


def launched(line: str) -> tuple[str, ...]:
    """A Procfile's command is a shell's, by custom. bash replaces itself by the last command, which so gets the signals."""
    return ("bash", "-c", line)


def _line(number: int, line: str) -> tuple[str, str]:
    name, colon, command = line.partition(":")
    name, command = name.strip(), command.strip()
    if not colon:
        raise Refusal(f"Procfile line {number} has no colon: {line.strip()[:80]!r}", _EXAMPLE)
    if not _NAME.fullmatch(name):
        raise Refusal(
            f"Procfile line {number}: {name[:40]!r} cannot name a process type",
            "use at most 30 lower-case letters, digits and hyphens, and no hyphen at either end",
        )
    if not command:
        raise Refusal(f"Procfile line {number}: {name} has no command", _EXAMPLE)
    if "\0" in command:
        raise Refusal(f"Procfile line {number}: the command of {name} holds a NUL byte", "retype the line")
    return name, command
