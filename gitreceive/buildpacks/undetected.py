"""What is said when no buildpack takes a source. Pure."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitreceive.buildpacks.choice import APP_LIST, PROJECT
from gitreceive.lifecycle.folder import Folder
from gitreceive.model import Choice

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
    why, hint = _why(verdicts, names, misspelt) or _unfit(verdicts, reasons) or _tried(verdicts, folder)
    return Explanation(f"no buildpack matched: {why}", tuple(lines), hint)


def explain_choice(
    verdicts: Sequence[Mapping[str, Any]], reasons: Sequence[str], choice: Choice
) -> Explanation:
    """Where a group that somebody chose does not fit: which of it does not take the source, and why."""
    refusals = [_verdict_lines(verdict)[0] for verdict in verdicts if verdict["verdict"] != "pass"]
    outcome = reasons[0].partition(": ")[2] if reasons else "the group is empty"
    refusal = next((line for line in refusals if line.startswith(outcome)), outcome)
    lines = tuple(line for verdict in verdicts for line in _verdict_lines(verdict))
    change = {
        APP_LIST: "change the list, which gitreceive buildpacks list APP shows",
        PROJECT: f"take it out of {PROJECT}",
        ".buildpacks": "take it out of .buildpacks",
    }.get(choice.by, "push without it")
    return Explanation(
        f"{choice.by}: {refusal}",
        lines,
        f"each of them has to take the source: add what it looks for, or {change}",
    )


def nearest_misspelling(names: Iterable[str], looked_for: Iterable[str]) -> tuple[str, str] | None:
    """The name at the root that is most like, but not equal to, a file that some buildpack looks for."""
    wanted = [name for name in looked_for if _is_plain(name)]
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
) -> tuple[str, str] | None:
    """What is wrong and what to do, as far as one buildpack or the source alone shows it."""
    broken = [verdict for verdict in verdicts if verdict["verdict"] == "error"]
    if broken:
        return f"{broken[0]['id']} is broken", "its author has to mend it: what bin/detect said is in the log"
    if not names:
        return "the source is empty", "commit the app's files: git add . && git commit"
    if misspelt:
        return f"is {misspelt[0]} meant to be {misspelt[1]}?", f"git mv {misspelt[0]} {misspelt[1]}"
    return None


def _unfit(verdicts: Sequence[Mapping[str, Any]], reasons: Sequence[str]) -> tuple[str, str] | None:
    """Where a buildpack took the source, and its group did not fit: why the first such group did not."""
    passed = {str(verdict["id"]) for verdict in verdicts if verdict["verdict"] == "pass"}
    for reason in reasons:
        group, _, outcome = reason.partition(": ")
        if passed & set(group.split(" + ")):
            together = f", and {group} build together" if " + " in group else ""
            return outcome + together, "add what each of them looks for"
    return None


def _tried(verdicts: Sequence[Mapping[str, Any]], folder: Folder) -> tuple[str, str]:
    tried = [str(verdict["id"]) for verdict in verdicts]
    first = {
        b.id: next((name for name in b.detects if _is_plain(name)), "")
        for there in folder.buildpacks.values()
        for b in there
    }
    known = [f"{first[name]} ({name})" for name in tried if first.get(name)]
    hint = f"add what a buildpack knows its apps by: {', '.join(known)}" if known else "add a Dockerfile"
    return f"tried {', '.join(tried)}", hint


def _is_plain(glob: str) -> bool:
    return not set("*?[/") & set(glob)
