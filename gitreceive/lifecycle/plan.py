"""Which buildpacks build, by what each provides and requires (Buildpack API, "Order Resolution"). Pure."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitreceive.lifecycle import toml

MOST_TRIALS = 10_000


@dataclass(frozen=True)
class Option:
    """One way in which a buildpack would take part: a section of its build plan."""

    provides: tuple[str, ...] = ()
    requires: tuple[Mapping[str, Any], ...] = ()  # each with "name", perhaps "metadata"


@dataclass(frozen=True)
class Candidate:
    """A buildpack that passed detection, with its options in the order in which it prefers them."""

    key: str
    optional: bool
    options: tuple[Option, ...] = (Option(),)


@dataclass(frozen=True)
class Entry:
    """One dependency of the resolved plan: who may provide it and what was required of it."""

    name: str
    providers: tuple[str, ...]
    requires: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Resolution:
    keys: tuple[str, ...]  # of the buildpacks that build, in order
    entries: tuple[Entry, ...]


def parse_options(document: Mapping[str, Any]) -> tuple[Option, ...]:
    """The options of a build plan: its top level, then each ``[[or]]``. Raises ValueError on another shape."""
    return tuple(_option(section) for section in (document, *toml.tables(document, "or")))


def resolve(candidates: Sequence[Candidate]) -> Resolution | str:
    """The first combination of options that fits; else, in words, why the first one did not."""
    if not candidates:
        return "none of its buildpacks takes the source"
    if math.prod(len(candidate.options) for candidate in candidates) > MOST_TRIALS:
        return f"the alternatives ([[or]]) of its build plans combine in more than {MOST_TRIALS} ways"
    reason = ""
    for options in itertools.product(*(candidate.options for candidate in candidates)):
        outcome = _try(list(zip(candidates, options, strict=True)))
        if isinstance(outcome, Resolution):
            return outcome
        reason = reason or outcome
    return reason


def _option(section: Mapping[str, Any]) -> Option:
    try:
        provides, requires = toml.tables(section, "provides"), toml.tables(section, "requires")
        named = [entry["name"] for entry in (*provides, *requires)]
    except (ValueError, KeyError):
        raise ValueError("each of provides and requires must be a table with a name") from None
    if not all(isinstance(name, str) for name in named):
        raise ValueError("the name of what is provided or required must be a string")
    if not all(isinstance(entry.get("metadata", {}), Mapping) for entry in requires):
        raise ValueError("a requirement's metadata must be a table")
    return Option(tuple(named[: len(provides)]), tuple(requires))


_Trial = list[tuple[Candidate, Option]]


def _try(trial: _Trial) -> Resolution | str:
    while trial:
        wrong = next(_unmet(trial), None)
        if wrong is None:
            return Resolution(tuple(candidate.key for candidate, _ in trial), _entries(trial))
        candidate, reason = wrong
        if not candidate.optional:
            return reason
        trial = [pair for pair in trial if pair[0].key != candidate.key]
    return "only optional buildpacks took the source, and none of them is needed"


def _unmet(trial: _Trial) -> Iterator[tuple[Candidate, str]]:
    """A dependency must be provided by the same buildpack or an earlier one, and required by the same or a later one."""
    for at, (candidate, option) in enumerate(trial):
        earlier = {name for _, other in trial[: at + 1] for name in other.provides}
        later = {require["name"] for _, other in trial[at:] for require in other.requires}
        for require in option.requires:
            if require["name"] not in earlier:
                yield (
                    candidate,
                    f"{candidate.key} requires {require['name']!r}, which no buildpack before it provides",
                )
        for name in option.provides:
            if name not in later:
                yield candidate, f"{candidate.key} provides {name!r}, which no buildpack after it requires"


def _entries(trial: _Trial) -> tuple[Entry, ...]:
    names = dict.fromkeys(require["name"] for _, option in trial for require in option.requires)
    return tuple(
        Entry(
            name,
            tuple(candidate.key for candidate, option in trial if name in option.provides),
            tuple(r for _, option in trial for r in option.requires if r["name"] == name),
        )
        for name in names
    )
