"""The source, from a tar stream to the workspace."""

import os
import tarfile
from pathlib import Path
from typing import IO, cast

from gitreceive.lifecycle.frames import StreamFile


class SourceTarError(Exception):
    """The stream holds what no git commit holds."""


def unpack(stream: StreamFile, folder: Path) -> int:
    """Write files, folders and symbolic links below ``folder``; how many. Raises SourceTarError on anything else."""
    count = 0
    with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|", bufsize=1 << 18) as tar:
        for member in tar:
            _write(tar, member, folder)
            count += 1
            tar.members.clear()  # type: ignore[attr-defined]  # else every header stays in memory
    return count


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    parts = [part for part in member.name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise SourceTarError(f"{member.name!r} leads out of the source")
    path = os.path.join(folder, *parts)
    if member.isdir():
        os.makedirs(path, exist_ok=True)
    elif member.issym():
        os.symlink(member.linkname, path)
    elif member.isreg():
        mode = 0o755 if member.mode & 0o100 else 0o644
        content = tar.extractfile(member)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
            while piece := content.read(1 << 20) if content else b"":
                file.write(piece)
    else:
        raise SourceTarError(f"{member.name!r} is no file, folder or symbolic link")
