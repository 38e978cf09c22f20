"""A source's tar without what its project.toml leaves out."""

import contextlib
import datetime as dt
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import pytest

from gitreceive.engines.docker_builder.selected import selected
from gitreceive.errors import SourceError
from gitreceive.lifecycle.source import entries
from gitreceive.model import Digest, ImageRef, Project, SourceEntry, Stack
from gitreceive.ports import BuildRequest
from tests.engines.builder.case import request

_IMAGE = ImageRef("registry.test/stack", Digest("sha256:" + "1" * 64))
_STACK = Stack("test", _IMAGE, _IMAGE, 1, 1, {}, dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
_LONG = "/".join(["a-folder-with-a-long-name"] * 12) + "/file.txt"
_STRANGE = "na\udcefve/f\u00fcr"
_FILES = {
    _LONG: b"long",
    _STRANGE: b"strange",
    "empty": b"",
    "big": b"x" * 1500,
    "gone/a": b"1",
    "gone/b/c": b"2",
}


@contextlib.contextmanager
def _tar(ends: list[str], *, cut: bool = False) -> Iterator[BinaryIO]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", errors="surrogateescape") as tar:
        folder = tarfile.TarInfo("gone")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in _FILES.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755 if name == "big" else 0o644
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "../" + "b/" * 80
        tar.addfile(link)
    content = buffer.getvalue()
    source = io.BytesIO(content[: content.index(b"x" * 1500) + 700] if cut else content)
    yield source
    if source.read() == b"":
        ends.append("read to its end")


def _asked(project: Project, ends: list[str], *, cut: bool = False) -> BuildRequest:
    asked = request({name: content for name, content in _FILES.items() if name != _STRANGE}, _STACK)
    root = tuple(SourceEntry(name, "file") for name in ("big", "empty", "gone", "link"))
    return selected(replace(asked, project=project, archive=_tar(ends, cut=cut), root=root))


def test_names_modes_links_and_content_come_through_and_the_rest_does_not() -> None:
    ends: list[str] = []
    asked = _asked(Project(exclude=("/gone/",)), ends)
    with asked.archive as stream:
        found = {
            entry.name: (entry.mode, entry.target, b"".join(entry.pieces(7)))
            for entry in entries(stream)
            if not entry.is_folder
        }
    assert found == {
        _LONG: (0o644, "", b"long"),
        _STRANGE: (0o644, "", b"strange"),
        "empty": (0o644, "", b""),
        "big": (0o755, "", b"x" * 1500),
        "link": (0o777, "../" + "b/" * 80, b""),
    }
    assert ends == ["read to its end"]
    assert [entry.name for entry in asked.root] == ["big", "empty"]
    assert b"gone/a" not in [entry.path for entry in asked.tree()]


def test_folders_come_before_what_lies_in_them_and_only_where_something_does() -> None:
    asked = _asked(Project(include=("c", "empty")), [])
    with asked.archive as stream:
        assert [(entry.name, entry.is_folder) for entry in entries(stream)] == [
            ("empty", False),
            ("gone", True),
            ("gone/b", True),
            ("gone/b/c", False),
        ]


def test_a_source_that_breaks_off_is_no_source() -> None:
    asked = _asked(Project(exclude=("none",)), [], cut=True)

    def read() -> None:
        with asked.archive as stream:
            stream.read()

    with pytest.raises(SourceError, match="the source cannot be read"):
        read()


def test_nothing_said_leaves_the_request_as_it_is() -> None:
    asked = request({"a": b""}, _STACK)
    assert selected(asked) is asked
