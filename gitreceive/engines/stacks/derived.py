"""Stacks with system packages: one layer more on each image, made once for a set of packages and shared by all apps."""

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gitreceive import dockerd
from gitreceive.buildpacks.system_packages import SystemPackage, of_names
from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings
from gitreceive.engines.stacks.installing import Installed, Site, docker_speaks, install
from gitreceive.errors import UnavailableError, UsageError
from gitreceive.model import PACKAGES_LABEL, STACK_IMAGE_LABEL, Build, ImageRef, Stack
from gitreceive.ports import BuildNetworks, Log, NoNetworks, Registry

_RECIPE = 1  # raise it when what is done here or in inside.py changes what comes out
_LOOK_AGAIN = 0.5  # seconds


@dataclass(frozen=True)
class Derived:
    """An image with its packages, and what they add to the one below: NAME=VERSION, compressed bytes."""

    image: ImageRef
    installed: tuple[str, ...]
    added_bytes: int


class DerivedStacks:
    """Installs packages into stacks. What was made is known in the data folder, also to the next server, and pushed beside the stack's
    images. It is a Shelf, too. ``owner`` is what a builder over the same data folder has, which sweeps up the containers of a killed server.
    """

    title = "images with system packages that nothing was built on"

    def __init__(
        self,
        settings: BuildSettings,
        data_dir: Path,
        registry: Registry,
        networks: BuildNetworks | None = None,
    ) -> None:
        self._settings = settings
        self._networks = networks or NoNetworks()
        self._folder = data_dir / "system-packages"
        self._spools = data_dir / "tmp" / "builds"  # a builder removes what a killed server left there
        self._registry = registry
        self.owner = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
        self._labels = {"gitreceive.data": self.owner, "gitreceive.job": ""}
        self._client_lock = threading.Lock()
        self._client: dockerd.Client | None = None

    def close(self) -> None:
        """Let go of the connections to Docker."""
        self._networks.close()
        with self._client_lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def derive(
        self, stack: Stack, packages: Sequence[SystemPackage], log: Log, cancel: Cancellation
    ) -> Stack:
        """The stack with the packages in both images. Its name tells it from the stack without them, and stays when the stack is updated.

        Raises SourceError for a package that there is not; BuildError, BuildLimitError, UnavailableError, RegistryError, ConfigError,
        CanceledError.
        """
        run, build = self._read(stack.run, packages), self._read(stack.build, packages)
        log.step(_beginning(stack, packages, run if build else None))
        if run is None or build is None:
            since = time.monotonic()
            run = run or self.derive_image(stack, "run", packages, log, cancel)
            build = build or self.derive_image(stack, "build", packages, log, cancel)
            took = time.monotonic() - since
            log.detail(f"they add {_size(run.added_bytes)} to the image; that took {took:.0f} s")
        return replace(
            stack,
            name=f"{stack.name}+{_key(*packages)[:8]}",
            run=run.image,
            build=build.image,
            run_bytes=stack.run_bytes + run.added_bytes,
            build_bytes=stack.build_bytes + build.added_bytes,
        )

    def run_image(self, stack: Stack, packages: Sequence[str], log: Log, cancel: Cancellation) -> ImageRef:
        """A RunImages."""
        wanted = of_names(packages)
        known = self._read(stack.run, wanted)
        log.step(_beginning(stack, wanted, known))
        return (known or self.derive_image(stack, "run", wanted, log, cancel)).image

    def derive_image(
        self, stack: Stack, kind: str, packages: Sequence[SystemPackage], log: Log, cancel: Cancellation
    ) -> Derived:
        """The stack's image ``kind``, run or build, with the packages: the one that was made before, where the registry still has it.

        Only one is made at a time of the same image and packages; who comes later waits for it. Raises as ``derive``.
        """
        base = stack.run if kind == "run" else stack.build
        with self._alone(base, packages, log, cancel):
            return self._read(base, packages) or self._make(stack, kind, base, packages, (log, cancel))

    def unused(self, seconds: float) -> dict[str, int]:
        """A Shelf: records of what was installed for builds. Its bytes are the registry's, and so are none of this machine."""
        with _disk_speaks():
            idle = (path for path in self._folder.glob("*.json") if _idle(path, seconds))
            return dict.fromkeys((path.stem for path in idle), 0)

    def drop(self, name: str, seconds: float) -> bool:
        """The record goes first: who asks from then on makes the image anew. Those that apps have are not touched: their layers are their own."""
        path = self._folder / f"{name}.json"
        with _disk_speaks():
            try:
                image = ImageRef.parse(json.loads(path.read_text(encoding="utf-8"))["image"])
            except (ValueError, TypeError, KeyError, UsageError):
                image = None  # nobody can use it either
            if not _idle(path, seconds):
                return False
            path.unlink()
        if image is not None:
            self._registry.remove(image)
        return True

    def _make(
        self,
        stack: Stack,
        kind: str,
        base: ImageRef,
        packages: Sequence[SystemPackage],
        talk: tuple[Log, Cancellation],
    ) -> Derived:
        log, cancel = talk
        log.detail(f"{kind} image: reading the package lists")
        with self._spool() as spool:
            site = Site(self._connect(), self._settings, self._labels, log, cancel, self._networks)
            installed = install(base, packages, spool / "layer.tar.gz", site)
            _tell(installed, kind, log)
            build = Build(
                buildpacks=(),
                processes=(),
                port=None,
                run_image=base,
                layers=(installed.layer,) if installed.layer else (),
                config={
                    "Labels": {PACKAGES_LABEL: " ".join(map(str, packages)), STACK_IMAGE_LABEL: str(base)}
                },
            )
            image = self._registry.publish(build, f"stacks/{stack.name}-{kind}", _Quiet(log), cancel)
        added = installed.layer.blob.size if installed.layer else 0
        made = Derived(image, installed.packages, added)
        self._write(base, packages, made)
        return made

    def _read(self, base: ImageRef, packages: Sequence[SystemPackage]) -> Derived | None:
        """What was made before, where the registry still has it whole. A record that cannot be read counts as none."""
        try:
            document = json.loads(self._path(base, packages).read_text(encoding="utf-8"))
            image = ImageRef.parse(document["image"])
            made = Derived(image, tuple(document["installed"]), int(document["added_bytes"]))
        except (OSError, ValueError, TypeError, KeyError, UsageError):
            return None
        if not self._registry.layers(image):
            return None
        with contextlib.suppress(OSError):  # gone, or not ours to write: then it is as old as it was
            os.utime(self._path(base, packages))  # used now
        return made

    def _write(self, base: ImageRef, packages: Sequence[SystemPackage], made: Derived) -> None:
        document = {
            "image": str(made.image),
            "base": str(base),
            "packages": [str(package) for package in packages],
            "installed": list(made.installed),
            "added_bytes": made.added_bytes,
        }
        path = self._path(base, packages)
        with _disk_speaks():
            new = path.with_suffix(".new")
            new.write_text(json.dumps(document, indent=1), encoding="utf-8")
            new.rename(path)

    @contextlib.contextmanager
    def _alone(
        self, base: ImageRef, packages: Sequence[SystemPackage], log: Log, cancel: Cancellation
    ) -> Iterator[None]:
        """A lock on the file system: other processes, such as a command that rebases, make these images too."""
        with _disk_speaks():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = self._path(base, packages).with_suffix(".lock").open("w", encoding="ascii")
        with lock:
            waiting = False
            while not _taken(lock.fileno()):
                if not waiting:
                    log.detail("waiting for another push that installs the same packages")
                waiting = True
                cancel.wait(_LOOK_AGAIN)
            yield

    @contextlib.contextmanager
    def _spool(self) -> Iterator[Path]:
        with _disk_speaks():
            self._spools.mkdir(parents=True, exist_ok=True)
            place = tempfile.TemporaryDirectory(prefix="packages-", dir=self._spools)
        with place as name:
            yield Path(name)

    def _connect(self) -> dockerd.Client:
        with self._client_lock, docker_speaks():
            if self._client is None:
                self._client = dockerd.connect()
            return self._client

    def _path(self, base: ImageRef, packages: Sequence[SystemPackage]) -> Path:
        return self._folder / f"{_key(_RECIPE, base, *packages)}.json"


def _idle(path: Path, seconds: float) -> bool:
    return time.time() - path.stat().st_mtime > seconds


def _beginning(stack: Stack, packages: Sequence[SystemPackage], known: Derived | None) -> str:
    names = ", ".join(map(str, packages))
    if known:
        return f"System packages: {names} (installed before, {_size(known.added_bytes)})"
    return f"Installing system packages: {names} (first use of this set on the stack {stack.name})"


class _Quiet:
    """The log without the small print of a publish, which is the app's own story further down."""

    def __init__(self, log: Log) -> None:
        self.step = log.step
        self.warn = log.warn
        self.error = log.error
        self.write = log.write

    def detail(self, text: str) -> None:
        """Not said."""


def _key(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tell(installed: Installed, kind: str, log: Log) -> None:
    if installed.layer is None:
        log.detail(f"the {kind} image has all of them already")
        return
    for program in installed.setuid if kind == "run" else ():
        log.warn(f"{program} runs as its owner or group, whoever starts it (setuid); apps cannot use that")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


@contextlib.contextmanager
def _disk_speaks() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"what is kept of system packages cannot be written: {error}",
            hint="see to the disk of the data folder",
        ) from error
