"""What a build leaves for the next one: each kept layer's fingerprint and diff_id, in the cache itself.

The record is closed at the end of a build. One that is still open was left by a build that was killed or failed, and then
the fingerprints tell which layers are what the record says.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from gitreceive.lifecycle.layers import ContractError, drop_types
from gitreceive.lifecycle.sbom import EXTENSIONS

FOLDER = ".gitreceive"
_FORMAT = 1


@dataclass(frozen=True)
class Kept:
    """``fingerprint`` is of names, modes, sizes and times; ``diff_id`` is empty for a layer that no image has."""

    fingerprint: str
    diff_id: str
    launch: bool
    build: bool
    cache: bool


Record = Mapping[str, Kept]  # by FOLDER/LAYER


def restore(
    layers: Path, stack: str, known: Collection[str], say: Callable[[str], None], *, fresh: bool
) -> Record:
    """Leave of the last build only what the next may use, and open the record.

    Layers with ``cache = true`` stay; of one with ``launch = true`` alone its metadata and SBOM stay while ``known`` (the
    diff_ids that the registry holds) has it; metadata lose their flags (Buildpack API, "Layer Types").
    With ``fresh``, or on another stack, nothing stays.
    """
    record, clean, reason = _open(layers, stack)
    stores = record is not None and not fresh
    if fresh:
        record, reason = None, "caches are left out, as asked"
    kept: dict[str, Kept] = {}
    for key, entry in (record or {}).items():
        problem = _keep(layers / key, entry, known, clean=clean)
        if problem == _NOT_CACHED:
            continue
        if problem:
            say(f"{key}: {problem}")
        else:
            kept[key] = entry
    if not kept and reason:
        say(reason)
    _remove_all_but(layers, kept, stores=stores)
    return kept


def close(layers: Path, stack: str, record: Record) -> None:
    """Write the record, in one piece, as the truth about what lies in ``layers``."""
    folder = layers / FOLDER
    folder.mkdir(exist_ok=True)
    document = {
        "format": _FORMAT,
        "stack": stack,
        "layers": {key: asdict(entry) for key, entry in record.items()},
    }
    fresh = folder / "record.new"
    fresh.write_text(json.dumps(document), encoding="utf-8")
    fresh.rename(folder / "record.json")
    (folder / "open.json").unlink(missing_ok=True)


def fingerprint(folder: Path) -> str:
    """Of all names below, with mode, size, modification and change time, and where symbolic links lead.

    Reads content only in the layer's folders of variables and scripts, which buildpacks write anew each time.
    """
    digest = hashlib.sha256()
    top = os.fsencode(folder)
    pending = [top]
    while pending:
        current = pending.pop()
        by_content = current[len(top) + 1 :].partition(b"/")[0] in _WRITTEN_ANEW
        with os.scandir(current) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            digest.update(entry.path[len(top) :] + b"\0" + _facts(entry, by_content=by_content) + b"\0")
    return digest.hexdigest()


_WRITTEN_ANEW = {b"env", b"env.build", b"env.launch", b"profile.d", b"exec.d"}


def _facts(entry: os.DirEntry[bytes], *, by_content: bool) -> bytes:
    seen = entry.stat(follow_symlinks=False)
    if entry.is_dir(follow_symlinks=False):
        # its own times change with files that come and go, and its names are all looked at
        return b"%o" % seen.st_mode
    if entry.is_symlink():
        return b"%o %s" % (seen.st_mode, os.readlink(entry.path))
    if by_content and entry.is_file():
        with open(entry.path, "rb") as file:
            return b"%o %s" % (seen.st_mode, hashlib.sha256(file.read()).digest())
    return b"%o %d %d %d" % (seen.st_mode, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def _open(layers: Path, stack: str) -> tuple[Record | None, bool, str]:
    """None where no build that can be gone on from has been here; then, in words, why, where there is something to say."""
    closed, opened = layers / FOLDER / "record.json", layers / FOLDER / "open.json"
    clean = closed.is_file()
    if clean:
        closed.replace(opened)
    elif not opened.is_file():
        return None, True, ""
    try:
        document = json.loads(opened.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT:
            return None, True, "caches are dropped: another version of gitreceive wrote them"
        if document["stack"] != stack:
            return None, True, "caches are dropped: the stack has changed"
        return {key: Kept(**entry) for key, entry in document["layers"].items()}, clean, ""
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None, True, "caches are dropped: their record cannot be read"


_NOT_CACHED = "not a cache"


def _keep(path: Path, entry: Kept, known: Collection[str], *, clean: bool) -> str:
    """Why the layer cannot stay; empty where it stays."""
    metadata = path.with_name(f"{path.name}.toml")
    if not entry.cache:
        if entry.build or not entry.launch:
            return _NOT_CACHED
        if entry.diff_id not in known or not metadata.is_file():
            return "not kept: the registry no longer has it"
        remove(path)
    elif not clean and (not path.is_dir() or fingerprint(path) != entry.fingerprint):
        return "dropped from the cache: a build that did not end well has changed it"
    try:
        if metadata.is_file():
            drop_types(metadata)
    except ContractError as error:
        return f"dropped from the cache: {error}"
    return ""


def _remove_all_but(layers: Path, kept: Record, *, stores: bool) -> None:
    ends = ("", ".toml", *(f".sbom.{extension}" for extension in EXTENSIONS))
    names = {f"{key}{end}" for key in kept for end in ends}
    for folder in layers.iterdir():
        if folder.name == FOLDER:
            continue
        if not folder.is_dir() or folder.is_symlink():
            remove(folder)
            continue
        for path in folder.iterdir():
            is_store = path.name == "store.toml" and stores
            if f"{folder.name}/{path.name}" not in names and not is_store:
                remove(path)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        _make_removable(path)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _make_removable(path: Path) -> None:
    """Read-only folders (Go's module cache) would keep what is in them."""
    for current, folders, _ in os.walk(path):
        for name in folders:
            child = os.path.join(current, name)
            if not os.path.islink(child):
                os.chmod(child, 0o700)
