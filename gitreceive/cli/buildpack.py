import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import click

from gitreceive import config
from gitreceive.cli.buildpack_pack import pack
from gitreceive.cli.common import Group, as_json, open_ledger, print_json
from gitreceive.errors import BuildError, ConfigError, ConflictError, NotFoundError, UnavailableError
from gitreceive.model import ZERO_COMMIT, AppName, ImageRef, JobId, PushOptions, Source, Stack
from gitreceive.voice import Voice

if TYPE_CHECKING:
    from gitreceive.buildpacks.finding import Finding
    from gitreceive.lifecycle.folder import Buildpack
    from gitreceive.model import Build

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group("buildpack", cls=Group)
def command() -> None:
    """For authors of buildpacks: new, lint, test, pack."""


command.add_command(pack)


@command.command("new")
@click.argument("identity", metavar="ID")
@click.argument("folder", metavar="[DIR]", default="", type=click.Path(path_type=str))
@click.option("--file", metavar="NAME", default="", help="The file by which an app is known; else main.NAME.")
@as_json
def new(identity: str, folder: str, file: str, as_json: bool) -> None:
    """Write a buildpack that works, to begin with: two shell programs, a sample app, and a test.

    ID is VENDOR/NAME. DIR is a folder that is not there yet or is empty; without it NAME, here.

    \b
    Examples:
      gitreceive buildpack new acme/lua
      gitreceive buildpack new acme/perl ./perl --file app.pl
    """
    from gitreceive.buildpacks.skeleton import name_of, skeleton

    drafts = skeleton(identity, file)
    place = Path(folder or name_of(identity))
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ConflictError(f"{place} is there already and is not empty", hint="name another folder")
    with _writing(place):
        for draft in drafts:
            path = place / draft.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(draft.text, encoding="utf-8")
            path.chmod(0o755 if draft.executable else 0o644)
    if as_json:
        print_json({"id": identity, "folder": str(place), "files": [draft.path for draft in drafts]})
        return
    for draft in drafts:
        click.echo(str(place / draft.path))
    click.echo(f"try it: gitreceive buildpack test {place}", err=True)


@command.command("lint")
@click.argument("folder", metavar="[DIR]", default=".", type=_FOLDER)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@as_json
def lint(folder: Path, strict: bool, as_json: bool) -> None:
    """What is wrong with the buildpack in DIR, as far as that shows without running it.

    It reads buildpack.toml, the programs' modes and first lines, where links lead, and which files shell programs look for
    that detects and inputs do not name. DIR may be a composite, and a classic buildpack of Heroku's. Exit 0: nothing is wrong;
    1: something is.

    \b
    Examples:
      gitreceive buildpack lint
      gitreceive buildpack lint ./perl --strict
      gitreceive buildpack lint ./perl --json | jq -r '.[].message'
    """
    from gitreceive.buildpacks.finding import ERROR
    from gitreceive.buildpacks.lint import lint as find

    found = find(folder)
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        _tell(found)
    if any(one.level == ERROR or strict for one in found):
        sys.exit(1)


