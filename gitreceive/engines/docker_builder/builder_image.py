"""The image that builds run in: a stack's build image with the lifecycle and the buildpacks, made once and kept by content."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound, NotFound

from gitreceive import lifecycle
from gitreceive.errors import ConfigError, UnavailableError
from gitreceive.lifecycle.folder import Buildpack, Folder
from gitreceive.model import ImageRef, Stack
from gitreceive.ports import Log

HOME = "/home/app"
USER = 1000

_REPOSITORY = "gitreceive/builder"
_LABEL = "gitreceive.builder"
_RECIPE = 2  # raise it when what is done here changes
_START = """import sys
from gitreceive.lifecycle.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
# compiled once here, so that no build pays for it; it also shows whether the image's Python will do
_COMPILE = """import compileall, py_compile, sys
sys.version_info >= (3, 11) or sys.exit("it has Python %d.%d" % sys.version_info[:2])
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
compileall.compile_dir("/cnb", maxlevels=20, quiet=2, invalidation_mode=mode)
"""


class BuilderImages:
    """Makes builder images. ``owner`` tells those of one server from another's on the same Docker engine."""

    def __init__(self, client: docker.APIClient, owner: str) -> None:
        self._client = client
        self._owner = owner
        self._lock = threading.Lock()
        self._seen: set[str] = set()

    def ensure(self, recipe: "Recipe", log: Log, *, look: bool) -> None:
        """Make the image unless it is there; without ``look``, one that was there once is taken to be there still.

        Raises ConfigError, docker's errors pass.
        """
        tag, stack = recipe.tag, recipe.stack
        with self._lock:
            if (look or tag not in self._seen) and not self._there(tag):
                log.detail(
                    f"preparing the build image (once for each stack and set of buildpacks): {stack.name}"
                )
                self._make(stack, recipe.files, tag)
                self._remove_older(stack, tag)
            self._seen.add(tag)

    def _there(self, tag: str) -> bool:
        try:
            self._client.inspect_image(tag)  # type: ignore[no-untyped-call]
        except ImageNotFound:
            return False
        return True

    def _make(self, stack: Stack, files: Sequence[tuple[str, bytes, int]], tag: str) -> None:
        self._pull(stack.build)
        command = ["/usr/bin/python3", "-ISB", "-c", _COMPILE]
        container = self._client.create_container(
            str(stack.build),
            entrypoint=command,
            command=[],
            user="0:0",
            labels={
                _LABEL: self._owner,
                "gitreceive.stack": stack.name,
                "gitreceive.data": self._owner,
                "gitreceive.job": "",
            },
            host_config=self._client.create_host_config(network_mode="none"),
        )["Id"]
        try:
            self._client.put_archive(container, "/", _archive(files))
            self._start(container, stack)
            repository, _, label = tag.partition(":")
            self._client.commit(container, repository, label)
        finally:
            self._client.remove_container(container, force=True, v=True)

    def _start(self, container: str, stack: Stack) -> None:
        hint = "the build image needs /usr/bin/python3, 3.11 or newer"
        try:
            self._client.start(container)
        except APIError as error:
            raise ConfigError(f"stack {stack.name} cannot build: {error.explanation}", hint=hint) from error
        if self._client.wait(container)["StatusCode"]:
            said = self._client.logs(container).decode(errors="replace").strip()
            raise ConfigError(f"stack {stack.name} cannot build: {said}", hint=hint)

    def _pull(self, image: ImageRef) -> None:
        if self._there(str(image)):
            return
        try:
            self._client.pull(image.repository, tag=str(image.digest))
        except (NotFound, APIError) as error:
            raise UnavailableError(
                f"Docker cannot pull the stack's build image {image}: {error}",
                hint="is the registry up, and does it still hold the stack? gitreceive stack create makes it anew",
            ) from error

    def _remove_older(self, stack: Stack, tag: str) -> None:
        labels = [f"{_LABEL}={self._owner}", f"gitreceive.stack={stack.name}"]
        for image in self._client.images(filters={"label": labels}):
            if tag in (image.get("RepoTags") or ()):
                continue
            try:
                self._client.remove_image(image["Id"])
            except APIError:
                continue  # a build still runs in it, or it is gone: the next change looks again


@dataclass(frozen=True)
class Recipe:
    """What a builder image is made of. ``tag`` names it by all of that."""

    stack: Stack
    files: tuple[tuple[str, bytes, int], ...]
    tag: str


def recipe(stack: Stack, folder: Folder, path: Path) -> Recipe:
    """For this stack and the buildpacks that are in the folder now. Docker is not asked."""
    files = tuple(_files(folder, path))
    return Recipe(stack, files, f"{_REPOSITORY}:{_hash(stack, files)}")


def _files(folder: Folder, path: Path) -> Iterator[tuple[str, bytes, int]]:
    """Name, content and mode of all that is added, in a fixed order."""
    yield "cnb/lifecycle/__main__.py", _START.encode(), 0o644
    yield "cnb/lifecycle/gitreceive/__init__.py", b"", 0o644
    program = Path(lifecycle.__file__).parent
    for file in sorted(program.glob("*.py")):
        yield f"cnb/lifecycle/gitreceive/lifecycle/{file.name}", file.read_bytes(), 0o644
    yield "cnb/lifecycle/launcher", (program / "launcher").read_bytes(), 0o755
    yield "cnb/buildpacks/order.toml", (path / "order.toml").read_bytes(), 0o644
    for identity in sorted(folder.buildpacks):
        for buildpack in folder.buildpacks[identity]:
            place = f"cnb/buildpacks/{_place(buildpack, path)}"
            for file in sorted(buildpack.path.rglob("*")):
                if file.is_file() and not _NOT_ADDED.intersection(file.relative_to(buildpack.path).parts):
                    mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
                    yield f"{place}/{file.relative_to(buildpack.path).as_posix()}", file.read_bytes(), mode


_NOT_ADDED = {"__pycache__", ".git"}


def _place(buildpack: Buildpack, path: Path) -> str:
    """A classic buildpack's id is that of its folder, which it keeps."""
    if buildpack.classic:
        return buildpack.path.relative_to(path.resolve()).as_posix()
    return f"{buildpack.folder}/{buildpack.version}"


def _hash(stack: Stack, files: Sequence[tuple[str, bytes, int]]) -> str:
    digest = hashlib.sha256(f"{_RECIPE} {stack.build}\n".encode())
    for name, content, mode in files:
        digest.update(f"{name} {mode:o} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:24]


def _archive(files: Sequence[tuple[str, bytes, int]]) -> bytes:
    """Owned by root, but for the folders that a build writes to."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("layers", "workspace", "platform", "app", HOME.strip("/")):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, 0o755, USER, USER
            tar.addfile(info)
        for name, content, mode in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
