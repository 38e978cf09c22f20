"""Trees, packs and bombs, as a git sends them that does not look."""

import re
import time
import zlib
from collections.abc import Callable

import pytest

from gitreceive.model import AppName, EventQuery
from tests.attacks.packs import Pack, claiming, copies, name_of
from tests.attacks.target import ZERO, Fort, Heard

BLOB = name_of("blob", b"x")
FILE, EXECUTABLE, LINK, FOLDER, MODULE = "100644", "100755", "120000", "40000", "160000"
_Entries = list[tuple[str, bytes, str]]


def _pushed(fort: Fort, pack: Pack, new: str) -> Heard:
    """Refused, with nothing of it taken."""
    before = fort.head()
    heard = fort.push([("refs/heads/main", before, new)], pack.whole())
    assert b"ok refs/heads/main" not in heard.out, heard
    assert fort.head() == before
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", heard.err), heard.err
    return heard


ESCAPES = [
    b".git", b".GIT", b".Git", b".gIt", b"git~1", b"GIT~1", b"git~1.", b".git ", b".git.", b".git...", b".git. .",
    b".git::$INDEX_ALLOCATION", b".git::$index_allocation", b".git:stream", b".g\xe2\x80\x8cit", b".\xe2\x80\x8dgit",
    b".gi\xef\xbb\xbft", b".git\xe2\x80\xae", b"..", b".", b"", b"a/b", b"/etc", b"../x", b".git/config", b"a\\..\\b\\.git\\config",
]  # fmt: skip


@pytest.mark.parametrize("name", ESCAPES, ids=[ascii(name)[2:-1] for name in ESCAPES])
def test_a_name_that_leads_out_of_its_folder_is_refused(fort: Fort, name: bytes) -> None:
    before = fort.objects()
    pack = Pack()
    pack.blob()
    heard = _pushed(fort, pack, pack.commit(pack.tree((FILE, name, BLOB))))
    assert b"unpack ok" not in heard.out
    assert fort.objects() == before


def _nested(pack: Pack, name: bytes, depth: int) -> str:
    tree = pack.tree((FILE, b"f", BLOB))
    for _ in range(depth):
        tree = pack.tree((FOLDER, name, tree))
    return tree


def _gitmodules(content: bytes) -> Callable[[Pack], str]:
    def made(pack: Pack) -> str:
        return pack.tree((FILE, b".gitmodules", pack.blob(content)), (MODULE, b"m", "1" * 40))

    return made


def _tree(*entries: tuple[str, bytes, str]) -> Callable[[Pack], str]:
    return lambda pack: pack.tree(*entries)


