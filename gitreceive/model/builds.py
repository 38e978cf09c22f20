"""What is built, on what, and what comes of it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

from gitreceive.errors import UsageError
from gitreceive.model.names import AppName, CommitId, Digest

_PROCESS_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,28}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class Source:
    """The tree at a commit. Read through a SourceStore; never a working copy on the server."""

    app: AppName
    commit: CommitId
    lies_in: AppName | None = None  # the app in whose repository it lies, where that is another

    @property
    def repository(self) -> AppName:
        return self.lies_in or self.app


@dataclass(frozen=True)
class SourceEntry:
    """One name at a place in a source. ``kind``: file, executable, directory, symlink or submodule."""

    name: str
    kind: str
    size: int = 0


class TreeEntry(NamedTuple):
    """One file, symbolic link or submodule of a source, by its whole path. A tuple, as there may be many.

    Two sources whose ``.gitattributes`` are the same have the same content at a path where ``mode`` and ``object`` are the same.
    """

    path: bytes
    mode: int  # git's: 0o100644, 0o100755, 0o120000 for a symbolic link, 0o160000 for a submodule
    object: str


@dataclass(frozen=True)
class ImageRef:
    """A repository with its registry, and a digest: ``127.0.0.1:5000/apps/shop@sha256:…``."""

    repository: str
    digest: Digest

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError unless ``text`` is REPOSITORY@DIGEST."""
        repository, at, digest = text.rpartition("@")
        if not at or not repository:
            raise UsageError(f"{text[:120]!r} is not an image by digest", hint="write REPOSITORY@sha256:…")
        return cls(repository, Digest.parse(digest))

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


@dataclass(frozen=True)
class StackRecipe:
    """What a stack is made of: the Debian packages of ``suite`` with ``add``, or two images to take over."""

    suite: str = "bookworm"
    add: tuple[str, ...] = ()
    build_image: str | None = None
    run_image: str | None = None


@dataclass(frozen=True)
class Stack:
    """The pair of base images, in one version: each ``stack update`` that finds something new makes the next."""

    name: str
    build: ImageRef
    run: ImageRef
    build_bytes: int  # compressed, as the registry stores it
    run_bytes: int
    packages: Mapping[str, tuple[str, ...]]  # "build" and "run": NAME=VERSION, sorted
    created_at: datetime
    recipe: StackRecipe | None = None  # None: made before recipes were kept
    version: int = 1

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class ProcessType:
    """One line of a Procfile. An empty ``command`` runs what the image runs by default."""

    name: str
    command: tuple[str, ...] = ()

    @staticmethod
    def parse_name(text: str) -> str:
        """Raise UsageError unless ``text`` can name a process type (and so a Deployment)."""
        if not _PROCESS_NAME.fullmatch(text):
            raise UsageError(
                f"{text[:60]!r} is not a process type",
                hint="use at most 30 lower-case letters, digits and hyphens, and no hyphen at either end",
            )
        return text


@dataclass(frozen=True)
class Blob:
    """A layer as a registry stores it (OCI descriptor)."""

    digest: Digest
    size: int
    media_type: str


@dataclass(frozen=True)
class Layer:
    """One layer of a build: already in the registry, or a compressed file that waits to be sent.

    ``title`` is for people and the size report: ``gitreceive/python:dependencies``, ``app``.
    """

    title: str
    diff_id: Digest  # of the uncompressed tar
    blob: Blob
    path: Path | None  # None: the registry has it


@dataclass(frozen=True)
class Build:
    """What one run of a group over a source made: layers on a run image, or an image in the Docker engine.

    ``config`` is the OCI image config's ``config`` object (Env, Entrypoint, WorkingDir, User, Labels).
    """

    buildpacks: tuple[str, ...]  # ID@VERSION in order, or ("dockerfile",)
    processes: tuple[ProcessType, ...]
    port: int | None  # what the image says it listens on (Dockerfile EXPOSE); None: it listens on $PORT
    run_image: ImageRef | None
    layers: tuple[Layer, ...]
    config: Mapping[str, object]
    engine_image: str | None = None  # id of an image that Docker built
    bases: tuple[ImageRef, ...] = ()  # what its Dockerfile names, as far as a registry knows it


@dataclass(frozen=True)
class Image:
    """What was published: pinned, with all that a target needs to know to run it."""

    ref: ImageRef
    processes: tuple[ProcessType, ...]
    port: int | None
    buildpacks: tuple[str, ...]
    size: int = 0  # compressed bytes of all layers
    bases: tuple[ImageRef, ...] = ()  # what its Dockerfile named


def script_process(image: Image, name: str, line: str) -> ProcessType:
    """A line for the shell, to be run in the image with all that its processes have: the buildpacks' environment, profile scripts."""
    by_docker = image.buildpacks == ("dockerfile",)
    return ProcessType(name, ("/bin/sh", "-c", line) if by_docker else ("/cnb/lifecycle/launcher", line))


# of a run image that was made of a stack's with system packages, and so of the images of apps on it
PACKAGES_LABEL = "io.gitreceive.system-packages"  # NAME or NAME=VERSION, with blanks between
STACK_IMAGE_LABEL = "io.gitreceive.stack-image"
BUILDPACKS_LABEL = "io.gitreceive.buildpacks"  # of an image that buildpacks made: JSON, ID@VERSION to the digest of its files


@dataclass(frozen=True)
class ImageFacts:
    """What an image's config says of where it runs, and its labels (OCI image spec, "Image Configuration")."""

    os: str
    architecture: str
    variant: str
    labels: Mapping[str, str]

    @property
    def run_image(self) -> ImageRef | None:
        """What buildpacks' layers lie on (CNB Platform API, ``io.buildpacks.lifecycle.metadata``); None where the label names none."""
        try:
            below = json.loads(self.labels["io.buildpacks.lifecycle.metadata"])["runImage"]
            return ImageRef.parse(str(below["reference"])) if below["topLayer"] else None
        except (KeyError, TypeError, ValueError, UsageError):
            return None

    @property
    def stack_image(self) -> ImageRef | None:
        """The stack's own run image below all: the run image, but for one that has system packages besides."""
        try:
            return ImageRef.parse(self.labels[STACK_IMAGE_LABEL])
        except (KeyError, UsageError):
            return self.run_image

    @property
    def packages(self) -> tuple[str, ...]:
        """The system packages that the app asked for, NAME or NAME=VERSION."""
        return tuple(self.labels.get(PACKAGES_LABEL, "").split())
