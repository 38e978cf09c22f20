"""Pushes from shallow clones.

git's receive-pack ends with "BUG: connectivity check has not been run" when proc-receive accepts a ref of such a push (seen
in 2.39): it counts on updating the ref itself. So it never learns that the client is shallow. The door takes the client's
``shallow`` lines out of what it passes on, and hands them to git as this session's shallow file (GIT_SHALLOW_FILE), by which
every check that git makes ends where the client's history does. What is accepted is recorded by the SourceStore.
"""

import re
from pathlib import Path

from gitreceive.errors import UsageError

_LONGEST = 8 << 20  # bytes of all ref updates of a push
_LENGTH = re.compile(rb"[0-9A-Fa-f]{4}")
_SHALLOW = re.compile(rb"shallow ([0-9a-f]{40})\n?")


class CommandSection:
    """The first part of what ``git push`` sends: pkt-lines up to the first flush packet (gitprotocol-pack(5))."""

    def __init__(self, repository: Path, session_file: Path) -> None:
        """``session_file`` is made where the repository or the client is shallow, and only then."""
        self._repository_file = repository / "shallow"
        self._file = session_file
        self._held = bytearray()
        self._taken = 0  # bytes that are not held any more
        self._kept: list[bytes] = []
        self._shallow: set[bytes] = set()
        self._done = False
        self._write()

    def feed(self, chunk: bytes) -> bytes:
        """What is to be passed on to git now: nothing until the section is whole. Raises UsageError on what is no pkt-line."""
        if self._done:
            return chunk
        self._held += chunk
        if self._taken + len(self._held) > _LONGEST:
            raise UsageError("the push names too many refs", hint="push fewer at once")
        at = 0
        while not self._done and (packet := self._packet(at)):
            self._take(packet)
            at += len(packet)
        del self._held[:at]
        self._taken += at
        if not self._done:
            return b""
        self._write()
        return b"".join(self._kept) + bytes(self._held)

    def _packet(self, at: int) -> bytes:
        """The whole pkt-line, with its length, that begins there in what is held; empty where there is none yet."""
        head = self._held[at : at + 4]
        if len(head) < 4:
            return b""
        length = int(head, 16) if _LENGTH.fullmatch(head) else -1
        if length < 4 and length != 0:
            raise UsageError("this is not what git push sends", hint="use git push")
        packet = bytes(self._held[at : at + (length or 4)])
        return packet if len(packet) == (length or 4) else b""

    def _take(self, packet: bytes) -> None:
        shallow = _SHALLOW.fullmatch(packet[4:])
        if shallow:
            self._shallow.add(shallow[1])
        else:
            self._kept.append(packet)
            self._done = packet == b"0000"

    def _write(self) -> None:
        known = self._repository_file.read_bytes().split() if self._repository_file.exists() else []
        commits = self._shallow.union(known)
        if commits:
            self._file.write_bytes(b"".join(commit + b"\n" for commit in sorted(commits)))
