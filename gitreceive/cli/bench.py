"""What a test of a buildpack shows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from gitreceive.buildpacks.finding import Finding
from gitreceive.buildpacks.observed import Reading
from gitreceive.buildpacks.outcome import Outcome, Variable
from gitreceive.cli.common import byte_count, print_json
from gitreceive.lifecycle.folder import Buildpack

if TYPE_CHECKING:
    from gitreceive.model import Build

_MOST_FILES = 12


@dataclass(frozen=True)
class Bench:
    """``order`` is the group that was tried; ``seconds`` is by step."""

    order: Sequence[Buildpack]
    outcome: Outcome
    readings: Sequence[Reading]
    findings: Sequence[Finding]
    seconds: Mapping[str, float]


def show(bench: Bench, build: "Build", *, as_json: bool) -> None:
    outcome = bench.outcome
    if as_json:
        print_json(
            {
                "order": [f"{b.id}@{b.version}" for b in bench.order],
                "group": list(build.buildpacks),
                "layers": [asdict(layer) for layer in outcome.layers],
                "env": [asdict(variable) for variable in outcome.variables],
                "processes": [asdict(process) for process in outcome.processes],
                "reads": [asdict(reading) for reading in bench.readings],
                "findings": [asdict(finding) for finding in bench.findings],
                "seconds": bench.seconds,
            }
        )
        return
    sections = {
        "group": [(name, "") for name in build.buildpacks],
        "layers": [
            (
                layer.title,
                f"{byte_count(layer.size)} in {layer.files} files, {byte_count(layer.packed)} packed",
            )
            for layer in outcome.layers
        ],
        "environment": [
            (_named(variable), f"{variable.value}  ({variable.layer})") for variable in outcome.variables
        ],
        "processes": [
            (process.type, " ".join(process.command) + ("  (default)" if process.default else ""))
            for process in outcome.processes
        ],
        "reads": [(reading.part, _listed(reading.files)) for reading in bench.readings],
        "seconds": [(name, f"{value:.2f}") for name, value in bench.seconds.items()],
    }
    for title, rows in sections.items():
        click.echo(title)
        width = max((len(name) for name, _ in rows), default=0)
        for name, text in rows or [("none", "")]:
            click.echo(f"  {name.ljust(width)}  {text}".rstrip())
    for finding in bench.findings:
        click.echo(str(finding))


def _named(variable: Variable) -> str:
    how = "" if variable.how == "override" else f".{variable.how}"
    return f"{variable.name}{how}" + (f" [{variable.process}]" if variable.process else "")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_FILES} more" if len(names) > _MOST_FILES else ""
    return (", ".join(names[:_MOST_FILES]) or "nothing of the source") + more
