"""What inotify tells of a folder's files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitreceive.lifecycle.observation import Observation
from gitreceive.lifecycle.watch import Seen, Watch


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "lib" / "deep").mkdir(parents=True)
    for name in ("a", "b", "lib/c", "lib/deep/d", "empty"):
        (tmp_path / name).write_text(name if name != "empty" else "")
    return tmp_path


@contextmanager
def _watching(app: Path) -> Iterator[Watch]:
    watch = Watch(app)
    try:
        yield watch
    finally:
        watch.close()


def test_files_that_are_opened_are_seen_once_and_by_the_lap_in_which_they_were(app: Path) -> None:
    with _watching(app) as watch:
        for name in ("lib/deep/d", "a", "a", "empty"):
            (app / name).read_text()
        assert watch.lap() == Seen(read=("a", "empty", "lib/deep/d"))
        (app / "lib/c").read_text()
        assert watch.lap() == Seen(read=("lib/c",))
        assert watch.lap() == Seen()


def test_what_is_only_looked_for_or_listed_is_not_read(app: Path) -> None:
    with _watching(app) as watch:
        assert (app / "a").is_file()
        assert not (app / "none").exists()
        assert sorted(path.name for path in app.iterdir()) == ["a", "b", "empty", "lib"]
        assert watch.lap() == Seen()


def test_what_a_build_makes_or_changes_is_no_longer_the_sources(app: Path) -> None:
    with _watching(app) as watch:
        (app / "made").write_text("x")
        (app / "made").read_text()
        (app / "a").write_text("y")
        (app / "b").chmod(0o755)
        (app / "lib/c").unlink()
        (app / "lib/deep/d").rename(app / "moved")
        assert watch.lap() == Seen(changed=("a", "b", "lib/c", "lib/deep/d", "made", "moved"))
        (app / "a").read_text()
        (app / "moved").read_text()
        assert watch.lap() == Seen()


def test_more_than_the_kernel_keeps_is_kept_as_it_comes(app: Path) -> None:
    names = [f"f{number}" for number in range(2000)]
    for name in names:
        (app / name).touch()
    with _watching(app) as watch:
        for _ in range(20):
            for name in names:
                (app / name).read_text()
        seen = watch.lap()
    # 40,000 opens: either each is told of, or that some are not
    assert not seen.whole or set(seen.read) == set(names)


def test_names_that_are_no_utf8_are_told(tmp_path: Path) -> None:
    file = Path(str(tmp_path) + "/\udcff")
    file.touch()
    with _watching(tmp_path) as watch:
        file.read_bytes()
        assert watch.lap().read == ("\udcff",)


def test_an_observation_that_cannot_watch_says_why(tmp_path: Path) -> None:
    with Observation(tmp_path / "none" / "\0", wanted=False) as nothing:
        nothing.lap("detect")
    assert nothing.as_json() == {}
    with Observation(tmp_path / "none", wanted=True) as observed:
        observed.lap("detect")
    seen = observed.as_json()
    assert seen["parts"] == {}
    assert "No such file or directory" in seen["trouble"]
