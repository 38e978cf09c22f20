"""The server's disk is full, has no room for one file more, or is read-only."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitreceive.errors import UnavailableError
from gitreceive.room import Reserve, require_room
from tests.e2e.world import run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")

_RESERVED = 4 << 20


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[Path]:
    place.mkdir(parents=True)
    run(
        [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"size={megabytes}m,nr_inodes=5000,mode=0700",
            "small-disk",
            str(place),
        ]
    ).ok()
    try:
        yield place
    finally:
        run(["umount", "--lazy", str(place)]).ok()


def fill(place: Path) -> Path:
    """All that is free, to the last byte."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * (1 << 16))
        except OSError:
            pass
    return filler


def test_a_read_only_disk_takes_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 16) as disk:
        require_room(disk, _RESERVED)
        run(["mount", "-o", "remount,ro", str(disk)]).ok()
        with pytest.raises(UnavailableError, match="read-only"):
            require_room(disk, _RESERVED)


def test_the_reserve_is_given_up_when_it_is_needed_and_taken_back(tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 16) as disk:
        reserve = Reserve(disk, _RESERVED)
        reserve.see()
        held = (disk / "reserve").stat().st_blocks * 512
        assert held == _RESERVED // 8
        filler = fill(disk)

        reserve.see()
        (disk / "log").write_bytes(b"x" * (held // 2))
        reserve.see()
        (disk / "ledger").write_bytes(b"x" * (held // 4))

        filler.unlink()
        reserve.see()
        assert (disk / "reserve").stat().st_blocks * 512 == held
