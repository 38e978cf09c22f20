import click

from gitreceive.cli.common import (
    app_option,
    as_json,
    duration,
    open_target,
    own_app,
    print_json,
    print_table,
)


@click.command("ps")
@app_option
@as_json
def command(app: str | None, as_json: bool) -> None:
    """The app's processes: which release, up or not, since when, and why not.

    \b
    Example:
      gitreceive ps --app shop
    """
    with open_target() as (ledger, target):
        processes = target.processes(own_app(ledger, app).name)
    if as_json:
        print_json([vars(process) for process in processes])
        return
    print_table(
        ("process", "instance", "release", "state", "ready", "restarts", "age", "why"),
        [
            (
                p.process,
                p.instance,
                f"v{p.release}",
                p.state,
                "yes" if p.ready else "no",
                p.restarts,
                duration(p.age_seconds),
                p.reason,
            )
            for p in processes
        ],
        "Nothing runs yet: git push",
    )
