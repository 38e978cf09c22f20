"""``releases sbom``, ``provenance`` and ``verify``: what is kept beside a release's image, and whether it holds."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from gitreceive import config
from gitreceive.cli.common import app_option, as_json, open_platform, print_json, print_table, require_app
from gitreceive.cli.release_names import named
from gitreceive.errors import ConfigError, GitreceiveError, NotFoundError, UsageError
from gitreceive.model import Permission, Push, Rebase, Release
from gitreceive.ports import Papers

if TYPE_CHECKING:
    from gitreceive.ports import Attestor, Platform


@dataclass(frozen=True)
class Beside:
    """What is kept beside an image; None with a reason where nobody can tell."""

    papers: Papers | None
    why: str = ""


def beside(platform: "Platform", release: Release) -> Beside:
    """A registry that does not answer hides no release."""
    if platform.attestor is None:
        return Beside(None, "this server attests nothing (supply_chain.attest)")
    if not release.kept:
        return Beside(None, "its image is no longer kept")
    try:
        return Beside(platform.attestor.papers(release.image.ref))
    except GitreceiveError as error:
        return Beside(None, error.message)


def described(found: Beside) -> list[tuple[str, str]]:
    """Lines for people."""
    papers = found.papers
    if papers is None:
        return [("SBOM", f"not known: {found.why}")]
    bill = "none" if papers.components is None else f"{papers.components} components"
    built = ", ".join(f"of build {number}" for number in papers.built) or "none"
    keys = ", ".join(papers.keys)
    return [("SBOM", bill), ("provenance", built), ("signed by", keys or "nobody")]


def facts(found: Beside) -> dict[str, object]:
    papers = found.papers
    if papers is None:
        return {"sbom": None, "provenance": None, "signed_by": None, "unknown": found.why}
    bill = None if papers.components is None else {"components": papers.components}
    return {"sbom": bill, "provenance": list(papers.built), "signed_by": list(papers.keys)}


@click.command("sbom")
@click.argument("words", metavar="[APP] [vN]", nargs=-1)
@app_option
@as_json
def sbom(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """What a release's image is made of: each package with its version. Without vN: of the live release.

    With --json the whole document, as CycloneDX has it.

    \b
    Examples:
      gitreceive releases sbom shop
      gitreceive releases sbom shop v5 --json > shop-v5.cdx.json
    """
    with open_platform() as platform:
        release, attestor = _release(platform, words, app)
        content = attestor.bill(release.image.ref)
    if content is None:
        raise _none(release, "SBOM")
    document = json.loads(content)
    if as_json:
        print_json(document)
        return
    rows = [(_kind(one), _name(one), one.get("version", "-")) for one in document.get("components") or ()]
    print_table(("kind", "package", "version"), sorted(rows), "Nothing was found in the image")
    for note in document.get("metadata", {}).get("properties") or ():
        click.echo(f"not read: {note.get('value')}", err=True)


@click.command("provenance")
@click.argument("words", metavar="[APP] [vN]", nargs=-1)
@app_option
@as_json
def provenance(words: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Where a release's image comes from: commit, stack and buildpacks by digest. Without vN: of the live release.

    With --json the whole document, an in-toto Statement of SLSA provenance.

    \b
    Examples:
      gitreceive releases provenance shop
      gitreceive releases provenance shop v5 --json
    """
    with open_platform() as platform:
        release, attestor = _release(platform, words, app)
        content = attestor.provenance(release.image.ref, _made_by(platform, release))
    if content is None:
        raise _none(release, "provenance")
    document = json.loads(content)
    if as_json:
        print_json(document)
        return
    inputs = document["predicate"]["buildDefinition"]["resolvedDependencies"]
    rows = [(one["name"], "".join(one["digest"].values()), one["uri"]) for one in inputs]
    print_table(("input", "digest", "from"), rows, "It names nothing that went in")
    run = document["predicate"]["runDetails"]
    click.echo(f"{run['metadata']['invocationId']} of {run['builder']['id']}", err=True)


@click.command("verify")
@click.argument("words", metavar="[APP] [vN]", nargs=-1)
@app_option
@click.option(
    "--key",
    metavar="FILE",
    help="The public key in PEM; - reads it from standard input. Else the server's own.",
)
@as_json
def verify(words: tuple[str, ...], app: str | None, key: str | None, as_json: bool) -> None:
    """Check a release's image in the registry: digest, signature, SBOM and provenance. Without vN: the live release. Exit 1 if something does not
    hold.

    Over SSH the key comes by standard input alone: ssh HOST releases verify shop --key - < signing.pub

    \b
    Examples:
      gitreceive releases verify shop
      gitreceive releases verify shop v5 --key signing.pub
    """
    with open_platform() as platform:
        release, attestor = _release(platform, words, app)
        found = attestor.verify(release.image.ref, _read(key))
    if as_json:
        print_json({"app": release.app, "release": release.number, "checks": [vars(one) for one in found]})
    else:
        for one in found:
            click.echo(f"{'ok  ' if one.ok else 'FAIL'}  {one.name}: {one.seen}")
            if not one.ok and one.fix:
                click.echo(f"      fix: {one.fix}")
    if not all(one.ok for one in found):
        sys.exit(1)


def _release(platform: "Platform", words: Sequence[str], app: str | None) -> "tuple[Release, Attestor]":
    name, numbers = named(words, app, least=0, most=1)
    require_app(platform.ledger, name, Permission.VIEW)
    live = None if numbers else platform.ledger.current_release(name)
    if not numbers and live is None:
        raise NotFoundError(f"{name} has no live release", hint="git push")
    release = live or platform.ledger.release(name, numbers[0])
    if not release.kept:
        raise NotFoundError(
            f"the image of {release.title} is no longer kept", hint="see: gitreceive releases"
        )
    if platform.attestor is None:
        raise ConfigError("this server attests nothing", hint="set supply_chain.attest to alongside")
    return release, platform.attestor


def _made_by(platform: "Platform", release: Release) -> int | None:
    """The build that made the image that the release has: an earlier one's where it was rolled out again."""
    jobs = (job for job in platform.ledger.jobs(release.app, _MOST) if isinstance(job.cause, Push | Rebase))
    own = [
        job.id for job in jobs if job.image and job.image.ref == release.image.ref and job.release is not None
    ]
    return own[0] if own else None


_MOST = 1000


def _read(key: str | None) -> bytes | None:
    if key is None:
        return None
    if key != "-" and config.acting_user() is not None:
        raise UsageError("files of the server are not read", hint="--key - reads it from standard input")
    try:
        with click.open_file(key, "rb") as file:
            return bytes(file.read(_MOST_KEY))
    except OSError as error:
        raise UsageError(
            f"{key} cannot be read: {error.strerror}", hint="name a file with a key in PEM"
        ) from error


_MOST_KEY = 1 << 16


def _none(release: Release, what: str) -> NotFoundError:
    return NotFoundError(
        f"the registry has no {what} of {release.title}",
        hint="its build's log says why; a push makes another",
    )


def _kind(component: dict[str, object]) -> str:
    url = str(component.get("purl") or "")
    return url.partition("/")[0].removeprefix("pkg:") or str(component.get("type", ""))


def _name(component: dict[str, object]) -> str:
    group = component.get("group")
    return f"{group}/{component.get('name')}" if group else str(component.get("name"))
