import contextlib
from pathlib import Path

import pytest

from gitreceive.buildpacks.lint import lint
from gitreceive.lifecycle.folder import FolderError, Member, load


def _write(folder: Path, order: str, **buildpacks: str) -> Path:
    for name, text in buildpacks.items():
        (folder / name / "bin").mkdir(parents=True)
        for program in ("detect", "build"):
            (folder / name / "bin" / program).touch()
        (folder / name / "buildpack.toml").write_text(text)
    (folder / "order.toml").write_text(order)
    return folder


def _head(name: str, *, api: str = "0.10", more: str = "") -> str:
    return f'api = "{api}"\n[buildpack]\nid = "{name}"\nversion = "1"\n{more}'


def _group(*names: str) -> str:
    members = "".join(f'[[order.group]]\nid = "{name}"\nversion = "1"\n' for name in names)
    return f"[[order]]\n{members}"


def test_a_folder_is_read_with_order_and_file_names(tmp_path: Path) -> None:
    more = '[metadata.gitreceive]\ndetects = ["Gemfile"]\n'
    folder = load(_write(tmp_path, _group("x/a"), a=_head("x/a", more=more)))
    assert folder.order == ((Member("x/a", "1"),),)
    buildpack = folder.find(Member("x/a", ""))
    assert (buildpack.name, buildpack.folder, buildpack.detects, buildpack.api) == (
        "x/a 1",
        "x_a",
        ("Gemfile",),
        (0, 10),
    )


@pytest.mark.parametrize("api", ["0.13", "1.0", "0.6", "", "x"])
def test_an_api_that_is_not_known_is_refused_with_exit_code_12(api: str, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"known are 0.7 to 0.12") as caught:
        load(_write(tmp_path, _group("a"), a=_head("a", api=api)))
    assert caught.value.exit_code == 12


@pytest.mark.parametrize(
    ("order", "head", "said"),
    [
        (_group("b"), _head("a"), "buildpack b 1 is in the order"),
        ("", _head("a"), "has no .*order"),
        ("[[order]]\n", _head("a"), "needs .*order.group"),
        ("[[", _head("a"), "order.toml cannot be read"),
        (_group("a"), _head("config"), "'config' cannot be a buildpack's id"),
        (_group("a"), 'api = "0.10"\n[buildpack]\nid = "a"\n', "has no version"),
    ],
)
def test_a_folder_that_cannot_be_used_says_what_is_wrong(
    order: str, head: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(FolderError, match=said):
        load(_write(tmp_path, order, a=head))


def test_a_buildpack_without_programs_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, _group("a"), a=_head("a"))
    (tmp_path / "a" / "bin" / "detect").unlink()
    with pytest.raises(FolderError, match="has no bin/detect"):
        load(tmp_path)


def test_a_composite_stands_for_each_of_its_own_groups(tmp_path: Path) -> None:
    inner = f"{_group('a')}{_group('b')}"
    folder = load(
        _write(tmp_path, _group("c", "d"), a=_head("a"), b=_head("b"), d=_head("d"), c=_head("c", more=inner))
    )
    assert [[member.id for member in group] for group in folder.expand()] == [["a", "d"], ["b", "d"]]


def test_a_composite_within_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="contains itself"):
        load(_write(tmp_path, _group("a"), a=_head("a", more=_group("a"))))


def _composite(name: str, *inner: str) -> str:
    return _head(name, more="".join(_group(*one.split("+")) for one in inner))


def test_a_loop_of_composites_is_named_with_its_way(tmp_path: Path) -> None:
    packs = {"a": _composite("a", "b"), "b": _composite("b", "c"), "c": _composite("c", "b")}
    with pytest.raises(FolderError, match=r"b/buildpack\.toml: buildpack b contains itself: b → c → b$"):
        load(_write(tmp_path, _group("a"), **packs))


