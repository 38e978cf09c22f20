"""What the tests of the builder stand on: a stack, buildpacks written on the spot, sources in memory."""

import contextlib
import gzip
import io
import tarfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha1
from pathlib import Path
from typing import BinaryIO

import pytest

from gitreceive.buildpacks.choice import read_choice
from gitreceive.cancellation import Cancellation
from gitreceive.engines.docker_builder import DockerBuilder
from gitreceive.model import (
    AppName,
    Blob,
    Build,
    CommitId,
    Digest,
    JobId,
    Layer,
    PushOptions,
    Source,
    SourceEntry,
    Stack,
    TreeEntry,
)
from gitreceive.ports import BuildRequest

Make = Callable[..., DockerBuilder]
WEB = """
cat > $CNB_LAYERS_DIR/launch.toml <<END
[[processes]]
type = "web"
command = ["sh", "-c", "cat hello; echo from $GREETER"]
default = true
END
"""
LAYER = """
layer=$CNB_LAYERS_DIR/deps
if [ -d $layer ]; then echo "deps are there"; else
  mkdir -p $layer/env.launch; echo -n layers > $layer/env.launch/GREETER
  seq 1 20000 > $layer/numbers; echo "deps are made"
fi
printf '[types]\\nlaunch = true\\ncache = true\\n[metadata]\\nkey = "a"\\n' > $layer.toml
"""


def write_buildpack(
    folder: Path,
    name: str,
    *,
    build: str,
    detect: str = "exit 0",
    api: str = "0.10",
    detects: tuple[str, ...] = (),
) -> None:
    """``gitreceive-test/NAME`` 1.0 with two shell scripts."""
    place = folder / name
    (place / "bin").mkdir(parents=True)
    (place / "buildpack.toml").write_text(
        f'api = "{api}"\n[buildpack]\nid = "test/{name}"\nversion = "1.0"\n'
        f"[metadata.gitreceive]\ndetects = {list(detects)!r}\n"
    )
    for program, script in (("detect", detect), ("build", build)):
        file = place / "bin" / program
        file.write_text(f"#!/bin/bash\n{textwrap.dedent(script)}\n")
        file.chmod(0o755)


def write_order(folder: Path, *groups: tuple[str, ...]) -> None:
    """A name that ends in ``?`` is optional."""
    text = ""
    for group in groups:
        text += "[[order]]\n"
        for name in group:
            optional = str(name.endswith("?")).lower()
            text += (
                f'[[order.group]]\nid = "test/{name.rstrip("?")}"\nversion = "1.0"\noptional = {optional}\n'
            )
    (folder / "order.toml").write_text(text)


def request(
    files: Mapping[str, bytes],
    stack: Stack,
    *,
    app: str = "shop",
    options: tuple[str, ...] = (),
    of_app: tuple[str, ...] = (),
    previous: Mapping[Digest, Blob] | None = None,
) -> BuildRequest:
    chosen = PushOptions.parse(options)

    def read(path: str, limit: int) -> bytes | None:
        return files[path][:limit] if path in files else None

    choice, project = read_choice(read, chosen, of_app)
    return BuildRequest(
        job=JobId(7),
        source=Source(AppName.parse(app), CommitId.parse("c0ffee" + "0" * 34)),
        options=chosen,
        stack=stack,
        previous=previous or {},
        archive=archive(files),
        root=tuple(SourceEntry(name, "file") for name in sorted(files) if "/" not in name),
        tree=lambda: (
            TreeEntry(name.encode(), 0o100644, sha1(content, usedforsecurity=False).hexdigest())
            for name, content in sorted(files.items())
        ),
        read=read,
        choice=choice,
        project=project,
    )


@contextlib.contextmanager
def archive(files: Mapping[str, bytes]) -> Iterator[BinaryIO]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    yield buffer


class HeardLog:
    """A Log that keeps all it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.output = b""

    def step(self, text: str) -> None:
        self.lines.append(f"-----> {text}")

    def detail(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"! {text}")

    def error(self, text: str, hint: str = "") -> None:
        self.lines.append(f"! {text} {hint}")

    def write(self, chunk: bytes) -> None:
        self.output += chunk

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n" + self.output.decode()


def run(builder: DockerBuilder, asked: BuildRequest) -> tuple[Build, HeardLog, dict[str, dict[str, bytes]]]:
    """The build, what was logged, and each layer's files by title."""
    log = HeardLog()
    with builder.build(asked, log, Cancellation()) as build:
        contents = {layer.title: files_of(layer) for layer in build.layers if layer.path}
    return build, log, contents


def fails(builder: DockerBuilder, asked: BuildRequest, log: HeardLog | None = None) -> None:
    with builder.build(asked, log or HeardLog(), Cancellation()):
        pytest.fail("the build went well")


def files_of(layer: Layer) -> dict[str, bytes]:
    assert layer.path is not None
    raw = gzip.decompress(layer.path.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return {
            member.name: content.read() if (content := tar.extractfile(member)) else b""
            for member in tar
            if not member.isdir() and not member.issym()
        }
