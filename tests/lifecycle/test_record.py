import os
from pathlib import Path

import pytest

from gitreceive.lifecycle import record
from gitreceive.lifecycle.record import Kept

STACK = "build run"


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    folder = tmp_path / "layers"
    (folder / "bp" / "deps").mkdir(parents=True)
    (folder / "bp" / "deps" / "file").write_text("content")
    (folder / "bp" / "deps.toml").write_text('[types]\ncache = true\n[metadata]\nkey = "k"\n')
    (folder / "bp" / "store.toml").write_text("[metadata]\n")
    return folder


def _close(layers: Path, *, launch: bool = True, cache: bool = True) -> Kept:
    kept = Kept(record.fingerprint(layers / "bp" / "deps"), "sha256:1", launch, build=False, cache=cache)
    record.close(layers, STACK, {"bp/deps": kept})
    return kept


def _restore(
    layers: Path, *, stack: str = STACK, known: tuple[str, ...] = ("sha256:1",), fresh: bool = False
) -> tuple[record.Record, list[str]]:
    said: list[str] = []
    return record.restore(layers, stack, known, said.append, fresh=fresh), said


def test_a_cached_layer_stays_and_its_metadata_lose_their_flags(layers: Path) -> None:
    kept = _close(layers)
    assert _restore(layers) == ({"bp/deps": kept}, [])
    assert (layers / "bp/deps/file").read_text() == "content"
    assert (layers / "bp/deps.toml").read_text() == 'metadata = {key = "k"}\n'
    assert (layers / "bp/store.toml").exists()


def test_what_no_record_tells_of_is_removed(layers: Path) -> None:
    _close(layers)
    for name in ("stray", "stray.toml"):
        (layers / "bp" / name).touch()
    (layers / "other").mkdir()
    (layers / "other" / "x").touch()
    _restore(layers)
    assert sorted(path.name for path in (layers / "bp").iterdir()) == ["deps", "deps.toml", "store.toml"]
    assert list((layers / "other").iterdir()) == []


def test_the_first_build_of_an_app_says_nothing(tmp_path: Path) -> None:
    assert _restore(tmp_path) == ({}, [])


def test_a_layer_changed_by_a_build_that_did_not_end_is_dropped_and_told(layers: Path) -> None:
    _close(layers)
    _restore(layers)
    (layers / "bp/deps/file").write_text("CONTENT")
    kept, said = _restore(layers)
    assert kept == {}
    assert said == ["bp/deps: dropped from the cache: a build that did not end well has changed it"]
    assert not (layers / "bp/deps").exists()


def test_a_layer_that_such_a_build_left_alone_stays(layers: Path) -> None:
    kept = _close(layers)
    _restore(layers)
    assert _restore(layers) == ({"bp/deps": kept}, [])


@pytest.mark.parametrize(
    ("stack", "fresh", "reason"),
    [
        ("other run", False, "caches are dropped: the stack has changed"),
        (STACK, True, "caches are left out, as asked"),
    ],
)
def test_another_stack_and_a_wish_drop_all(layers: Path, stack: str, reason: str, *, fresh: bool) -> None:
    _close(layers)
    assert _restore(layers, stack=stack, fresh=fresh) == ({}, [reason])
    assert list((layers / "bp").iterdir()) == []


def test_a_launch_layer_without_cache_keeps_its_metadata_while_the_registry_has_it(layers: Path) -> None:
    kept = _close(layers, cache=False)
    assert _restore(layers) == ({"bp/deps": kept}, [])
    assert not (layers / "bp/deps").exists()
    assert (layers / "bp/deps.toml").exists()


def test_a_launch_layer_that_the_registry_lost_goes(layers: Path) -> None:
    _close(layers, cache=False)
    assert _restore(layers, known=())[0] == {}
    assert not (layers / "bp/deps.toml").exists()


def test_a_record_that_cannot_be_read_drops_all_and_says_so(layers: Path) -> None:
    _close(layers)
    (layers / record.FOLDER / "record.json").write_text('{"format": 1, "stack"')
    assert _restore(layers) == ({}, ["caches are dropped: their record cannot be read"])


def test_read_only_folders_can_be_dropped(layers: Path) -> None:
    (layers / "bp/deps").chmod(0o555)
    assert _restore(layers) == ({}, [])
    assert not (layers / "bp/deps").exists()


def test_a_fingerprint_sees_content_mode_name_and_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    (tmp_path / "link").symlink_to("file")
    seen = {record.fingerprint(tmp_path)}
    (tmp_path / "file").write_text("2")
    seen.add(record.fingerprint(tmp_path))
    (tmp_path / "file").chmod(0o755)
    seen.add(record.fingerprint(tmp_path))
    (tmp_path / "file").rename(tmp_path / "other")
    seen.add(record.fingerprint(tmp_path))
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("other")
    seen.add(record.fingerprint(tmp_path))
    assert len(seen) == 5


def test_a_fingerprint_is_not_fooled_by_a_date_that_was_put_back(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("1")
    before = file.stat()
    first = record.fingerprint(tmp_path)
    file.write_text("2")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert record.fingerprint(tmp_path) != first


def test_variables_written_anew_with_the_same_content_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "env.launch").mkdir()
    (tmp_path / "env.launch" / "A").write_text("1")
    first = record.fingerprint(tmp_path)
    (tmp_path / "env.launch" / "A").write_text("1")
    assert record.fingerprint(tmp_path) == first
    (tmp_path / "env.launch" / "A").write_text("2")
    assert record.fingerprint(tmp_path) != first
