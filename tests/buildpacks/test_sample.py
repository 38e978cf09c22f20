import os
import tarfile
from pathlib import Path

import pytest

from gitreceive.buildpacks.sample import Sample
from gitreceive.errors import SourceError
from gitreceive.lifecycle import pack
from gitreceive.model import SourceEntry


def _sample(folder: Path) -> Sample:
    (folder / "a" / "deep").mkdir(parents=True)
    (folder / "a" / "deep" / "b").write_text("b\n")
    (folder / "a.txt").write_text("a\n")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o700)
    (folder / "link").symlink_to("a")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("")
    (folder / "empty").mkdir()
    return Sample(folder)


def test_a_folder_is_the_source_that_git_would_make_of_it(tmp_path: Path) -> None:
    sample = _sample(tmp_path)
    assert sample.root == (
        SourceEntry("a", "directory"),
        SourceEntry("a.txt", "file"),
        SourceEntry("link", "symlink"),
        SourceEntry("run", "executable"),
    )
    assert [(entry.path, oct(entry.mode)) for entry in sample.tree()] == [
        (b"a.txt", "0o100644"),
        (b"a/deep/b", "0o100644"),
        (b"link", "0o120000"),
        (b"run", "0o100755"),
    ]


def test_its_archive_comes_in_gits_order_with_gits_modes(tmp_path: Path) -> None:
    sample = _sample(tmp_path)
    with sample.archive() as stream, tarfile.open(fileobj=stream) as tar:
        seen = [(member.name, oct(member.mode), member.linkname) for member in tar]
    assert seen == [
        ("a.txt", "0o644", ""),
        ("a", "0o755", ""),
        ("a/deep", "0o755", ""),
        ("a/deep/b", "0o644", ""),
        ("link", "0o0", "a"),
        ("run", "0o755", ""),
    ]
    with sample.archive() as stream:
        assert b"".join(pack.source(stream, "workspace", (1000, 1000)))


def test_what_git_does_not_hold_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="pipe is no file, folder or symbolic link"):
        Sample(tmp_path)