def test_two_composites_may_hold_the_same_third(tmp_path: Path) -> None:
    packs = {"a": _composite("a", "c"), "b": _composite("b", "c"), "c": _composite("c", "x", "y")}
    folder = load(_write(tmp_path, _group("a", "b"), **packs, x=_head("x"), y=_head("y")))
    assert [tuple(m.id for m in group) for group in folder.expand()] == [
        ("x", "x"),
        ("x", "y"),
        ("y", "x"),
        ("y", "y"),
    ]


def test_an_order_that_explodes_is_refused(tmp_path: Path) -> None:
    packs = {"a": _composite("a", *["x"] * 11), "x": _head("x")}
    with pytest.raises(FolderError, match="more than 1000 groups"):
        load(_write(tmp_path, _group("a", "a", "a"), **packs))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[metadata]\ngitreceive = 1\n", "metadata.gitreceive must be a table"),
        ("[[targets]]\nos = 3\n", "targets.os must be a string"),
        ("[[targets]]\ndistros = ['debian']\n", r"targets.distros must be an array of tables"),
        ("[[stacks]]\nid = true\n", "stacks.id must be a string"),
        ("[[buildpack.exec-env]]\nname = ['x']\n", "buildpack.exec-env.name must be a string"),
        ("[[order]]\n[[order.group]]\nid = 3\n", "order.group.id must be a string"),
        ("[[order]]\n[[order.group]]\nid = 'b'\nexec-env = 'x'\n", "exec-env must be an array of strings"),
        ("[metadata.gitreceive]\ndetects = 1\n", "metadata.gitreceive.detects must be an array of globs"),
        ("[[order]]\ngroup = 1\n", "group must be an array of tables"),
        ("[[metadata.gitreceive.hints]]\nmatch = 'x'\n", "needs match and hint, both strings"),
        ("[[metadata.gitreceive.hints]]\nmatch = '('\nhint = 'x'\n", "is no regular expression"),
        (
            "[[metadata.gitreceive.hints]]\nmatch = 'x'\nhint = '{1}'\n",
            "names a group that match 'x' does not have",
        ),
    ],
)
def test_a_description_of_another_shape_is_named_with_its_file(more: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=said) as caught:
        load(_write(tmp_path, _group("a"), a=_head("a", more=more)))
    assert str(tmp_path / "a" / "buildpack.toml") in str(caught.value)


def test_a_hint_speaks_of_what_its_pattern_found(tmp_path: Path) -> None:
    more = "[[metadata.gitreceive.hints]]\nmatch = '^no (\\w+)(\\d)?$'\nhint = 'add {1}{2}: {x}'\n"
    (hint,) = load(_write(tmp_path, _group("a"), a=_head("a", more=more))).find(Member("a", "")).hints
    assert hint.of("first\nno libpq\n") == "add libpq: {x}"
    assert hint.of("there is no libpq") == ""


@pytest.mark.parametrize(
    "value", ["3", "'x'", "[]", "[3]", "{}", "[{}]", "true", "1979-05-27", "inf", "[[{}]]"]
)
@pytest.mark.parametrize(
    "key",
    [
        *("api", "targets", "stacks", "order", "metadata", "buildpack", "buildpack.id", "buildpack.version"),
        *("buildpack.clear-env", "buildpack.exec-env", "buildpack.licenses", "metadata.gitreceive.detects"),
        *("metadata.gitreceive.inputs", "metadata.gitreceive.hints"),
    ],
)
def test_no_value_of_any_type_is_more_than_refused(key: str, value: str, tmp_path: Path) -> None:
    _write(tmp_path, _group("a"), a=_head("a"))
    given = {"api": '"0.10"', "buildpack.id": '"a"', "buildpack.version": '"1"', key: value}
    if key == "buildpack":
        given = {"api": '"0.10"', key: value}
    (tmp_path / "a" / "buildpack.toml").write_text("".join(f"{k} = {v}\n" for k, v in given.items()))
    with contextlib.suppress(FolderError):
        load(tmp_path)
    for found in lint(tmp_path / "a"):
        assert found.message
