from pathlib import Path

import pytest

from gitreceive.engines.docker_builder.last_builds import LastBuild, LastBuilds
from gitreceive.model import AppName

SHOP = AppName("shop")
LAST = LastBuild("settings", "seen", (("test/one:deps", "sha256:1"),), {"buildpacks": ["test/one@1"]})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    LastBuilds(tmp_path / "builds").write(SHOP, LAST)
    assert LastBuilds(tmp_path / "builds").read(SHOP) == LAST


def test_what_is_not_there_is_none_and_forgotten_twice(tmp_path: Path) -> None:
    builds = LastBuilds(tmp_path)
    assert builds.read(SHOP) is None
    builds.write(SHOP, LAST)
    builds.forget(SHOP)
    builds.forget(SHOP)
    assert builds.read(SHOP) is None


@pytest.mark.parametrize(
    "change", [b"", b"{", b"[]", b"null", b'{"format": 1}', b'{"format": 1, "kept": {}, "seal": 7}']
)
def test_a_file_that_is_malformed_is_none(tmp_path: Path, change: bytes) -> None:
    builds = LastBuilds(tmp_path)
    builds.write(SHOP, LAST)
    (tmp_path / "shop.json").write_bytes(change)
    assert builds.read(SHOP) is None


def test_a_file_that_somebody_else_wrote_is_none(tmp_path: Path) -> None:
    builds = LastBuilds(tmp_path)
    builds.write(SHOP, LAST)
    file = tmp_path / "shop.json"
    file.write_text(file.read_text().replace("seen", "sane"))
    assert builds.read(SHOP) is None


def test_a_seal_is_the_folders_own_and_does_not_show_the_value(tmp_path: Path) -> None:
    one, two = LastBuilds(tmp_path / "one"), LastBuilds(tmp_path / "two")
    assert (
        one.seal({"a": 1, "b": 2})
        == one.seal({"b": 2, "a": 1})
        == LastBuilds(tmp_path / "one").seal({"a": 1, "b": 2})
    )
    assert one.seal("hunter22") != two.seal("hunter22")
    assert one.seal("hunter22") != one.seal("hunter23")
    assert (tmp_path / "one" / "key").stat().st_mode & 0o777 == 0o600