TREES: dict[str, Callable[[Pack], str]] = {
    "a name twice": _tree((FILE, b"a", BLOB), (FILE, b"a", BLOB)),
    "a file and a folder of a name": lambda p: p.tree((FILE, b"a", BLOB), (FOLDER, b"a", p.tree((FILE, b"b", BLOB)))),
    "a link and a folder of a name": lambda p: p.tree(
        (LINK, b"x", p.blob(b"/etc")), (FOLDER, b"x", p.tree((FILE, b"config", BLOB)))
    ),
    "in no order": _tree((FILE, b"b", BLOB), (FILE, b"a", BLOB)),
    "a mode that is no file's": _tree(("070000", b"a", BLOB)),
    "a mode that is long": _tree(("1" * 200, b"a", BLOB)),
    "no mode": _tree(("", b"a", BLOB)),
    "a device": _tree(("060644", b"a", BLOB)),
    "a FIFO": _tree(("010644", b"a", BLOB)),
    "a file that is a folder": _tree((FOLDER, b"a", BLOB)),
    "a folder that is a file": lambda p: p.tree((FILE, b"a", p.tree())),
    "what is not there": _tree((FILE, b"a", "d" * 40)),
    "no object": _tree((FILE, b"a", ZERO)),
    "a submodule": _tree((MODULE, b"m", "1" * 40)),
    "a submodule in git's own folder": lambda p: p.tree((FOLDER, b".git", p.tree((MODULE, b"hooks", "1" * 40)))),
    "a name of 256 bytes": _tree((FILE, b"a" * 256, BLOB)),
    "a name of 20,000 bytes": _tree((FILE, b"a" * 20_000, BLOB)),
    "a path of 5,000 bytes": lambda p: _nested(p, b"a" * 250, 20),
    "a link to a folder of 5,000 bytes": lambda p: p.tree((LINK, b"a", p.blob(b"x/" * 2500)), (FOLDER, b"b", "d" * 40)),
    "a .gitmodules that is a link": lambda p: p.tree((LINK, b".gitmodules", p.blob(b"/etc/passwd"))),
    "a module by an option": _gitmodules(b'[submodule "m"]\n\tpath = m\n\turl = --upload-pack=id\n'),
    "a module's path as an option": _gitmodules(b'[submodule "m"]\n\tpath = -x\n\turl = https://example.com/x\n'),
    "a module's name that leads up": _gitmodules(b'[submodule "../../hooks"]\n\tpath = m\n\turl = https://example.com/x\n'),
    "a module's update that runs something": _gitmodules(b'[submodule "m"]\n\tpath = m\n\turl = x\n\tupdate = !id\n'),
    "a module's address with an end of line": _gitmodules(b'[submodule "m"]\n\tpath = m\n\turl = "https://a\\nb"\n'),
    "a truncated tree": lambda p: p.raw_tree(b"100644 a\0" + b"x" * 10),
    "a tree without a NUL": lambda p: p.raw_tree(b"100644 a" * 10),
}  # fmt: skip


@pytest.mark.parametrize("made", TREES.values(), ids=TREES)
def test_a_tree_that_no_git_makes_is_refused(fort: Fort, made: Callable[[Pack], str]) -> None:
    pack = Pack()
    pack.blob()
    _pushed(fort, pack, pack.commit(made(pack)))


def test_a_file_s_name_does_nothing_to_the_terminal_that_is_told_of_it(fort: Fort) -> None:
    pack = Pack()
    name = b"\x1b]0;title\x07\x1b[2J\rremote: ok\xe2\x80\xae\xff"
    heard = _pushed(fort, pack, pack.commit(pack.tree((MODULE, name, "1" * 40))))
    assert "submodules cannot be deployed: ^[]0;title^G^[[2J" in heard.all
    events = fort.ledger.events(EventQuery(AppName("shop"), None, None, 1))
    assert "submodules" in events[0].happening.reason


def _commit(content: bytes) -> Callable[[Pack, str], str]:
    return lambda pack, tree: pack.raw_commit(content.replace(b"TREE", tree.encode()))


_BY = b"author a <a@example.com> 1 +0000\ncommitter a <a@example.com> 1 +0000\n\nx\n"
COMMITS: dict[str, Callable[[Pack, str], str]] = {
    "no tree": _commit(_BY),
    "a tree that is not there": _commit(b"tree " + b"d" * 40 + b"\n" + _BY),
    "a tree that is a file": _commit(b"tree " + BLOB.encode() + b"\n" + _BY),
    "a parent that is not there": _commit(b"tree TREE\nparent " + b"d" * 40 + b"\n" + _BY),
    "a parent that is a file": _commit(b"tree TREE\nparent " + BLOB.encode() + b"\n" + _BY),
    "nobody who made it": _commit(b"tree TREE\n\nx\n"),
    "two who made it": _commit(b"tree TREE\nauthor a <a@b> 1 +0000\n" + _BY),
    "a NUL in its head": _commit(b"tree TREE\nauthor a\0b <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n"),
    "a date that is none": _commit(b"tree TREE\nauthor a <a@b> x +0000\ncommitter a <a@b> x +0000\n\nx\n"),
    "a date past all dates": _commit(b"tree TREE\nauthor a <a@b> 99999999999999999999999 +0000\ncommitter a <a@b> 1 +0000\n\nx\n"),
    "nothing": _commit(b""),
    "a tag": lambda p, tree: p.tag(b"object " + p.commit(tree).encode() + b"\ntype commit\ntag x\ntagger a <a@b> 1 +0000\n\nx\n"),
    "a tree": lambda _, tree: tree,
    "a file": lambda _p, _tree: BLOB,
}  # fmt: skip


