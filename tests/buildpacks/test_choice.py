import pytest

from gitreceive.buildpacks.choice import choose
from gitreceive.buildpacks.listed import parse_listed
from gitreceive.errors import DetectError, SourceError
from gitreceive.model import BuildpackRef, Choice, InlineBuildpack, Project, PushOptions


def _refs(*texts: str) -> tuple[BuildpackRef, ...]:
    return tuple(map(BuildpackRef.parse, texts))


PUSHED = PushOptions(buildpack="a")
PROJECT = Project(group=_refs("c"))


def test_nobody_says_anything_and_the_order_is_tried() -> None:
    assert choose(PushOptions(), (), Project(), ()) == Choice()


def test_the_push_comes_before_the_apps_list_before_project_toml_before_the_buildpacks_file() -> None:
    everyone = [
        choose(options, of_app, project, listed)
        for options, of_app, project, listed in [
            (PUSHED, ("b",), PROJECT, _refs("d")),
            (PushOptions(), ("b",), PROJECT, _refs("d")),
            (PushOptions(), (), PROJECT, _refs("d")),
            (PushOptions(), (), Project(), _refs("d")),
        ]
    ]
    assert [(choice.by, choice.group, choice.instead_of) for choice in everyone] == [
        (
            "-o buildpack=a",
            _refs("a"),
            ("the app's list", "project.toml", ".buildpacks"),
        ),
        ("the app's list", _refs("b"), ("project.toml", ".buildpacks")),
        ("project.toml", _refs("c"), (".buildpacks",)),
        (".buildpacks", _refs("d"), ()),
    ]


def test_pre_and_post_stand_around_what_is_detected_and_nothing_else() -> None:
    project = Project(before=_refs("a"), after=_refs("b"))
    assert choose(PushOptions(), (), project, ()) == Choice(before=_refs("a"), after=_refs("b"))
    assert choose(PushOptions(), ("c",), project, ()).before == ()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("docker://r/a:1", "buildpacks set APP docker://r/a:1"),
        ("https://h/a.tgz", "https://h/a.tgz#sha256=…"),
        ("https://h/heroku/ruby.git", "name an archive of a certain commit"),
    ],
)
def test_what_may_change_elsewhere_is_refused(text: str, hint: str) -> None:
    with pytest.raises(DetectError, match=r"\.buildpacks: .* is not pinned") as caught:
        choose(PushOptions(), (), Project(), _refs("python", text))
    assert hint in caught.value.hint


def test_no_buildpack_is_named_twice() -> None:
    inline = InlineBuildpack("me/a", "1", "0.10", "/bin/sh", "true")
    with pytest.raises(DetectError, match=r"project\.toml: me/a@1 is named twice"):
        choose(PushOptions(), (), Project(group=(inline, inline)), ())


def test_the_buildpacks_file_has_one_reference_a_line() -> None:
    content = b"# first the assets\n\n gitreceive/nodejs \r\n./ci/pack\n"
    assert parse_listed(content) == _refs("gitreceive/nodejs", "./ci/pack")
    assert parse_listed(b"# nothing\n") == ()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"python\n; rm -rf", "line 2: '; rm -rf' names no buildpack"),
        (b"\npython\n/etc", "line 3: .* outside the source"),
        (b"a\n\xff", r"not UTF-8 \(at line 2\)"),
        (b"a\n" * 51, "names 51 buildpacks"),
        (b"#" * 70_000, "larger than 64 KiB"),
    ],
)
def test_what_is_wrong_in_it_is_told_with_the_line(content: bytes, why: str) -> None:
    with pytest.raises(SourceError, match=why):
        parse_listed(content)
