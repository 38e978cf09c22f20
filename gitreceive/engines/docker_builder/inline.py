"""A buildpack that lies in the source, from git onto the server's disk, from where it goes into the builder image."""

from pathlib import Path

from gitreceive.errors import SourceError
from gitreceive.model import TreeEntry
from gitreceive.ports import BuildRequest

_MOST_FILES = 2000
_MOST_BYTES = 32 << 20
_FILE, _PROGRAM = 0o100644, 0o100755


def copy_folder(request: BuildRequest, path: str, target: Path) -> None:
    """What git has below ``path``, also what project.toml leaves out; nothing where there is no such folder.

    Raises SourceError for what a buildpack must not have here: symbolic links, submodules, more than 2,000 files or 32 MiB.
    """
    above = f"{path}/".encode() if path else b""
    entries = [entry for entry in request.tree() if entry.path.startswith(above)]
    if len(entries) > _MOST_FILES:
        raise _error(path, f"has {len(entries)} files; at most {_MOST_FILES} are taken")
    left = _MOST_BYTES
    for entry in entries:
        left -= _copy(request, path, entry, target / _inside(path, entry.path[len(above) :]), left)


def _copy(request: BuildRequest, path: str, entry: TreeEntry, target: Path, left: int) -> int:
    name = entry.path.decode()
    if entry.mode not in {_FILE, _PROGRAM}:
        raise _error(
            path, f"{name} is no plain file", "a buildpack in the source has no links and no submodules"
        )
    content = request.read(name, left + 1)
    if content is None:
        raise _error(path, f"{name} cannot be read")
    if len(content) > left:
        raise _error(path, f"is larger than {_MOST_BYTES >> 20} MiB")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    target.chmod(0o755 if entry.mode == _PROGRAM else 0o644)
    return len(content)


def _inside(path: str, name: bytes) -> Path:
    try:
        parts = name.decode("utf-8").split("/")
    except UnicodeDecodeError as error:
        raise _error(path, f"{name!r} is not UTF-8") from error
    if {"", ".", ".."}.intersection(parts) or "\0" in name.decode():
        raise _error(path, f"{name!r} is no name of a file")
    return Path(*parts)


def _error(path: str, what: str, hint: str = "") -> SourceError:
    return SourceError(f"buildpack ./{path}: {what}", hint=hint)