@pytest.mark.parametrize("made", COMMITS.values(), ids=COMMITS)
def test_a_commit_that_no_git_makes_is_refused(fort: Fort, made: Callable[[Pack, str], str]) -> None:
    pack = Pack()
    pack.blob()
    _pushed(fort, pack, made(pack, pack.tree((FILE, b"a", BLOB))))


def _good(pack: Pack) -> str:
    return pack.commit(pack.tree((FILE, b"a", pack.blob())))


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[], tuple[bytes, str]]:
    def made() -> tuple[bytes, str]:
        pack = Pack()
        new = _good(pack)
        return change(pack.whole()), new

    return made


def _with(add: Callable[[Pack], object]) -> Callable[[], tuple[bytes, str]]:
    def made() -> tuple[bytes, str]:
        pack = Pack()
        add(pack)
        new = _good(pack)
        return pack.whole(), new

    return made


def _counted(number: int) -> Callable[[], tuple[bytes, str]]:
    def made() -> tuple[bytes, str]:
        pack = Pack(count=number)
        new = _good(pack)
        return pack.whole(), new

    return made


_BASE = b"\0" * 65_536
_BASE_ID = name_of("blob", _BASE)
PACKS: dict[str, Callable[[], tuple[bytes, str]]] = {
    "nothing": _bytes(lambda _: b""),
    "half": _bytes(lambda pack: pack[: len(pack) // 2]),
    "no pack": _bytes(lambda _: b"GET / HTTP/1.1\r\n" * 100),
    "a wrong sum": _bytes(lambda pack: pack[:-1] + bytes([pack[-1] ^ 1])),
    "a byte changed": _bytes(lambda pack: pack[:20] + bytes([pack[20] ^ 0xFF]) + pack[21:]),
    "another version": _bytes(lambda pack: pack[:7] + b"\x09" + pack[8:]),
    "fewer objects than it says": _counted(1000),
    "more objects than it says": _counted(1),
    "four billion objects": _counted(0xFFFFFFFF),
    "no objects": _counted(0),
    "a kind that is none": _with(lambda p: p.entries.append(b"\x50" + zlib.compress(b"x"))),
    "a kind that is reserved": _with(lambda p: p.entries.append(b"\x01" + zlib.compress(b"x"))),
    "a size that is more than there is": _with(lambda p: p.entries.append(claiming(3, b"x", 1 << 20))),
    "a size that is less than there is": _with(lambda p: p.entries.append(claiming(3, b"x" * 100, 1))),
    "a size of 16 EiB": _with(lambda p: p.entries.append(b"\xbf" + b"\xff" * 9 + b"\x7f" + zlib.compress(b"x"))),
    "a size without an end": _with(lambda p: p.entries.append(b"\xff" * 100)),
    "no compression": _with(lambda p: p.entries.append(b"\x31x")),
    "a file that says a gibibyte": _with(lambda p: p.entries.append(claiming(3, b"x", 1 << 30))),
    "a base that is not there": _with(lambda p: p.delta("d" * 40, copies(10, 10, 0))),
    "a delta of itself": _with(lambda p: p.delta_before(b"\0", copies(10, 10, 0))),
    "a delta of what is before the pack": _with(lambda p: p.delta_before(b"\xff\xff\xff\x7f", copies(10, 10, 0))),
    "a delta that reads past its base": _with(lambda p: (p.blob(b"x"), p.delta(BLOB, copies(1, 1 << 16, 1)))),
    "a delta of a base of another size": _with(lambda p: (p.blob(b"x"), p.delta(BLOB, copies(5, 10, 0)))),
    "a delta that is cut off": _with(lambda p: (p.blob(b"x"), p.delta(BLOB, b"\x01\xff"))),
    "a delta of nothing": _with(lambda p: (p.blob(b"x"), p.delta(BLOB, b""))),
    "202 bytes that ask for a gibibyte": _with(lambda p: (p.blob(_BASE), p.delta(_BASE_ID, copies(65_536, 1 << 30, 1 << 14)))),
    "a hundred of them": _with(
        lambda p: (p.blob(_BASE), [p.delta(_BASE_ID, copies(65_536, 1 << 30, 1 << 14)) for _ in range(100)])
    ),
}  # fmt: skip


@pytest.mark.parametrize("made", PACKS.values(), ids=PACKS)
def test_a_pack_that_no_git_makes_is_refused_and_none_of_it_kept(
    fort: Fort, made: Callable[[], tuple[bytes, str]]
) -> None:
    before = fort.objects()
    pack, new = made()
    heard = fort.push([("refs/heads/main", fort.head(), new)], pack)
    assert b"ok refs/heads/main" not in heard.out, heard
    assert fort.objects() == before


def test_deltas_of_each_other_are_refused(fort: Fort) -> None:
    """A thin pack completes a base from what is there; a circle has none."""
    pack = Pack()
    pack.delta("a" * 40, copies(10, 10, 0))
    pack.delta("b" * 40, copies(10, 10, 0))
    heard = _pushed(fort, pack, "a" * 40)
    assert b"unpack ok" not in heard.out


def test_a_dozen_objects_for_ten_billion_files_are_refused_at_once(fort: Fort) -> None:
    pack = Pack()
    pack.blob()
    tree = pack.tree(*((FILE, b"%d" % n, BLOB) for n in range(10)))
    for _ in range(9):
        tree = pack.tree(*((FOLDER, b"%d" % n, tree) for n in range(10)))
    new = pack.commit(tree)
    began = time.monotonic()
    assert "more than 100000 files" in _pushed(fort, pack, new).all
    assert time.monotonic() - began < 10  # half a second where nothing else runs


def test_a_folder_of_more_files_than_are_taken_is_refused(fort: Fort) -> None:
    pack = Pack()
    pack.blob()
    blob = bytes.fromhex(BLOB)
    tree = pack.raw_tree(b"".join(b"100644 %07d\0" % number + blob for number in range(200_000)))
    assert "more than 100000 files" in _pushed(fort, pack, pack.commit(tree)).all


def test_folders_in_folders_without_end_are_refused(fort: Fort) -> None:
    pack = Pack()
    pack.blob()
    tree = pack.tree((FILE, b"f", BLOB))
    for _ in range(5000):
        tree = pack.tree((FOLDER, b"d", tree))
    assert b"ng refs/heads/main" in _pushed(fort, pack, pack.commit(tree)).out


def test_tags_of_tags_are_followed_to_their_end(fort: Fort) -> None:
    pack = Pack()
    name, kind = _good(pack), "commit"
    for number in range(2000):
        name, kind = (
            pack.tag(f"object {name}\ntype {kind}\ntag t{number}\ntagger a <a@b> 1 +0000\n\nx\n".encode()),
            "tag",
        )
    assert "this is a tag, not a commit" in _pushed(fort, pack, name).all


def test_a_file_that_inflates_to_far_more_than_was_sent_is_kept_in_its_small_form(fort: Fort) -> None:
    """Two gibibytes in a pack of 50 KiB: what a commit holds is counted, not made."""
    before = fort.memory()
    pack = Pack()
    large = pack.blob(b"\0" * (40 << 20))
    entries = [(FILE, b"%02d" % number, large) for number in range(52)]
    heard = _pushed(fort, pack, pack.commit(pack.tree(*entries)))
    assert "more than 2048 MiB" in heard.all
    assert fort.memory() - before < 64 << 20


def test_a_forced_move_from_what_the_branch_never_had_is_refused(fort: Fort) -> None:
    pack = Pack()
    new = _good(pack)
    before = fort.head()
    heard = fort.push([("refs/heads/main", "1" * 40, new)], pack.whole())
    assert b"ng refs/heads/main" in heard.out
    assert fort.head() == before
