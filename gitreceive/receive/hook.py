"""The program that git runs as ``pre-receive`` and as ``proc-receive``: it asks the server, which decides.

Standard library only, and started by ``python -IS``: it must be there within milliseconds, twice in each push. So it takes of the
library only what it cannot do without; ``json``, ``pathlib``, ``typing`` and ``socket`` would treble its time. It fails closed:
where a variable, the socket or a whole answer is missing, nothing is accepted.

Both sides send frames: a letter, four bytes of length (big-endian), the content. The hook's are ``h`` its name, ``s`` the session,
``q`` the quarantine, ``u`` an update (``<ref> <old> <new>``), ``p`` a push option, ``a`` where the push is atomic, and ``e`` at the end.
The server's are ``o``, output for the person who pushes, and ``r``, the answer, after which nothing comes: to pre-receive the word
``pass`` or else; to proc-receive a line for each update, ``ok``, ``store`` or ``ng <reason>``.
"""

from __future__ import annotations

import os
import struct
import sys
from _socket import AF_UNIX, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

LONGEST_LINE = 64 << 10
LONGEST_FRAME = 1 << 20
PASS = "pass"  # noqa: S105  a word of the wire
_NOT_RUNNING = "the server is not running; nothing was changed; try again"
_WENT_AWAY = "the server stopped; a build that had begun goes on when it is back: see builds list"


class Unanswered(Exception):
    """There is no answer, and why."""


def main() -> int:
    hook = os.path.basename(sys.argv[0])  # noqa: PTH119  pathlib is not imported
    try:
        return {"pre-receive": _pre_receive, "proc-receive": _proc_receive}[hook]()
    except (BrokenPipeError, KeyboardInterrupt):
        return 1  # the client went away; its build belongs to the server
    except (Unanswered, KeyError, ValueError, OSError) as error:
        _say(f" !     {hook}: {error}\n".encode(errors="replace"))
        return 1


def _pre_receive() -> int:
    """Lines of ``<old> <new> <ref>``; the exit code is the answer (githooks(5))."""
    updates = []
    while line := sys.stdin.buffer.readline(LONGEST_LINE + 1):
        updates.append(_update(line))
    quarantine = os.environ.get("GIT_QUARANTINE_PATH")  # a push that only deletes has none
    count = int(os.environ.get("GIT_PUSH_OPTION_COUNT") or 0)
    more = [(b"p", os.environ[f"GIT_PUSH_OPTION_{number}"]) for number in range(count)]
    answer = _ask("pre-receive", updates, more + ([(b"q", quarantine)] if quarantine else []))
    return 0 if answer == PASS else 1


def _proc_receive() -> int:
    """The protocol of githooks(5), proc-receive, version 1."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    offered = _hello(stdin)
    _send(stdout, [b"version=1\0" + b" ".join(sorted(offered))])
    updates = [_update(line) for line in _packets(stdin)]
    options = [o.decode() for o in _packets(stdin)] if b"push-options" in offered else []
    refs = [update.split(" ")[0] for update in updates]
    more = [(b"p", option) for option in options] + ([(b"a", "")] if b"atomic" in offered else [])
    try:
        answers = _answers(_ask("proc-receive", updates, more), refs)
    except Unanswered as error:
        _say(f" !     {error}\n".encode())
        answers = [f"ng {ref} {error}" for ref in refs]
    _send(stdout, [line.encode() for line in answers])
    return 0


def _answers(answer: str, refs: list[str]) -> list[str]:
    """One status for each ref, in order, or none at all."""
    lines = []
    verdicts = answer.split("\n")
    if len(verdicts) != len(refs):
        raise Unanswered(_WENT_AWAY)
    for ref, line in zip(refs, verdicts, strict=True):
        verdict, _, reason = line.partition(" ")
        if verdict == "ok":
            lines.append(f"ok {ref}")
        elif verdict == "store":
            lines += [f"ok {ref}", "option fall-through"]
        else:
            lines.append(f"ng {ref} {reason}")
    return lines


def _ask(hook: str, updates: list[str], more: list[tuple[bytes, str]]) -> str:
    """The server's answer; its output goes to stderr as it comes."""
    path, session = os.environ.get("GITRECEIVE_HOOK_SOCKET"), os.environ.get("GITRECEIVE_SESSION")
    if not path or not session:
        raise Unanswered(
            "this repository takes pushes through the gitreceive server only; nothing was changed"
        )
    request = [(b"h", hook), (b"s", session), *((b"u", update) for update in updates), *more, (b"e", "")]
    server = socket(AF_UNIX)
    try:
        server.connect(path)
        server.sendall(b"".join(frame(kind, content.encode()) for kind, content in request))
    except OSError:
        raise Unanswered(_NOT_RUNNING) from None
    return _listen(server)


def _listen(server: socket) -> str:
    with open(server.detach(), "rb") as frames:
        while True:
            kind, content = _frame(frames)
            if kind == b"o":
                _say(content)
            elif kind == b"r":
                return content.decode(errors="replace")
            else:
                raise Unanswered(_WENT_AWAY)


def _frame(frames: BinaryIO) -> tuple[bytes, bytes]:
    try:
        header = frames.read(5)
        if len(header) != 5:
            raise Unanswered(_WENT_AWAY)
        kind, length = struct.unpack(">cI", header)
        content = frames.read(length) if length <= LONGEST_FRAME else b""
    except OSError:
        raise Unanswered(_WENT_AWAY) from None
    if len(content) != length:
        raise Unanswered(_WENT_AWAY)
    return kind, content


def frame(kind: bytes, content: bytes) -> bytes:
    """As it goes over the wire."""
    return struct.pack(">cI", kind, len(content)) + content


def _say(content: bytes) -> None:
    while content:
        content = content[os.write(2, content) :]


# --- what git says -----------------------------------------------------------------------------------------------------


def _update(line: bytes) -> str:
    """``<ref> <old> <new>``."""
    if len(line) > LONGEST_LINE:
        raise ValueError("a ref update is too long; nothing was changed")
    words = line.decode().rstrip("\n").split(" ", 2)
    if len(words) != 3:
        raise ValueError("a ref update is malformed; nothing was changed")
    old, new, ref = words
    return f"{ref} {old} {new}"


def _hello(stdin: BinaryIO) -> set[bytes]:
    """The capabilities that git offers and this program knows."""
    lines = _packets(stdin)
    version, _, capabilities = (lines[0] if lines else b"").partition(b"\0")
    if version.strip() != b"version=1":
        raise ValueError("this git speaks another proc-receive protocol; nothing was changed")
    return {b"push-options", b"atomic"} & set(capabilities.split())


def _packets(stream: BinaryIO) -> list[bytes]:
    """pkt-lines up to the flush packet (gitprotocol-common(5))."""
    lines: list[bytes] = []
    while True:
        length = int(stream.read(4) or b"x", 16)
        if length == 0:
            return lines
        content = stream.read(length - 4)
        if length < 4 or len(content) != length - 4:
            raise ValueError("git stopped in the middle of a line; nothing was changed")
        lines.append(content.rstrip(b"\n"))


def _send(stream: BinaryIO, lines: list[bytes]) -> None:
    stream.writelines(b"%04x" % (len(line) + 5) + line + b"\n" for line in lines)
    stream.write(b"0000")
    stream.flush()


if __name__ == "__main__":
    os._exit(main())  # all is flushed, and git waits for the end
