"""``gitreceive buildpack pack``: a buildpack as a package that others can name."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreceive import config
from gitreceive.cli.common import as_json, byte_count, print_json
from gitreceive.errors import UsageError

if TYPE_CHECKING:
    from gitreceive.buildpacks.package import Package
    from gitreceive.model import Build

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("pack")
@click.argument("folder", metavar="[DIR]", default=".", type=_FOLDER)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the package to a file; its name ends in .cnb by custom.",
)
@click.option("--publish", metavar="REF", help="Send the package to a registry, as HOST[:PORT]/NAME[:TAG].")
@as_json
def pack(folder: Path, output: Path | None, publish: str | None, as_json: bool) -> None:
    """Make an OCI package of the buildpack in DIR, as Cloud Native Buildpacks' other tools make and read them.

    Its parts, where it is composed of others, are the folders that package.toml names by [[dependencies]] with uri. lint looks at
    all of them first, and its errors end it. The same content gives the same digest. To publish, log in as docker login does.

    \b
    Examples:
      gitreceive buildpack pack --output perl.cnb
      gitreceive buildpack pack ./perl --publish registry.example.com/buildpacks/perl:0.1.0
      gitreceive buildpack pack ./perl --publish registry.example.com/buildpacks/perl --json | jq -r .reference
    """
    from gitreceive import wiring
    from gitreceive.buildpacks.package import folders_of, read_package
    from gitreceive.cli.buildpack import refuse_unsound
    from gitreceive.voice import Voice

    if (output is None) == (publish is None):
        raise UsageError("a package goes to one place", hint="give --output FILE or --publish REF")
    folders = folders_of(folder)
    for one in folders:
        refuse_unsound(one)
    package = read_package(folders)
    with tempfile.TemporaryDirectory(prefix="buildpack-") as spool:
        build = wiring.pack(package, Path(spool))
        if publish:
            log = Voice(lambda chunk: click.echo(chunk, nl=False, err=True))
            image = wiring.publish_package(config.load(), build, publish, log)
            _tell(package, build, image.digest, f"docker://{image}", as_json=as_json)
        elif output:
            _tell(package, build, wiring.save_package(build, output), str(output), as_json=as_json)


def _tell(package: "Package", build: "Build", digest: str, reference: str, *, as_json: bool) -> None:
    size = sum(layer.blob.size for layer in build.layers)
    if as_json:
        print_json(
            {
                "id": package.entry.id,
                "version": package.entry.version,
                "digest": digest,
                "size": size,
                "reference": reference,
                "layers": [
                    {"buildpack": layer.title, "diff_id": layer.diff_id, "size": layer.blob.size}
                    for layer in build.layers
                ],
            }
        )
        return
    for layer in build.layers:
        click.echo(f"{layer.title}  {byte_count(layer.blob.size)}")
    click.echo(f"digest  {digest}")
    click.echo(reference)
