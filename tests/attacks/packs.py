"""Packs that no git would make."""

import hashlib
import struct
import zlib
from dataclasses import dataclass, field


@dataclass
class Pack:
    """Objects of any content, as they come in a pack (gitformat-pack(5)). Names of objects are given back as they are added."""

    entries: list[bytes] = field(default_factory=list)
    count: int | None = None  # what the header says, where it lies

    def blob(self, content: bytes = b"x") -> str:
        return self._add(3, "blob", content)

    def tree(self, *entries: tuple[str, bytes, str]) -> str:
        """Of mode, name and object, in this order."""
        return self._add(
            2, "tree", b"".join(f"{m} ".encode() + n + b"\0" + bytes.fromhex(o) for m, n, o in entries)
        )

    def raw_tree(self, content: bytes) -> str:
        return self._add(2, "tree", content)

    def commit(
        self,
        tree: str,
        *parents: str,
        more: bytes = b"\n\nhostile\n",
        who: bytes = b"a <a@example.com> 1 +0000",
    ) -> str:
        lines = [
            f"tree {tree}".encode(),
            *(f"parent {p}".encode() for p in parents),
            b"author " + who,
            b"committer " + who,
        ]
        return self.raw_commit(b"\n".join(lines) + more)

    def raw_commit(self, content: bytes) -> str:
        return self._add(1, "commit", content)

    def tag(self, content: bytes) -> str:
        return self._add(4, "tag", content)

    def delta(self, base: str, content: bytes) -> object:
        """By its base's name, which need not be there."""
        self.entries.append(_entry(7, content, bytes.fromhex(base)))
        return self

    def delta_before(self, offset: bytes, content: bytes) -> None:
        """By how far before it its base stands."""
        self.entries.append(_entry(6, content, offset))

    def whole(self, *, version: int = 2) -> bytes:
        number = len(self.entries) if self.count is None else self.count
        content = b"PACK" + struct.pack(">II", version, number) + b"".join(self.entries)
        return content + hashlib.sha1(content, usedforsecurity=False).digest()

    def _add(self, kind: int, word: str, content: bytes) -> str:
        self.entries.append(_entry(kind, content))
        return name_of(word, content)


def name_of(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


def copies(base: int, size: int, times: int) -> bytes:
    """A delta that copies the first 64 KiB of a base of ``base`` bytes that many times, and says that it makes ``size`` bytes."""
    return varint(base) + varint(size) + b"\x80" * times


def varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def _entry(kind: int, content: bytes, base: bytes = b"", size: int | None = None) -> bytes:
    left = len(content) if size is None else size
    first, left = (kind << 4) | (left & 0x0F), left >> 4
    head = bytearray([first | (0x80 if left else 0)])
    while left:
        low, left = left & 0x7F, left >> 7
        head.append(low | (0x80 if left else 0))
    return bytes(head) + base + zlib.compress(content, 6)


def claiming(kind: int, content: bytes, size: int) -> bytes:
    """An entry that says that it has another size than it has."""
    return _entry(kind, content, size=size)
