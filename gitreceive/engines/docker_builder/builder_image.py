"""The image that builds run in: a stack's build image with the lifecycle and the buildpacks, made once and kept by content."""

import functools
import hashlib
import io
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from docker.errors import APIError, ImageNotFound

from gitreceive import dockerd, lifecycle
from gitreceive.buildpacks.gather import Gathered
from gitreceive.cancellation import Cancellation
from gitreceive.errors import ConfigError, DetectError, RolloutError, UnavailableError
from gitreceive.lifecycle import classic
from gitreceive.lifecycle.folder import Buildpack
from gitreceive.model import ImageRef, Stack
from gitreceive.ports import Log

HOME = "/home/app"
USER = 1000

_PLACE = "cnb/buildpacks"
_REPOSITORY = "gitreceive/builder"
_LABEL = "gitreceive.builder"
_BASE, _EXTRA = "gitreceive.builder.base", "gitreceive.builder.extra"
_MOST_EXTRA = 20  # images with buildpacks of certain apps: one that is gone is made again when it is wanted
_RECIPE = 3  # raise it when what is done here changes
_START = """import sys
from gitreceive.lifecycle.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
# compiled once here, so that no build pays for it; it also shows whether the image's Python will do
_COMPILE = """import compileall, py_compile, sys
sys.version_info >= (3, 11) or sys.exit("it has Python %d.%d" % sys.version_info[:2])
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
for folder in sys.argv[1:]:
    compileall.compile_dir(folder, maxlevels=20, quiet=2, invalidation_mode=mode)
"""


class BuilderImages:
    """Makes builder images. ``owner`` tells those of one server from another's on the same Docker engine."""

    def __init__(self, client: dockerd.Client, owner: str) -> None:
        self._client = client
        self._owner = owner
        self._lock = threading.Lock()
        self._seen: set[str] = set()

    def ensure(self, recipe: "Recipe", log: Log, cancel: Cancellation, *, look: bool) -> None:
        """Make the image unless it is there; without ``look``, one that was there once is taken to be there still.

        Raises ConfigError, docker's errors pass.
        """
        tag, stack = recipe.tag, recipe.stack
        with self._lock:
            if (look or tag not in self._seen) and not self._there(tag):
                log.detail(
                    f"preparing the build image (once for each stack and set of buildpacks): {stack.name}"
                )
                self._make(recipe, cancel)
                self._remove_older(recipe)
            self._seen.add(tag)

    def _there(self, tag: str) -> bool:
        try:
            self._client.inspect_image(tag)  # type: ignore[no-untyped-call]
        except ImageNotFound:
            return False
        return True

    def _make(self, recipe: "Recipe", cancel: Cancellation) -> None:
        stack = recipe.stack
        self._pull(stack.build, cancel)
        command = ["/usr/bin/python3", "-ISB", "-c", _COMPILE, "/cnb/lifecycle", *recipe.compiled]
        container = self._client.create_container(
            str(stack.build),
            entrypoint=command,
            command=[],
            user="0:0",
            labels={
                _LABEL: self._owner,
                "gitreceive.stack": stack.name,
                _BASE: str(stack.build),
                _EXTRA: "yes" if recipe.extra else "",
                "gitreceive.data": self._owner,
                "gitreceive.job": "",
            },
            host_config=self._client.create_host_config(network_mode="none"),
        )["Id"]
        try:
            with tempfile.TemporaryFile() as archive:
                _write_archive(recipe.files, archive)
                self._client.put_archive(container, "/", archive)
            self._start(container, stack)
            repository, _, label = recipe.tag.partition(":")
            self._client.commit(container, repository, label)
        finally:
            self._client.remove_container(container, force=True, v=True)

    def _start(self, container: str, stack: Stack) -> None:
        hint = "the build image needs /usr/bin/python3, 3.11 or newer"
        try:
            self._client.start(container)
        except APIError as error:
            raise ConfigError(f"stack {stack.name} cannot build: {error.explanation}", hint=hint) from error
        if self._client.await_end(container):
            said = self._client.logs(container).decode(errors="replace").strip()
            raise ConfigError(f"stack {stack.name} cannot build: {said}", hint=hint)

    def _pull(self, image: ImageRef, cancel: Cancellation) -> None:
        if self._there(str(image)):
            return
        try:
            self._client.fetch(image.repository, str(image.digest), cancel)
        except RolloutError as error:
            raise UnavailableError(
                f"Docker cannot pull the stack's build image {image}: {error}",
                hint="is the registry up, and does it still hold the stack? gitreceive stack create makes it anew",
            ) from error

    def _remove_older(self, recipe: "Recipe") -> None:
        """Of another stack image all; of this one what the recipe takes the place of, or too many that were made for apps."""
        labels = [f"{_LABEL}={self._owner}", f"gitreceive.stack={recipe.stack.name}"]
        there = [
            image
            for image in self._client.images(filters={"label": labels})
            if recipe.tag not in (image.get("RepoTags") or ())
        ]
        for image in outdated(there, recipe):
            try:
                self._client.remove_image(image["Id"])
            except APIError:
                continue  # a build still runs in it, or it is gone: the next change looks again


