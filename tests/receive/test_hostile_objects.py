"""Packs and trees that are made to hurt, sent by a git that does not look."""

import hashlib
import os
import struct
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from tests.receive.conftest import Clone, Outcome, Place, outcome


def _tree(clone: Clone, *entries: tuple[str, bytes, str]) -> str:
    """A tree object as it is, with no check."""
    content = b"".join(f"{mode} ".encode() + name + b"\0" + bytes.fromhex(sha) for mode, name, sha in entries)
    return _write(clone, "tree", content)


def _write(clone: Clone, kind: str, content: bytes) -> str:
    command = ["git", "hash-object", "-t", kind, "-w", "--literally", "--stdin"]
    made = outcome(command, cwd=clone.path, env=clone.place.environment(), stdin=content)
    assert made.code == 0, made.err
    return made.out.strip()


def _push(clone: Clone, tree: str) -> Outcome:
    commit = clone.git("commit-tree", tree, "-m", "hostile").out.strip()
    clone.git("update-ref", "refs/heads/hostile", commit)
    return clone.push("hostile:main")


@pytest.mark.parametrize(
    "name",
    [
        b".git",
        b".GIT",
        b"git~1",
        b"..",
        b".",
        b".git ",
        b".g\xe2\x80\x8cit",
        b".git::$INDEX_ALLOCATION",
        b"a/b",
        b"",
    ],
)
def test_a_tree_with_a_name_that_escapes_is_refused(place: Place, clone: Clone, name: bytes) -> None:
    blob = _write(clone, "blob", b"x")
    pushed = _push(clone, _tree(clone, ("100644", name, blob)))
    assert pushed.code == 1, pushed.err
    assert not place.ledger.jobs()


def test_a_tree_with_a_name_twice_is_refused(place: Place, clone: Clone) -> None:
    blob = _write(clone, "blob", b"x")
    pushed = _push(clone, _tree(clone, ("100644", b"a", blob), ("100644", b"a", blob)))
    assert pushed.code == 1, pushed.err
    assert not place.ledger.jobs()


def test_a_dozen_objects_that_stand_for_ten_billion_files_are_refused_at_once(
    place: Place, clone: Clone
) -> None:
    sha = _write(clone, "blob", b"x")
    tree = _tree(clone, *(("100644", b"%d" % n, sha) for n in range(10)))
    for _ in range(9):
        tree = _tree(clone, *(("40000", b"%d" % n, tree) for n in range(10)))
    began = time.monotonic()
    pushed = _push(clone, tree)
    assert "more than 100000 files" in pushed.err
    assert time.monotonic() - began < 10


def test_a_folder_in_a_folder_without_end_is_refused(place: Place, clone: Clone) -> None:
    tree = _tree(clone, ("100644", b"f", _write(clone, "blob", b"x")))
    for _ in range(300):
        tree = _tree(clone, ("40000", b"d", tree))
    assert "a folder is more than 64 deep" in _push(clone, tree).err


def test_a_tiny_pack_that_asks_for_a_gibibyte_is_refused_within_the_memory_limit(
    place: Place, clone: Clone
) -> None:
    """A delta of copies of copies: a base of 64 KiB, and deltas that each copy it many times over."""
    clone.push()
    base = b"\0" * 65_536
    copies = b"\x80" * (1 << 14)  # copy 64 KiB from offset 0, each: 1 GiB
    delta = _varint(len(base)) + _varint(1 << 30) + copies
    base_id = hashlib.sha1(b"blob 65536\0" + base, usedforsecurity=False).digest()
    entries = _entry(3, base) + _entry(7, delta, base_id)
    pack = b"PACK" + struct.pack(">II", 2, 2) + entries
    pack += hashlib.sha1(pack, usedforsecurity=False).digest()
    assert len(pack) < 1000
    update = f"{place.head()} {'1' * 40} refs/heads/main\0report-status side-band-64k agent=x".encode()
    sent = b"%04x" % (len(update) + 4) + update + b"0000" + pack
    command = [
        "ssh",
        *place._options("alice"),
        "-p",
        str(place.port),
        "git@127.0.0.1",
        "git-receive-pack 'shop'",
    ]
    done = subprocess.run(command, input=sent, capture_output=True, timeout=60, check=False)
    assert b"unpack ok" not in done.stdout
    assert b"memory" in done.stdout, done.stdout
    assert len(place.ledger.jobs()) == 1
    assert clone.push().err == "Everything up-to-date\n"


def test_what_a_killed_push_left_behind_is_swept(place: Place, clone: Clone) -> None:
    clone.push()
    objects = place.settings.repositories / "shop.git" / "objects"
    before = sorted(objects.rglob("*"))
    big = clone.path / "big"
    big.write_bytes(os.urandom(30 << 20))
    clone.git("add", "big")
    clone.git("commit", "--quiet", "-m", "big")
    command = ["git", "push", place.url(), "main"]
    with subprocess.Popen(
        command, cwd=clone.path, env=place.environment(), stderr=subprocess.DEVNULL, start_new_session=True
    ) as push:
        while not _quarantines(objects):
            assert push.poll() is None, "the push was over too soon"
        os.killpg(push.pid, 9)
    end = time.monotonic() + 10
    while _quarantines(objects):
        assert time.monotonic() < end, "the quarantine stayed"
        time.sleep(0.05)
    assert sorted(objects.rglob("*")) == before


def _quarantines(objects: Path) -> list[Path]:
    return [path for path in objects.iterdir() if "incoming" in path.name]


def _varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def _entry(kind: int, content: bytes, base: bytes = b"") -> bytes:
    """A pack entry: type and size (gitformat-pack(5)), the base's id for a delta, the content compressed."""
    size = len(content)
    first, size = (kind << 4) | (size & 0x0F), size >> 4
    head = bytearray([first | (0x80 if size else 0)])
    while size:
        low, size = size & 0x7F, size >> 7
        head.append(low | (0x80 if size else 0))
    return bytes(head) + base + zlib.compress(content, 9)


def test_a_server_that_starts_sweeps_what_a_killed_one_left(place: Place, clone: Clone) -> None:
    clone.push()
    left = place.settings.repositories / "shop.git" / "objects" / "tmp_objdir-incoming-abcdef" / "pack"
    left.mkdir(parents=True)
    place.stop()
    place.start()
    assert not left.parent.exists()
    assert clone.push().code == 0
