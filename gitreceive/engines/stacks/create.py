"""``gitreceive stack create`` and ``stack update``: two images in the registry, and the record of them."""

import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from gitreceive.cancellation import Cancellation
from gitreceive.engines.stacks.bootstrap import Workshop, bootstrap, wheel_program
from gitreceive.engines.stacks.inspect import inspect
from gitreceive.engines.stacks.rootfs import GROUP_ID, PROGRAM_FOLDER, USER_ID, finish
from gitreceive.errors import UsageError
from gitreceive.model import Blob, Build, ImageRef, Layer, Stack, StackRecipe
from gitreceive.ports import Log, Registry

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
_SUITE = re.compile(r"[a-z][a-z0-9-]{0,38}", re.ASCII)
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+", re.ASCII)  # Debian policy 5.6.7
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


class ImageStore(Registry, Protocol):
    """A registry that can also take images over from another and hand out layers."""

    def copy(self, reference: str, repository: str, log: Log, cancel: Cancellation) -> ImageRef:
        """The image, unchanged, now in ``repository``. Raises RegistryError, CanceledError, UsageError."""

    def blobs(self, image: ImageRef) -> tuple[Blob, ...]:
        """The layers, bottom first. Raises RegistryError."""

    def fetch(self, image: ImageRef, blob: Blob, path: Path, cancel: Cancellation) -> None:
        """Download a layer, checked, to ``path``. Raises RegistryError, CanceledError."""


@dataclass(frozen=True)
class StackRequest:
    """A stack that is to be made, or made again of what there is now."""

    name: str
    recipe: StackRecipe = field(default_factory=StackRecipe)

    def check(self) -> None:
        """Raise UsageError on what cannot be made."""
        suite, add, build_image, run_image = astuple(self.recipe)
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name[:60]!r} is not a stack name",
                hint="use 1 to 40 lower-case letters, digits and hyphens",
            )
        if not _SUITE.fullmatch(suite):
            raise UsageError(f"{suite[:60]!r} is not a Debian suite", hint="such as --suite bookworm")
        if bool(build_image) != bool(run_image):
            raise UsageError(
                "a stack is a pair of images",
                hint="give --build-image and --run-image, or neither for Debian packages",
            )
        if add and build_image:
            raise UsageError(
                "--add is for stacks of Debian packages", hint="put the packages into the images"
            )
        for package in add:
            if not _PACKAGE.fullmatch(package):
                raise UsageError(
                    f"{package[:60]!r} is not a Debian package name", hint="such as --add libmagic1"
                )


def create(
    request: StackRequest,
    images: ImageStore,
    environment: Mapping[str, str],
    log: Log,
    cancel: Cancellation,
    *,
    known: Stack | None = None,
) -> Stack:
    """Make or copy both images and describe them. Nothing is recorded here: the caller puts the Stack into the ledger.

    ``environment`` is for the programs that are started (mmdebstrap, pip). What is an image of ``known`` is not looked into again.
    Raises UsageError, UnavailableError, BuildError,
    RegistryError, CanceledError.
    """
    request.check()
    packages: dict[str, tuple[str, ...]] = {}
    refs: dict[str, ImageRef] = {}
    recipe = request.recipe
    for kind, reference in (("run", recipe.run_image), ("build", recipe.build_image)):
        if reference:
            log.step(f"Taking over the {kind} image {reference}")
            refs[kind] = images.copy(reference, _repository(request, kind), log, cancel)
            seen = known is not None and refs[kind] == (known.run if kind == "run" else known.build)
            packages[kind] = (
                known.packages[kind] if known and seen else inspect(images, refs[kind], log, cancel)
            )
            continue
        log.step(f"Making the {kind} image of Debian packages ({recipe.suite})")
        with tempfile.TemporaryDirectory(prefix="gitreceive-stack-") as folder:
            shop = Workshop(Path(folder), environment, log, cancel)
            refs[kind], packages[kind] = _from_packages(request, kind, images, shop)
    return Stack(
        name=request.name,
        build=refs["build"],
        run=refs["run"],
        build_bytes=images.size(refs["build"]),
        run_bytes=images.size(refs["run"]),
        packages=packages,
        created_at=datetime.now(UTC),
        recipe=recipe,
    )


def _from_packages(
    request: StackRequest, kind: str, images: ImageStore, shop: Workshop
) -> tuple[ImageRef, tuple[str, ...]]:
    lists = tomllib.loads(files(__package__).joinpath("debian.toml").read_text(encoding="utf-8"))
    wanted = tuple(sorted({*lists[kind]["packages"], *request.recipe.add}))
    programs = tuple(wheel_program(wheel, shop) for wheel in lists[kind]["wheels"])
    shop.log.detail(f"packages: {' '.join(wanted)}")
    tree = bootstrap(request.recipe.suite, wanted, lists["leave_out"], shop)
    shop.log.detail("writing the layer")
    path = shop.folder / "layer.tar.gz"
    made = finish(tree, path, programs, shop.cancel)
    blob = Blob(made.digest, made.size, _LAYER)
    build = Build(
        buildpacks=(),
        processes=(),
        port=None,
        run_image=None,
        layers=(Layer(f"Debian {request.recipe.suite} {kind}", made.diff_id, blob, path),),
        config=_config(request, kind),
    )
    ref = images.publish(build, _repository(request, kind), shop.log, shop.cancel)
    return ref, tuple(sorted((*made.packages, *(f"{p.name}={p.version}" for p in programs))))


def _repository(request: StackRequest, kind: str) -> str:
    return f"stacks/{request.name}-{kind}"


def _config(request: StackRequest, kind: str) -> dict[str, object]:
    return {
        "User": f"{USER_ID}:{GROUP_ID}",
        "WorkingDir": "/workspace",
        "Cmd": ["/bin/bash"],
        "Env": [
            f"PATH=/usr/local/sbin:/{PROGRAM_FOLDER}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/home/app",
            "LANG=C.UTF-8",
            # CNB Platform spec, "Build Image" and "Run Image"
            *((f"CNB_USER_ID={USER_ID}", f"CNB_GROUP_ID={GROUP_ID}") if kind == "build" else ()),
        ],
        "Labels": {
            "io.buildpacks.base.distro.name": "debian",
            "io.buildpacks.base.distro.version": request.recipe.suite,
            "io.buildpacks.stack.id": f"gitreceive.{request.name}",
        },
    }
