"""Builds without a container: the lifecycle's phases on folders of a test, and the launcher on what they made."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

from gitreceive import lifecycle
from gitreceive.lifecycle import frames, pack
from gitreceive.lifecycle.folder import load
from gitreceive.lifecycle.phases import Channel, serve
from gitreceive.lifecycle.place import Place

REPOSITORY = Path(lifecycle.__file__).parents[2]


@dataclass
class Made:
    """What one build sent. ``layers`` are files by name, by the layer's title; ``ids`` are diff_ids by title."""

    event: dict[str, Any] = field(default_factory=dict)
    layers: dict[str, dict[str, tarfile.TarInfo]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)

    @property
    def titles(self) -> list[str]:
        return list(self.ids)


class Workshop:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.packs = root / "buildpacks"
        self.packs.mkdir()
        self.place = Place(root / "layers", root / "workspace", root / "platform", self.packs, root / "cnb")
        self.place.layers.mkdir()
        _copy_launcher(self.place.launcher)

    def buildpack(
        self, name: str, build: str = "", *, detect: str = "", api: str = "0.12", toml: str = ""
    ) -> None:
        """``test/NAME`` 1.0.0 of two bash scripts; ``toml`` is what follows ``[buildpack]`` in its ``buildpack.toml``."""
        place = self.packs / name
        shutil.rmtree(place, ignore_errors=True)
        (place / "bin").mkdir(parents=True)
        head = f'api = "{api}"\n[buildpack]\nid = "test/{name}"\nversion = "1.0.0"\n'
        (place / "buildpack.toml").write_text(head + toml)
        for program, script in (("detect", detect), ("build", build)):
            file = place / "bin" / program
            file.write_text(f"#!/bin/bash\nset -e\n{textwrap.dedent(script)}\n")
            file.chmod(0o755)

    def composite(self, name: str, *groups: str) -> None:
        place = self.packs / name
        place.mkdir()
        head = f'api = "0.12"\n[buildpack]\nid = "test/{name}"\nversion = "1.0.0"\n'
        (place / "buildpack.toml").write_text(head + order_of(*groups))

    def order(self, *groups: str) -> None:
        (self.packs / "order.toml").write_text(order_of(*groups))

    def build(
        self,
        files: Mapping[str, str] | None = None,
        *,
        known: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Made:
        """``known``: what an earlier build made, as the registry would hold it."""
        for folder in (self.place.app, self.place.platform):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        request = {
            "mark": "",
            "env": dict(env or {}),
            "secrets": {},
            "ca_bundle": "",
            "target": {"os": "linux"},
            "stack": "build run",
            "known": list((known or {}).values()),
            "nocache": False,
            "order": [[asdict(member) for member in group] for group in load(self.packs).order],
        }
        given, sent = io.BytesIO(), io.BytesIO()
        frames.write_message(given.write, request)
        frames.write_stream(given.write, [_tar(files or {})])
        given.seek(0)
        serve(Channel(given.read, sent.write), self.place, os.environ)
        sent.seek(0)
        return _received(sent)

    def launch(
        self, made: Made, *argv: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Start the launcher as the image would, ``argv[0]`` being what it is called by."""
        metadata = self.root / "metadata.json"
        metadata.write_bytes(made.contents["layers/config/metadata.json"])
        program = "import sys; sys.path.insert(0, sys.argv[1]); from gitreceive.lifecycle.launch import main; import os; main(sys.argv[3:], os.environ, sys.argv[2])"
        return subprocess.run(
            [sys.executable, "-ISB", "-c", program, str(REPOSITORY), str(metadata), *argv],
            env={"PATH": f"/cnb/process:{os.environ['PATH']}", **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def path(self, name: str) -> Path:
        return self.place.layers / name


def order_of(*groups: str) -> str:
    """Names with a space between; one that ends in ``?`` is optional."""
    text = ""
    for group in groups:
        text += "[[order]]\n"
        for name in group.split():
            optional = str(name.endswith("?")).lower()
            text += (
                f'[[order.group]]\nid = "test/{name.rstrip("?")}"\nversion = "1.0.0"\noptional = {optional}\n'
            )
    return text


def _received(stream: io.BytesIO) -> Made:
    made = Made()
    while True:
        event = frames.read_message(stream.read)
        title = str(event.get("title", ""))
        if event["event"] == "layer":
            content = b"".join(frames.read_stream(stream.read))
            made.ids[title] = f"sha256:{sha256(content).hexdigest()}"
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                made.layers[title] = {member.name: member for member in tar}
                for member in tar:
                    if file := tar.extractfile(member) if member.isreg() else None:
                        made.contents[member.name] = file.read()
        elif event["event"] == "reuse":
            made.reused.append(title)
            made.ids[title] = str(event["diff_id"])
        else:
            made.event = event
            return made


def _tar(files: Mapping[str, str]) -> bytes:
    """As git makes it: folders have entries of their own."""
    buffer = io.BytesIO()
    folders = {str(parent) for name in files for parent in PurePath(name).parents} - {"."}
    with contextlib.closing(tarfile.open(fileobj=buffer, mode="w")) as tar:
        for name in sorted(folders):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for name, text in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text), 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def _copy_launcher(folder: Path) -> None:
    source = Path(lifecycle.__file__).parent
    for name in pack.LAUNCHER_FILES:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((source / "launcher" if name == "launcher" else REPOSITORY / name).read_bytes())
