from pathlib import Path

import pytest
from staticpack import detection, serving


def _site(app: Path, **files: str) -> Path:
    for name, text in files.items():
        path = app / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.with_suffix(".html") if name != "Staticfile" else path).write_text(text)
    return app


def test_the_root_is_served_where_it_has_an_index_else_public(tmp_path: Path) -> None:
    assert serving.find_site(_site(tmp_path, public__index="")) == serving.Site(tmp_path / "public")
    assert serving.find_site(_site(tmp_path, index="")) == serving.Site(tmp_path)


def test_a_staticfile_names_the_folder(tmp_path: Path) -> None:
    app = _site(tmp_path, dist__index="", Staticfile="# site\nroot: ./dist/\npushstate: enabled\n")
    assert serving.find_site(app) == serving.Site(tmp_path / "dist", pushstate=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("root: ../etc", "no folder of the app"),
        ("root: /etc", "no folder of the app"),
        ("root: a; return 200", "no folder of the app"),
        ("root: missing", "no such folder"),
        ("rooot: dist", "line 1"),
        ("pushstate: perhaps", "enabled or disabled"),
    ],
)
def test_a_staticfile_that_is_not_understood_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        serving.find_site(_site(tmp_path, Staticfile=text))


def test_the_etag_follows_the_content_even_where_time_and_size_stay(tmp_path: Path) -> None:
    first = serving.site_digest(_site(tmp_path, index="version 1"))
    assert first == serving.site_digest(tmp_path)
    assert first != serving.site_digest(_site(tmp_path, index="version 2"))


def test_detection_tells_what_was_looked_for(tmp_path: Path) -> None:
    assert detection.decide(tmp_path).reason == "no index.html, public/index.html, Staticfile"
    assert detection.decide(_site(tmp_path, public__index="")).passed
