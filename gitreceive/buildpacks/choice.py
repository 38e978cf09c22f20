"""Who says by which buildpacks a source is built: the first of the push, the app's own list, project.toml, .buildpacks. Pure."""

from collections.abc import Iterator, Sequence

from gitreceive.errors import DetectError
from gitreceive.model import BuildpackRef, Choice, Project, PushOptions, RefKind, Wanted

APP_LIST = "gitreceive buildpacks set"


def choose(
    options: PushOptions, of_app: Sequence[str], project: Project, listed: Sequence[BuildpackRef]
) -> Choice:
    """``of_app`` are the references that the ledger has for the app. Raises DetectError for a group that names one twice, or
    one that is not pinned.
    """
    wishes = [wish for wish in _wishes(options, of_app, project, listed) if wish[1]]
    if not wishes:
        choice = Choice(before=project.before, after=project.after)
        _check("project.toml", (*choice.before, *choice.after))
        return choice
    (by, group), *others = wishes
    _check(by, group)
    return Choice(by, group, instead_of=tuple(other for other, _ in others))


def _wishes(
    options: PushOptions, of_app: Sequence[str], project: Project, listed: Sequence[BuildpackRef]
) -> Iterator[tuple[str, tuple[Wanted, ...]]]:
    pushed = options.buildpack
    yield f"-o buildpack={pushed}", (BuildpackRef.parse(pushed),) if pushed else ()
    yield APP_LIST, tuple(map(BuildpackRef.parse, of_app))
    yield "project.toml", project.group
    yield ".buildpacks", tuple(listed)


def _check(by: str, group: Sequence[Wanted]) -> None:
    seen: set[str] = set()
    for wanted in group:
        name = wanted.text if isinstance(wanted, BuildpackRef) else f"{wanted.id}@{wanted.version}"
        if name in seen:
            raise DetectError(f"{by}: {name} is named twice", hint="each buildpack of a group runs once")
        seen.add(name)
        if isinstance(wanted, BuildpackRef) and not wanted.pinned:
            raise DetectError(f"{by}: {name} is not pinned", hint=pin_hint(wanted))


def pin_hint(ref: BuildpackRef) -> str:
    """How to write a reference of an image or archive so that it names the same bytes for ever."""
    if ref.kind is RefKind.IMAGE:
        return f"add the image's digest: {ref.text}@sha256:…, or let it be looked up once: {APP_LIST} APP {ref.text}"
    if ref.text.rstrip("/").endswith(".git") or not ref.text.lower().endswith(
        (".tgz", ".tar.gz", ".tar", ".cnb")
    ):
        return (
            "name an archive of a certain commit or version, and add its hash: https://HOST/FILE.tgz#sha256=…"
        )
    return f"add the archive's hash, which sha256sum tells: {ref.text}#sha256=…"