@command.command("test")
@click.argument("folder", metavar="[DIR]", default=".", type=_FOLDER)
@click.option("--app", type=_FOLDER, metavar="DIR", help="The app to build; else test/app in the buildpack.")
@click.option(
    "--with",
    "others",
    type=_FOLDER,
    metavar="DIR",
    multiple=True,
    help="A further buildpack, after it in the group; of a composite, one that its order names.",
)
@click.option(
    "--process", "wanted", metavar="TYPE", multiple=True, help="Fail unless the image has this process type."
)
@click.option("--stack", metavar="NAME", help="The stack to build in; else that of the settings.")
@click.option("--build-image", metavar="REF", help="Build in this image, by digest; no stack need be there.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@as_json
def test(
    folder: Path,
    app: Path | None,
    others: tuple[Path, ...],
    wanted: tuple[str, ...],
    stack: str | None,
    build_image: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Build an app with the buildpack in DIR as a push would, in the stack's build image, and show what came out.

    It watches which files of the app detection and build open, and warns of those that the buildpack's inputs do not cover:
    a push that changes one of them only would not be built.

    It needs Docker, but no server, cluster or push to a registry. Nothing is published, and caches are not kept. The build's
    log is on standard error. Exit 0: it went well; 1: lint finds an error, or with --strict there is a warning; 20: the buildpack does not take the app; 30: it
    fails, or a process type is missing; 31: it ran into a limit; 6 and 7: there is no stack, or no Docker.

    \b
    Examples:
      gitreceive buildpack test
      gitreceive buildpack test ./perl --app ~/src/shop --process web
      gitreceive buildpack test ./perl --with ./procfile --json | jq .layers
    """
    from gitreceive.buildpacks.observed import readings, undeclared
    from gitreceive.buildpacks.outcome import outcome_of
    from gitreceive.cli.bench import Bench, show

    for one in (folder, *others):
        refuse_unsound(one, strict=strict)
    sample = _sample(folder, app)
    with tempfile.TemporaryDirectory(prefix="buildpack-") as name:
        order, every = _gather(Path(name), (folder, *others))
        log, observed = _TimedVoice(), _Observed()
        with _build(Path(name), sample, _stack(stack, build_image), log, observed) as build:
            log.step("Done")
            outcome = outcome_of(build)
            found = undeclared(observed.facts, every)
            bench = Bench(order, outcome, readings(observed.facts), found, log.seconds)
            show(bench, build, as_json=as_json)
    missing = sorted(set(wanted) - {process.type for process in outcome.processes})
    if missing:
        raise BuildError(
            f"the image has no process type {', '.join(missing)}",
            hint="bin/build writes process types into $CNB_LAYERS_DIR/launch.toml",
        )
    if found and strict:
        sys.exit(1)


class _Observed:
    """Keeps what a build read."""

    def __init__(self) -> None:
        self.facts: Mapping[str, Any] = {}

    def __call__(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts


class _TimedVoice(Voice):
    """Speaks on standard error; ``seconds`` is from each step to the next."""

    def __init__(self) -> None:
        super().__init__(lambda chunk: click.echo(chunk, nl=False, err=True))
        self._steps = [("prepare and detect", time.monotonic())]

    def step(self, text: str) -> None:
        if not text.startswith("Detected: "):
            self._steps.append((text, time.monotonic()))
        super().step(text)

    @property
    def seconds(self) -> dict[str, float]:
        pairs = zip(self._steps, self._steps[1:], strict=False)
        return {name: round(end - begin, 3) for (name, begin), (_, end) in pairs}


def refuse_unsound(folder: Path, *, strict: bool = False) -> None:
    """Tell what lint finds and exit with 1 where there is an error among it, or with ``strict`` anything."""
    from gitreceive.buildpacks.finding import ERROR
    from gitreceive.buildpacks.lint import lint as find

    found = [one for one in find(folder) if one.level == ERROR or strict]
    if found:
        _tell(found)
        sys.exit(1)


def _tell(found: Sequence["Finding"]) -> None:
    for one in found:
        click.echo(str(one))
    click.echo(f"{len(found)} found" if found else "nothing is wrong", err=True)


def _sample(folder: Path, app: Path | None) -> Path:
    sample = app or folder / "test" / "app"
    if not sample.is_dir():
        raise NotFoundError(f"{folder} has no test/app", hint="name the app to build: --app DIR")
    return sample


def _gather(place: Path, folders: Sequence[Path]) -> tuple[tuple["Buildpack", ...], tuple["Buildpack", ...]]:
    """Copy the buildpacks into ``place`` with an order of one group of them; that group, and all of them."""
    from gitreceive.lifecycle import toml
    from gitreceive.lifecycle.folder import FolderError, load, read_place

    root = place / "buildpacks"
    places: list[Path] = []
    for at, folder in enumerate(folders):
        name = folder.resolve().name  # which a classic buildpack is called after
        copy = root / name if root / name not in places else root / str(at) / name
        shutil.copytree(folder, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        places.append(copy)
    try:
        found = [read_place(copy, root) for copy in places]
        # a composite brings its own order, in which the others are
        group = found[:1] if found[0].order else found
        members = [{"id": b.id, "version": b.version} for b in group]
        order = toml.dumps({"order": [{"group": members}]})
        (root / "order.toml").write_text(order, encoding="utf-8")
        load(root)
    except FolderError as error:
        message = str(error).replace(f"{root}/", "")
        raise ConfigError(message, hint="name each buildpack that is needed: --with DIR") from error
    return tuple(group), tuple(found)


@contextmanager
def _build(place: Path, sample: Path, stack: Stack, log: Voice, observed: _Observed) -> Iterator["Build"]:
    from gitreceive import wiring
    from gitreceive.buildpacks.sample import Sample
    from gitreceive.cancellation import Cancellation
    from gitreceive.ports import BuildRequest

    source = Sample(sample)
    name = AppName.parse(f"test-{token_hex(6)}")
    request = BuildRequest(
        job=JobId(1),
        source=Source(name, ZERO_COMMIT),
        options=PushOptions(),
        stack=stack,
        previous={},
        archive=source.archive(),
        root=source.root,
        tree=source.tree,
    )
    with wiring.buildpack_bench(config.load(), place / "buildpacks", observed) as builder:
        try:
            with builder.build(request, log, Cancellation()) as build:
                yield build
        finally:
            builder.forget(name)


def _stack(name: str | None, build_image: str | None) -> Stack:
    """Raises ConfigError where there is none, UsageError for an image that is not named by its digest."""
    if build_image is not None:
        image = ImageRef.parse(build_image)
        return Stack("test", image, image, 0, 0, {}, datetime.now(UTC))
    wanted = name or config.load().stack
    hint = "make one: gitreceive stack create; or name an image: --build-image REPOSITORY@sha256:…"
    try:
        with open_ledger() as ledger:
            stack = ledger.stack(wanted)
    except NotFoundError as error:
        raise ConfigError("there is no server here, and so no stack to build in", hint=hint) from error
    if stack is None:
        raise ConfigError(f"there is no stack {wanted}", hint=hint)
    return stack


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"{place} cannot be written: {error.strerror}", hint="name another folder"
        ) from error
