from collections.abc import Sequence
from datetime import UTC, datetime

import click

from gitreceive import config
from gitreceive.cli.addressing import addressed
from gitreceive.cli.common import Group, app_option, as_json, open_platform, open_target, own_app, print_json
from gitreceive.cli.processes import facts, write_table
from gitreceive.cli.settings_changes import Wish, change_settings, known_process
from gitreceive.errors import ConflictError, UsageError
from gitreceive.model import MOST_REPLICAS, AppSettings, Formation, ProcessStatus, Release


class _Ps(Group):
    """``ps`` alone, and with an app, lists."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {*self.list_commands(ctx), "-h", "--help"}
        return super().parse_args(ctx, args if args and args[0] in known else ["list", *args])


@click.group("ps", cls=_Ps)
def command() -> None:
    """The app's processes: list, scale, limits, restart, stop, start, autoscale.

    \b
    Examples:
      gitreceive ps
      gitreceive ps scale web=3 worker=1
    """


@command.command("list")
@click.argument("words", metavar="[APP]", nargs=-1)
@app_option
@as_json
def list_(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """By process type how many run of how many, and of each: up or not, since when, restarts, and why not. The word list can be left out.

    \b
    Examples:
      gitreceive ps --app shop
      gitreceive ps list shop --json
    """
    name, _ = addressed(words, app, 0)
    with open_target() as (ledger, target):
        found = own_app(ledger, name)
        live = ledger.current_release(found.name)
        processes = target.processes(found.name)
        lines = facts(live, ledger.settings(found.name), processes)
    if as_json:
        print_json({"app": name, "release": live.number if live else None, "processes": lines})
    else:
        write_table(name, live, lines)


@command.command("scale")
@click.argument("words", metavar="[APP] TYPE=N...", nargs=-1, required=True)
@app_option
@as_json
def scale(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """How many of a process type run. What runs stays as it is; the next releases keep it. 0 is none.

    \b
    Examples:
      gitreceive ps scale web=3 worker=1
      gitreceive ps scale shop web=3
    """
    first = words[:1] if "=" not in words[0] else ()
    name, _ = addressed(first, app, 0)
    counts = _counts(words[len(first) :])

    def plan(settings: AppSettings, live: Release | None) -> Wish:
        for process in counts:
            known_process(live, process)
            _require_no_autoscaler(settings.formation, process)
        title = " ".join(f"{process}={count}" for process, count in counts.items())
        return Wish(f"scale {title}", {"formation": {"scale": counts}})

    with open_platform() as platform:
        change_settings(platform, name, plan, as_json=as_json)


@command.command("limits")
@click.argument("words", metavar="[APP] TYPE", nargs=-1, required=True)
@app_option
@click.option("--memory", metavar="AMOUNT", help="What is over it is killed: 512Mi, 1Gi.")
@click.option("--cpu", metavar="CPUS", help="What it is sure to have: 0.5, 2 or 250m.")
@click.option("--unset", is_flag=True, help="Back to the server's own.")
@as_json
def limits(
    words: tuple[str, ...],
    app: str | None,
    memory: str | None,
    cpu: str | None,
    unset: bool,
    as_json: bool,
) -> None:
    """How much memory and CPU each process of TYPE is given. That is a release: new processes, which a rollback replaces again.

    On Docker, CPUS is also the most that it gets.

    \b
    Examples:
      gitreceive ps limits web --memory 512Mi --cpu 0.5
      gitreceive ps limits shop worker --unset
    """
    name, (process,) = addressed(words, app, 1)
    given = {key: value for key, value in (("memory", memory), ("cpu", cpu)) if value is not None}
    if bool(given) == unset:
        raise UsageError("nothing is said", hint="give --memory, --cpu or both; or --unset alone")
    title = " ".join(f"{key} {value}" for key, value in given.items()) or "the server's own"

    def plan(_settings: AppSettings, live: Release | None) -> Wish:
        known_process(live, process, once=True)
        patch = {"runtime": {"limits": {process: given or None}}}
        return Wish(f"limit {process} to {title}", patch)

    with open_platform() as platform:
        change_settings(platform, name, plan, as_json=as_json)


@command.command("restart")
@click.argument("words", metavar="[APP] [TYPE]", nargs=-1)
@app_option
@as_json
def restart(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """New processes of the same release, all or those of TYPE. An old one goes when its successor is well: no request is dropped.

    \b
    Examples:
      gitreceive ps restart shop
      gitreceive ps restart --app shop worker
    """
    name, processes = addressed(words, app, 0, most=1)

    def plan(settings: AppSettings, live: Release | None) -> Wish:
        if live is None:
            raise ConflictError(f"nothing of {name} runs yet", hint="push it first")
        if settings.formation.stopped:
            raise ConflictError(f"{name} is stopped", hint=f"gitreceive ps start {name}")
        chosen = [known_process(live, process) for process in processes]
        chosen = chosen or [process.name for process in live.services]
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        title = f"restart {', '.join(chosen)}"
        return Wish(title, {"formation": {"restarted": dict.fromkeys(chosen, now)}})

    with open_platform() as platform:
        change_settings(platform, name, plan, as_json=as_json)


@command.command("stop")
@click.argument("words", metavar="[APP]", nargs=-1)
@app_option
@as_json
def stop(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """End all processes of the app, until `ps start`. Its address is kept, and a push only gets ready what starts then.

    \b
    Example:
      gitreceive ps stop shop
    """
    _set_stopped(words, app, stopped=True, as_json=as_json)


@command.command("start")
@click.argument("words", metavar="[APP]", nargs=-1)
@app_option
@as_json
def start(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Start what `ps stop` has ended, as many as there were.

    \b
    Example:
      gitreceive ps start shop
    """
    _set_stopped(words, app, stopped=False, as_json=as_json)


