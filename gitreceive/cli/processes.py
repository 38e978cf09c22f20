"""The app's processes, in words."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from gitreceive.cli.common import duration, print_table
from gitreceive.model import AppName, AppSettings, Limits, ProcessStatus, Release

_STATES = ("process", "instance", "release", "state", "restarts", "age", "why")


def facts(
    live: Release | None, settings: AppSettings, processes: Iterable[ProcessStatus]
) -> list[dict[str, Any]]:
    """By process type, with all its instances. Nothing runs of one that was scaled to 0, and it is there all the same."""
    found = list(processes)
    there = {process.name for process in live.services} if live else set()
    names = sorted(there | {status.process for status in found}, key=lambda name: (name != "web", name))
    return [_facts(name, settings, [s for s in found if s.process == name]) for name in names]


def write_table(app: AppName, live: Release | None, processes: Iterable[Mapping[str, Any]]) -> None:
    """A line for each process type, then a table of what runs."""
    processes = list(processes)
    for process in processes:
        click.echo(_line(process))
    if processes:
        click.echo()
    instances = [instance for process in processes for instance in process["instances"]]
    empty = f"Nothing runs: gitreceive ps start {app}" if live else "Nothing runs yet: git push"
    print_table(_STATES, [_row(instance) for instance in instances], empty)


def _facts(name: str, settings: AppSettings, instances: list[ProcessStatus]) -> dict[str, Any]:
    formation = settings.formation
    limits = settings.runtime.limits.get(name, Limits())
    autoscale = formation.autoscale.get(name)
    there = [status for status in instances if status.state != "stopping"]
    desired = len(there) if autoscale and not formation.stopped else formation.replicas(name)
    return {
        "process": name,
        "desired": desired,
        "ready": sum(status.ready for status in there),
        "stopped": formation.stopped,
        "autoscale": {"min": autoscale.least, "max": autoscale.most, "cpu": autoscale.cpu}
        if autoscale
        else None,
        "memory": limits.memory,
        "cpu": limits.cpu,
        "instances": [vars(status) for status in instances],
    }


def _line(process: Mapping[str, Any]) -> str:
    scaled = process["autoscale"]
    said = [
        "stopped" if process["stopped"] else f"{process['ready']} of {process['desired']} ready",
        f"scaled by the cluster from {scaled['min']} to {scaled['max']} at {scaled['cpu']} % CPU"
        if scaled
        else "",
        f"memory {process['memory']}" if process["memory"] else "",
        f"cpu {process['cpu']}" if process["cpu"] else "",
    ]
    return f"{process['process']}: {', '.join(filter(None, said))}"


def _row(instance: Mapping[str, Any]) -> tuple[object, ...]:
    ended = f"before: {instance['last_exit']}" if instance["last_exit"] else ""
    why = "; ".join(filter(None, (instance["reason"], ended)))
    return (
        *(instance["process"], instance["instance"], f"v{instance['release']}", instance["state"]),
        *(instance["restarts"], duration(instance["age_seconds"]), why),
    )
