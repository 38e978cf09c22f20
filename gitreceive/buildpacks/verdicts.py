"""Why these buildpacks build a source, and why not the others, in words. Pure."""

from collections.abc import Iterator, Sequence

from gitreceive.lifecycle.detect import ERROR, PASS, Detection, Verdict
from gitreceive.lifecycle.folder import Folder, Group
from gitreceive.lifecycle.plan import Candidate, resolve


def told(found: Detection, folder: Folder, order: Sequence[Group]) -> tuple[str, ...]:
    """One line for each buildpack that was asked, who builds first, where a group of the order fits."""
    groups = [{folder.find(member).name for member in group} for group in folder.expand(order)]
    at = len(found.reasons)  # each group before the one that fits has said why it does not
    chosen = [b.name for b in found.group]
    verdicts = {f"{verdict.id} {verdict.version}": verdict for verdict in found.verdicts}
    lines = [f"{name} builds it{_because(verdicts[name])}" for name in chosen]
    for name, verdict in verdicts.items():
        if name not in chosen:
            tried = [reason for names, reason in zip(groups, found.reasons, strict=False) if name in names]
            lines.append(f"{name} {_why_not(verdict, found, tried, same_group=name in groups[at])}")
    return (*lines, *_plan(found))


def _because(verdict: Verdict) -> str:
    return f": {verdict.reason}" if verdict.reason else ""


def _why_not(verdict: Verdict, found: Detection, tried: Sequence[str], *, same_group: bool) -> str:
    if verdict.verdict == ERROR:
        return f"is broken (bin/detect ended with exit code {verdict.code}){_because(verdict)}"
    if verdict.verdict != PASS:
        return f"does not take it{_because(verdict)}"
    takes = f"would take it{_because(verdict)}"
    if same_group:
        return f"{takes}; it is optional, and its build plan does not fit the others'"
    if tried:
        return f"{takes}; its group does not fit: {tried[0].partition(': ')[2]}"
    alone = not isinstance(resolve([Candidate(verdict.id, False, verdict.options)]), str)
    choice = f", -o buildpack={verdict.id} chooses it" if alone else ""
    return f"{takes}; {found.group[0].id} comes first in the order{choice}"


def _plan(found: Detection) -> Iterator[str]:
    for entry in found.entries:
        yield f"plan: {entry.name}, provided by {', '.join(entry.providers)}"
