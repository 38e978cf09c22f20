import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.buildpacks.selection import selection
from gitreceive.errors import SourceError


@pytest.mark.parametrize(
    ("line", "gone", "kept"),
    [
        ("docs/", ["docs/a.md", "x/docs/b/c"], ["docs", "x/docs"]),
        ("/README.md", ["README.md"], ["x/README.md"]),
        ("*.mp4", ["a.mp4", "x/y/b.mp4"], ["a.mp4x"]),
        ("a/*.txt", ["a/b.txt"], ["x/a/b.txt", "a/x/b.txt"]),
        ("**/tmp", ["tmp", "a/b/tmp", "tmp/x"], ["atmp"]),
        ("a/**/z", ["a/z", "a/b/c/z"], ["z", "b/a/z"]),
        ("logs/**", ["logs/a", "logs/b/c"], ["logs", "x/logs/a"]),
        ("[ab].c", ["a.c", "x/b.c"], ["c.c"]),
        ("[!ab].c", ["c.c"], ["a.c"]),
        ("\\#x", ["#x"], ["x"]),
        ("\\!x", ["!x"], ["x"]),
        ("a\\ ", ["a "], ["a"]),
        ("a  ", ["a"], ["a  "]),
        ("# a", [], ["a", "# a"]),
        ("", [], ["a"]),
        ("?.py", ["a.py"], ["ab.py", "/.py"]),
    ],
)
def test_a_line_is_read_as_in_a_gitignore(line: str, gone: list[str], kept: list[str]) -> None:
    keep = selection((), (line,))
    assert [path for path in gone if keep(path)] == []
    assert [path for path in kept if not keep(path)] == []


def test_a_later_line_brings_back_what_an_earlier_took_but_not_from_a_folder_that_is_gone() -> None:
    keep = selection((), ("*.log", "!keep.log", "old/", "!old/keep.log"))
    assert keep("keep.log")
    assert keep("x/keep.log")
    assert not keep("old/keep.log")
    assert not keep("a.log")


def test_include_keeps_nothing_else() -> None:
    keep = selection(("cmd/", "go.mod", "*.go"), ())
    assert [p for p in ("cmd/a/b", "go.mod", "x/y.go", "README", "x/cmd2") if keep(p)] == [
        "cmd/a/b",
        "go.mod",
        "x/y.go",
    ]


def test_nothing_said_keeps_all() -> None:
    assert selection((), ())("anything/at/all")


@pytest.mark.parametrize("line", ["**/a" * 30 + "/b", "*a" * 200 + "b", "/**" * 100 + "/b"])
@pytest.mark.timeout(60)
def test_no_line_takes_for_ever(line: str) -> None:
    """A pattern that is tried in all ways, as some engines do, would still be at it tomorrow."""
    keep = selection((), (line,))
    assert keep("/".join(["a" * 200] * 100) + "/" + "a/" * 200 + "a")


def test_a_line_that_is_no_pattern_names_itself() -> None:
    with pytest.raises(SourceError, match=r"exclude: '\[z-a\]' is no pattern"):
        selection((), ("[z-a]",))


_NAME = st.text("ab.*?!/[]", min_size=1, max_size=8)


@given(lines=st.lists(_NAME, max_size=4), paths=st.lists(st.lists(st.text("ab.", min_size=1), min_size=1)))
def test_any_lines_either_select_or_are_refused(lines: list[str], paths: list[list[str]]) -> None:
    try:
        keep = selection((), tuple(lines))
    except SourceError:
        return
    for path in paths:
        assert isinstance(keep("/".join(path)), bool)
