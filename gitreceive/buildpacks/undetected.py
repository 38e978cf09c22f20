"""What is said when no buildpack takes a source. Pure."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitreceive.lifecycle.folder import Folder

_MOST_NAMES = 40
_CLOSE = 0.8


@dataclass(frozen=True)
class Explanation:
    """``message`` is short, for git's status line; ``lines`` are for the log."""

    message: str
    lines: tuple[str, ...]
    hint: str


def explain(
    verdicts: Sequence[Mapping[str, Any]], reasons: Sequence[str], names: Sequence[str], folder: Folder
) -> Explanation:
    """``verdicts`` and ``reasons`` as the detect phase reports them; ``names`` is what lies at the source's root."""
    looked_for = {
        name: b.id
        for there in folder.buildpacks.values()
        for buildpack in there
        for b in [buildpack]
        for name in b.detects
    }
    misspelt = nearest_misspelling(names, looked_for)
    lines = [line for verdict in verdicts for line in _verdict_lines(verdict)]
    if any(verdict["verdict"] == "pass" for verdict in verdicts):
        lines += [f"group {reason}" for reason in reasons]
    lines.append(f"files at the root: {_listing(names)}")
    if misspelt:
        lines.append(f"{misspelt[0]} looks like {misspelt[1]}, which {looked_for[misspelt[1]]} looks for")
    return Explanation(
        f"no buildpack matched: {_why(verdicts, names, misspelt)}", tuple(lines), _hint(misspelt, looked_for)
    )


def nearest_misspelling(names: Iterable[str], looked_for: Iterable[str]) -> tuple[str, str] | None:
    """The name at the root that is most like, but not equal to, a file that some buildpack looks for."""
    wanted = [name for name in looked_for if not set("*?[/") & set(name)]
    present = set(names)
    pairs = [
        (difflib.SequenceMatcher(None, name.lower(), want.lower()).ratio(), name, want)
        for name in sorted(present)
        for want in wanted
        if want not in present
    ]
    best = max(pairs, default=None, key=lambda pair: pair[0])
    return (best[1], best[2]) if best and best[0] >= _CLOSE else None


def _verdict_lines(verdict: Mapping[str, Any]) -> list[str]:
    said = {"pass": "takes it", "fail": "does not take it"}
    words = said.get(verdict["verdict"], f"is broken (bin/detect ended with exit code {verdict['code']})")
    output = [line for line in str(verdict["output"]).splitlines() if line.strip()]
    if len(output) == 1:
        return [f"{verdict['id']} {verdict['version']} {words}: {output[0].strip()}"]
    return [f"{verdict['id']} {verdict['version']} {words}", *(f"    {line}" for line in output)]


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def _why(
    verdicts: Sequence[Mapping[str, Any]], names: Sequence[str], misspelt: tuple[str, str] | None
) -> str:
    broken = [str(verdict["id"]) for verdict in verdicts if verdict["verdict"] == "error"]
    if broken:
        return f"{broken[0]} is broken"
    if not names:
        return "the source is empty"
    if misspelt:
        return f"is {misspelt[0]} meant to be {misspelt[1]}?"
    return "tried " + ", ".join(str(verdict["id"]) for verdict in verdicts)


def _hint(misspelt: tuple[str, str] | None, looked_for: Iterable[str]) -> str:
    if misspelt:
        return f"git mv {misspelt[0]} {misspelt[1]}"
    files = ", ".join(name for name in looked_for if not set("*?[/") & set(name))
    return f"add one of the files that buildpacks look for: {files}" if files else "add a Dockerfile"