@command.command("autoscale")
@click.argument("words", metavar="[APP] TYPE", nargs=-1, required=True)
@app_option
@click.option("--min", "least", type=click.IntRange(1, MOST_REPLICAS), metavar="N", help="At least so many.")
@click.option("--max", "most", type=click.IntRange(1, MOST_REPLICAS), metavar="N", help="At most so many.")
@click.option(
    "--cpu",
    type=click.IntRange(1, 1000),
    metavar="PERCENT",
    help="Of the CPU that it is sure to have, see ps limits: above it more are started.",
)
@click.option("--off", is_flag=True, help="As many as run now, from now on.")
@as_json
def autoscale(
    words: tuple[str, ...],
    app: str | None,
    least: int | None,
    most: int | None,
    cpu: int | None,
    off: bool,
    as_json: bool,
) -> None:
    """Let the cluster choose how many of TYPE run, by the CPU that they use. It needs a metrics server.

    \b
    Examples:
      gitreceive ps autoscale web --min 2 --max 10 --cpu 70
      gitreceive ps autoscale shop web --off
    """
    name, (process,) = addressed(words, app, 1)
    if off == (None not in {least, most, cpu}) or (off and {least, most, cpu} != {None}):
        raise UsageError(
            "how many is not said", hint="give --min, --max and --cpu, all three; or --off alone"
        )
    asked = None if off else {"least": least, "most": most, "cpu": cpu}

    def plan(settings: AppSettings, live: Release | None) -> Wish:
        known_process(live, process)
        if asked is not None:
            title = f"autoscale {process} from {least} to {most} at {cpu} % CPU"
            return Wish(title, {"formation": {"autoscale": {process: asked}}})
        kept = {}
        if process in settings.formation.autoscale and live and not settings.formation.stopped:
            kept = {process: _running(platform.target.processes(name), process)}
        return Wish(f"autoscale {process} off", {"formation": {"autoscale": {process: None}, "scale": kept}})

    with open_platform() as platform:
        if asked is not None and config.load().target == "docker":
            raise ConflictError(
                "the docker target does not scale by itself: it is one host",
                hint=f"say how many: gitreceive ps scale {process}=N",
            )
        change_settings(platform, name, plan, as_json=as_json)


def _counts(words: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        process, equals, count = word.partition("=")
        if not equals or not count.isascii() or not count.isdigit() or len(count) > len(str(MOST_REPLICAS)):
            raise UsageError(f"{word[:60]!r} says no number", hint="write TYPE=N: web=3")
        if process in counts:
            raise UsageError(f"{process[:60]!r} is there twice", hint="say one number")
        counts[process] = int(count)
    if not counts:
        raise UsageError("no process type is named", hint="write TYPE=N: web=3")
    return counts


def _require_no_autoscaler(formation: Formation, process: str) -> None:
    if asked := formation.autoscale.get(process):
        raise ConflictError(
            f"{process} is scaled by the cluster, from {asked.least} to {asked.most}",
            hint=f"gitreceive ps autoscale {process} --off, or other bounds for it",
        )


def _running(processes: Sequence[ProcessStatus], process: str) -> int:
    return max(1, sum(p.process == process and p.state != "stopping" for p in processes))


def _set_stopped(words: tuple[str, ...], app: str | None, *, stopped: bool, as_json: bool) -> None:
    name, _ = addressed(words, app, 0)
    wish = Wish("stop" if stopped else "start", {"formation": {"stopped": stopped}})
    with open_platform() as platform:
        change_settings(platform, name, lambda _settings, _live: wish, as_json=as_json)
