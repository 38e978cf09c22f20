import re

import click

from gitreceive import config, wiring
from gitreceive.cli.common import as_json, print_json
from gitreceive.errors import UsageError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


@click.command("permissions")
@click.option("--namespace", default="gitreceive", show_default=True, help="Where the account is.")
@click.option("--account", default="gitreceive", show_default=True, help="What it is called.")
@as_json
def command(namespace: str, account: str, as_json: bool) -> None:
    """Print a ServiceAccount for the server, with what it needs in the cluster and nothing else, as a manifest.

    It asks no cluster. `gitreceive doctor` tells whether the server has all of it.

    \b
    Examples:
      gitreceive permissions | kubectl apply -f -
      gitreceive permissions --namespace deploys --account git --json
    """
    for name in (namespace, account):
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name[:80]!r} names nothing in a cluster", hint="use a-z, 0-9 and -, 63 at most"
            )
    objects = wiring.cluster_permissions(config.load(), namespace, account)
    if as_json:
        print_json({"apiVersion": "v1", "kind": "List", "items": objects})
        return
    import yaml

    click.echo(yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True), nl=False)
