import click

from gitreceive.cli.common import app_option, as_json, open_target, own_app, print_json_line, seconds
from gitreceive.model import LogQuery, ProcessType


@click.command("logs")
@app_option
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, over restarts and releases.")
@click.option(
    "-n",
    "number",
    type=click.IntRange(0, 10**9),
    default=100,
    show_default=True,
    metavar="N",
    help="The last so many lines.",
)
@click.option("--ps", "process", metavar="TYPE", help="Only this process type, such as web.")
@click.option("--since", metavar="TIME", help="Only what is younger: 90s, 5m, 2h, 1d.")
@as_json
def command(
    app: str | None, follow: bool, number: int, process: str | None, since: str | None, as_json: bool
) -> None:
    """What the app's processes print. With --json, one JSON object a line.

    \b
    Examples:
      gitreceive logs -f
      gitreceive logs --app shop --ps worker --since 10m -n 500
    """
    name = ProcessType.parse_name(process) if process else None
    query = LogQuery(process=name, lines=number, since_seconds=seconds(since), follow=follow)
    silent = True
    with open_target() as (ledger, target):
        for line in target.logs(own_app(ledger, app).name, query):
            silent = False
            if as_json:
                facts = {"time": line.time.isoformat(), "process": line.process, "instance": line.instance}
                print_json_line({**facts, "text": line.text})
            else:
                click.echo(
                    f"{line.time:%Y-%m-%dT%H:%M:%S.%f}"[:-3]
                    + f"Z {line.process}[{line.instance}]: {line.text}"
                )
    if silent:
        click.echo("Nothing was printed, or nothing that is looked for", err=True)
