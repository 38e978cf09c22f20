"""An image to run, made of the Python that runs the tests: no registry of base images is needed."""

import io
import os
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import docker
from docker.utils import kwargs_from_env

from gitreceive.model import Digest, ImageRef

_LEFT_OUT = {
    "__pycache__",
    "site-packages",
    "dist-packages",
    "test",
    "idlelib",
    "tkinter",
    "ensurepip",
    "lib2to3",
}
_SHELL = Path("/bin/busybox")


def client() -> docker.APIClient:
    return docker.APIClient(version="auto", timeout=120, **kwargs_from_env(environment=dict(os.environ)))


def registry() -> str:
    return os.environ.get("GITRECEIVE_REGISTRY") or "127.0.0.1:5000"


@contextmanager
def python_image() -> Iterator[ImageRef]:
    """An image with ``python3`` (and ``sh``, where busybox is on this host), in engine and registry, for as long as asked."""
    engine = client()
    repository = f"{registry()}/tests/python-{uuid4().hex[:8]}"
    try:
        image = engine.import_image_from_data(_root(), repository=repository, tag="1")
        if "error" in str(image):
            raise RuntimeError(str(image))
        yield push(engine, repository, "1")
    finally:
        for listed in engine.images(name=repository):
            engine.remove_image(listed["Id"], force=True)
        engine.close()


def push(engine: docker.APIClient, repository: str, tag: str) -> ImageRef:
    for entry in engine.push(repository, tag=tag, stream=True, decode=True):
        if "error" in entry:
            raise RuntimeError(entry["error"])
        if "aux" in entry:
            return ImageRef(repository, Digest.parse(entry["aux"]["Digest"]))
    raise RuntimeError("the engine told no digest")


def _root() -> bytes:
    library = Path(sysconfig.get_path("stdlib")).resolve()
    executable = Path(sys.executable).resolve()
    modules = [
        path
        for path in library.rglob("*")
        if path.is_file() and not _LEFT_OUT.intersection(path.relative_to(library).parts)
    ]
    linked = {executable, *(path for path in modules if path.suffix == ".so")}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as tar:
        for path in [executable, *modules, *_shared_libraries(linked)]:
            tar.add(path, str(path))
        links = {"/usr/bin/python3": str(executable), "/bin/sh": str(_SHELL), "/bin/sleep": str(_SHELL)}
        for link, aim in links.items():
            if link != str(executable) and Path(aim).exists():
                entry = tarfile.TarInfo(link)
                entry.type, entry.linkname = tarfile.SYMTYPE, aim
                tar.addfile(entry)
        if _SHELL.exists():
            tar.add(_SHELL, str(_SHELL))
        for folder in ("/tmp", "/app"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
    return buffer.getvalue()


def _shared_libraries(binaries: set[Path]) -> set[Path]:
    run = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False)
    words = {word for line in run.stdout.splitlines() for word in line.split() if word.startswith("/")}
    return {path for word in words if not word.endswith(":") and (path := Path(word)).is_file()}
