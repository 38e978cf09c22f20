"""What a program that Go has built says of itself (debug/buildinfo, the format from Go 1.18 on)."""

from typing import IO

from gitreceive.supplychain.locks import go_package
from gitreceive.supplychain.package import Package, made

SMALLEST = 100_000  # bytes; no program of Go's is smaller
_MAGIC = b"\xff Go buildinf:"
_INLINE = 2  # the flag that says: the strings follow
_PIECE = 4 << 20
_MOST_PROGRAM = 1 << 30
_MOST_FACTS = 4 << 20
_SENTINEL = 16  # bytes before and after the list of modules


def packages_in(stream: IO[bytes]) -> list[Package]:
    """The modules in it, Go itself among them; none where it is no such program."""
    head = stream.read(4)
    if head != b"\x7fELF":
        return []
    found = _facts(stream, head)
    if found is None:
        return []
    version, modules = found
    packages = [made("golang", "stdlib", version.removeprefix("go").partition(" ")[0])] if version else []
    for line in modules.splitlines():
        kind, *fields = line.split("\t")
        if kind == "=>" and packages and len(fields) >= 2:
            packages[-1] = go_package(fields[0], fields[1])
        elif kind == "dep" and len(fields) >= 2:
            packages.append(go_package(fields[0], fields[1]))
    return packages


def _facts(stream: IO[bytes], head: bytes) -> tuple[str, str] | None:
    """Go's version and the list of modules."""
    held, read = head, len(head)
    while (at := held.find(_MAGIC)) < 0:
        piece = stream.read(_PIECE)
        read += len(piece)
        if not piece or read > _MOST_PROGRAM:
            return None
        held = held[-len(_MAGIC) :] + piece
    blob = held[at:] + stream.read(max(0, _MOST_FACTS - (len(held) - at)))
    if len(blob) < 34 or not blob[15] & _INLINE:
        return None
    version, after = _string(blob, 32)
    modules, _ = _string(blob, after)
    return version.decode("utf-8", "replace"), modules[_SENTINEL:-_SENTINEL].decode("utf-8", "replace")


def _string(blob: bytes, at: int) -> tuple[bytes, int]:
    """A string after its length, and where the next begins (encoding/binary, "Uvarint")."""
    length = shift = 0
    while at < len(blob) and shift < 35:
        byte = blob[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    return blob[at : at + length], at + length
