from pathlib import Path

import pytest
from staticpack import detection, serving

from tests.bundled.bench import Bench


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


def test_a_page_beside_a_package_json_is_served_only_where_a_staticfile_says_so(tmp_path: Path) -> None:
    app = _site(tmp_path, index="")
    (app / "package.json").write_text("{}")
    assert detection.decide(app).reason.startswith("no Staticfile")
    assert detection.decide(_site(app, Staticfile="")).requires == "node-assets"


def test_headers_are_set_for_the_paths_that_the_file_names_and_the_last_one_counts(tmp_path: Path) -> None:
    app = _site(tmp_path, index="")
    (app / "_headers").write_text(
        '# site\n/*\n  X-Frame-Options: DENY\n/a/*\n  x-frame-options: SAMEORIGIN\n  Link: <$a>; rel="b"\n'
    )
    site = serving.find_site(app)
    assert site.headers == (
        ("/*", "X-Frame-Options", "DENY"),
        ("/a/*", "x-frame-options", "SAMEORIGIN"),
        ("/a/*", "Link", '<$a>; rel="b"'),
    )
    text = serving.render(site, 8080, tmp_path, "/dev/null")
    assert text.index('"~^/a/" "SAMEORIGIN"') < text.index('"~^/" "DENY"')
    assert '"<${dollar}a>; rel=\\"b\\""' in text
    assert text.lower().count("add_header x-frame-options") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  X-A: b\n", "line 1"),
        ("/*\nX-A: b\n", "line 2"),
        ("/*\n  X A: b\n", "line 2"),
        ('/a";\n', "line 1"),
        ("/*\n  X-A: b\x1b\n", "line 2"),
        ("/*\n  Content-Length: 1\n", "Content-Length is nginx's to say"),
    ],
)
def test_a_headers_file_that_is_not_understood_is_refused(tmp_path: Path, text: str, words: str) -> None:
    app = _site(tmp_path, index="")
    (app / "_headers").write_text(text)
    with pytest.raises(ValueError, match=words):
        serving.find_site(app)


def test_headers_outside_of_the_folder_that_is_served_are_warned_of(bench: Bench) -> None:
    _site(bench.app, public__index="")
    (bench.app / "_headers").write_text("/*\n  X-A: b\n")
    words = "warning: _headers sets nothing where it is: move it to public/"
    assert words in bench.build("static").output
    (bench.app / "_headers").rename(bench.app / "public" / "_headers")
    assert words not in bench.build("static").output