def outdated(images: Sequence[Mapping[str, Any]], recipe: "Recipe") -> Iterator[Mapping[str, Any]]:
    """Which of the stack's other images, as Docker lists them, are of no more use once the recipe's is there."""
    extra = []
    for image in images:
        labels = image.get("Labels") or {}
        if labels.get(_BASE) != str(recipe.stack.build) or not (labels.get(_EXTRA) or recipe.extra):
            yield image
        elif labels.get(_EXTRA):
            extra.append(image)
    extra.sort(key=lambda image: float(image.get("Created", 0)), reverse=True)
    yield from extra[_MOST_EXTRA - recipe.extra :]


@dataclass(frozen=True)
class BuilderFile:
    """``name`` is its path in the image; a large content stays where it lies until it is wanted."""

    name: str
    content: bytes | Path
    mode: int


@dataclass(frozen=True)
class Recipe:
    """What a builder image is made of. ``tag`` names it by all of that. ``extra``: it has buildpacks that an app chose.

    ``digests`` are those of each buildpack's files, by ID@VERSION. ``compiled`` are the folders of the server's own, whose Python is compiled in advance: nobody waits for what others wrote.
    """

    stack: Stack
    files: tuple[BuilderFile, ...]
    tag: str
    extra: bool = False
    compiled: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)


def recipe(stack: Stack, gathered: Gathered, path: Path) -> Recipe:
    """For this stack, the buildpacks that are in the server's folder ``path`` now, and those of a choice. Docker is not asked.

    Raises DetectError for a buildpack of the choice that has a link out of its folder.
    """
    files = tuple(_files(gathered, path))
    own = (b for there in gathered.folder.buildpacks.values() for b in there if b not in gathered.extra)
    return Recipe(
        stack=stack,
        files=files,
        tag=f"{_REPOSITORY}:{_hash(stack, files)}",
        extra=bool(gathered.extra),
        compiled=tuple(sorted(f"/{_PLACE}/{_place(buildpack)}" for buildpack in own)),
        digests={
            f"{buildpack.id}@{buildpack.version}": _digest_below(f"{_PLACE}/{_place(buildpack)}/", files)
            for there in gathered.folder.buildpacks.values()
            for buildpack in there
        },
    )


def _files(gathered: Gathered, path: Path) -> Iterator[BuilderFile]:
    """All that is added, in a fixed order."""
    yield BuilderFile("cnb/lifecycle/__main__.py", _START.encode(), 0o644)
    yield BuilderFile("cnb/lifecycle/gitreceive/__init__.py", b"", 0o644)
    program = Path(lifecycle.__file__).parent
    for file in sorted(program.glob("*.py")):
        yield BuilderFile(f"cnb/lifecycle/gitreceive/lifecycle/{file.name}", file, 0o644)
    yield BuilderFile("cnb/lifecycle/launcher", program / "launcher", 0o755)
    yield BuilderFile(f"{_PLACE}/order.toml", path / "order.toml", 0o644)
    for identity in sorted(gathered.folder.buildpacks):
        for buildpack in gathered.folder.buildpacks[identity]:
            yield from _files_of(buildpack, chosen=buildpack in gathered.extra)


def _files_of(buildpack: Buildpack, *, chosen: bool) -> Iterator[BuilderFile]:
    place = f"{_PLACE}/{_place(buildpack)}"
    root = buildpack.path.resolve()
    for file in sorted(buildpack.path.rglob("*")):
        inside = file.relative_to(buildpack.path)
        if not file.is_file() or _NOT_ADDED.intersection(inside.parts):
            continue
        if chosen and not file.resolve().is_relative_to(root):
            raise DetectError(f"buildpack {buildpack.id}: {inside} is a link that leads out of it")
        mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
        yield BuilderFile(f"{place}/{inside.as_posix()}", file, mode)


_NOT_ADDED = {"__pycache__", ".git"}


def _place(buildpack: Buildpack) -> str:
    """A classic buildpack's id is that of its folder, which it keeps."""
    return classic.place(buildpack.id) if buildpack.classic else f"{buildpack.folder}/{buildpack.version}"


def _hash(stack: Stack, files: Sequence[BuilderFile]) -> str:
    digest = hashlib.sha256(f"{_RECIPE} {stack.build}\n".encode())
    for file in files:
        digest.update(f"{file.name} {file.mode:o} {_digest(file.content)}\n".encode())
    return digest.hexdigest()[:24]


def _digest_below(place: str, files: Sequence[BuilderFile]) -> str:
    """Of names, modes and contents, wherever the buildpack stands."""
    digest = hashlib.sha256()
    for file in files:
        if file.name.startswith(place):
            line = f"{file.name.removeprefix(place)} {file.mode:o} {_digest(file.content)}"
            digest.update(f"{line}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _digest(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    seen = content.stat()
    return _digest_of(content, (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))


@functools.lru_cache(maxsize=1 << 14)
def _digest_of(path: Path, _seen: tuple[int, ...]) -> str:
    """Read once for as long as the file is what was seen: every push asks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_archive(files: Sequence[BuilderFile], archive: IO[bytes]) -> None:
    """A tar: all is owned by root, but for the folders that a build writes to."""
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("layers", "workspace", "platform", "app", HOME.strip("/")):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, 0o755, USER, USER
            tar.addfile(info)
        for file in files:
            with _open(file.content) as content:
                info = tarfile.TarInfo(file.name)
                info.size, info.mode = content.seek(0, io.SEEK_END), file.mode
                content.seek(0)
                tar.addfile(info, content)
    archive.seek(0)


def _open(content: bytes | Path) -> IO[bytes]:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
