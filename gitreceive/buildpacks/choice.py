"""Who says by which buildpacks a source is built: the first of the push, the app's own list, project.toml, .buildpacks, app.json. Pure."""

from collections.abc import Callable, Iterator, Sequence

from gitreceive.buildpacks import listed as listed_file
from gitreceive.buildpacks import project as project_file
from gitreceive.buildpacks.listed import parse_listed
from gitreceive.buildpacks.project import parse_project
from gitreceive.errors import DetectError
from gitreceive.model import BuildpackRef, Choice, Project, PushOptions, RefKind, Wanted

APP_LIST = "the app's list"  # that `buildpacks set` made
PROJECT = "project.toml"
APP_JSON = "app.json"


Read = Callable[[str, int], bytes | None]  # a file of the source, at most so many bytes of it


def read_choice(
    read: Read, options: PushOptions, of_app: Sequence[str], described: Sequence[BuildpackRef] = ()
) -> tuple[Choice, Project]:
    """From the source's own files, and what was said outside of it. Raises SourceError, and as ``choose``."""
    project = parse_project(read(project_file.FILE, project_file.LARGEST) or b"")
    listed = parse_listed(read(listed_file.FILE, listed_file.LARGEST) or b"")
    return choose(options, of_app, project, listed, described), project


def choose(
    options: PushOptions,
    of_app: Sequence[str],
    project: Project,
    listed: Sequence[BuildpackRef],
    described: Sequence[BuildpackRef] = (),
) -> Choice:
    """``of_app`` are the references that the ledger has for the app, ``described`` those of app.json. Raises DetectError for a group that names one twice, or
    one that is not pinned.
    """
    wishes = [wish for wish in _wishes(options, of_app, project, listed, described) if wish[1]]
    if not wishes:
        choice = Choice(before=project.before, after=project.after)
        _check(PROJECT, (*choice.before, *choice.after))
        return choice
    (by, group), *others = wishes
    _check(by, group)
    return Choice(by, group, instead_of=tuple(other for other, _ in others))


def told_choice(choice: Choice) -> Iterator[str]:
    """What a build's log says of it; nothing where the server's order is tried as it is."""
    if choice.group:
        instead = f", in place of {' and '.join(choice.instead_of)}" if choice.instead_of else ""
        yield f"buildpacks as {choice.by} says{instead}: {', '.join(map(_name, choice.group))}"
    for where, added in (("before", choice.before), ("behind", choice.after)):
        if added:
            yield f"{PROJECT} puts {where} what is detected: {', '.join(map(_name, added))}"


def _wishes(
    options: PushOptions,
    of_app: Sequence[str],
    project: Project,
    listed: Sequence[BuildpackRef],
    described: Sequence[BuildpackRef],
) -> Iterator[tuple[str, tuple[Wanted, ...]]]:
    pushed = options.buildpack
    yield f"-o buildpack={pushed}", (BuildpackRef.parse(pushed),) if pushed else ()
    yield APP_LIST, tuple(map(BuildpackRef.parse, of_app))
    yield PROJECT, project.group
    yield ".buildpacks", tuple(listed)
    yield APP_JSON, tuple(described)


def _check(by: str, group: Sequence[Wanted]) -> None:
    seen: set[str] = set()
    for wanted in group:
        name = _name(wanted)
        if name in seen:
            raise DetectError(f"{by}: {name} is named twice", hint="each buildpack of a group runs once")
        seen.add(name)
        if isinstance(wanted, BuildpackRef) and not wanted.pinned:
            raise DetectError(f"{by}: {name} is not pinned", hint=pin_hint(wanted))


def _name(wanted: Wanted) -> str:
    return wanted.text if isinstance(wanted, BuildpackRef) else f"{wanted.id}@{wanted.version}"


def pin_hint(ref: BuildpackRef) -> str:
    """How to write a reference of an image or archive so that it names the same bytes for ever."""
    if ref.kind is RefKind.IMAGE:
        return f"add the image's digest: {ref.text}@sha256:…, or let it be looked up once: gitreceive buildpacks set APP {ref.text}"
    if ref.text.rstrip("/").endswith(".git") or not ref.text.lower().endswith(
        (".tgz", ".tar.gz", ".tar", ".cnb")
    ):
        return (
            "name an archive of a certain commit or version, and add its hash: https://HOST/FILE.tgz#sha256=…"
        )
    return f"add the archive's hash, which sha256sum tells: {ref.text}#sha256=…"
