import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.buildpacks.project import parse_project
from gitreceive.errors import SourceError
from gitreceive.model import BuildpackRef, InlineBuildpack, Project

HEAD = '[_]\nschema-version = "0.2"\n'


def _parse(text: str, head: str = HEAD) -> Project:
    return parse_project((head + text).encode())


def test_a_whole_descriptor_is_read() -> None:
    project = _parse(
        """
        id = "shop"
        [_.metadata.any]
        thing = 1
        [io.buildpacks]
        exclude = ["/docs/", "*.mp4"]
        [[io.buildpacks.group]]
        id = "gitreceive/nodejs"
        version = "0.1.0"
        [[io.buildpacks.group]]
        uri = "ci/pack/"
        [[io.buildpacks.group]]
        id = "me/assets"
        [io.buildpacks.group.script]
        api = "0.10"
        inline = "echo hello"
        [[io.buildpacks.build.env]]
        name = "JAVA_OPTS"
        value = "-Xmx300m"
        """
    )
    assert project == Project(
        group=(
            BuildpackRef.parse("gitreceive/nodejs@0.1.0"),
            BuildpackRef.parse("./ci/pack"),
            InlineBuildpack("me/assets", "0.0.0", "0.10", "/bin/sh", "echo hello"),
        ),
        exclude=("/docs/", "*.mp4"),
        env={"JAVA_OPTS": "-Xmx300m"},
    )


def test_pre_and_post_are_for_groups_that_are_detected() -> None:
    text = '[[io.buildpacks.pre.group]]\nid = "a/a"\n[[io.buildpacks.post.group]]\nuri = "./b"\n'
    project = _parse(text)
    assert (project.before, project.after) == ((BuildpackRef.parse("a/a"),), (BuildpackRef.parse("./b"),))
    both = _parse(text + '[[io.buildpacks.group]]\nid = "c/c"\n')
    assert (both.before, both.after) == ((), ())
    assert "pre and post change nothing" in both.warnings[0]


def test_the_older_name_of_build_env_is_read_and_counts_less() -> None:
    text = (
        '[[io.buildpacks.env.build]]\nname = "A"\nvalue = "old"\n[[io.buildpacks.env.build]]\nname = "B"\nvalue = ""\n'
        '[[io.buildpacks.build.env]]\nname = "A"\nvalue = "new"\n'
    )
    assert _parse(text).env == {"A": "new", "B": ""}


@pytest.mark.parametrize(
    "text", ["", 'title = "mine"', '[project]\nname = "x"', '[com.gitreceive.system]\npackages = ["curl"]']
)
def test_a_file_without_the_specifications_tables_asks_for_nothing(text: str) -> None:
    assert _parse(text, head="") == Project()


def test_an_empty_include_beside_exclude_is_nothing() -> None:
    assert _parse('[io.buildpacks]\nexclude = ["a"]\ninclude = []').exclude == ("a",)


def test_what_changes_nothing_is_said() -> None:
    project = _parse('[io.buildpacks]\nbuilder = "some/builder"\nexlude = ["a"]')
    assert [line.partition("] ")[2] for line in project.warnings] == [
        "'exlude' is not known and changes nothing",
        "builder changes nothing: the server's stack builds",
    ]


GROUP = "[[io.buildpacks.group]]\n"
SCRIPT = GROUP + 'id = "me/a"\n[io.buildpacks.group.script]\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[io.buildpacks\n", r"project\.toml is no TOML: .*line 3"),
        ('[io.buildpacks]\ninclude = ["a"]\nexclude = ["b"]', "has both include and exclude"),
        ('[io.buildpacks]\ninclude = "a"', r"include: is not a list of strings"),
        ("[io.buildpacks]\ninclude = [1]", "is not a list of strings"),
        ('[io.buildpacks]\nexclude = ["a\\nb"]', "has a line that is no pattern"),
        ("[io.buildpacks]\nexclude = [" + '"a",' * 1001 + "]", "has 1001 lines"),
        ("[[io]]\na = 1", "io: is not a table"),
        ('[io]\nbuildpacks = "x"', r"io\.buildpacks: is not a table"),
        (
            '[io.buildpacks]\ngroup = ["gitreceive/python"]',
            r"io\.buildpacks\.group: is not an array of tables",
        ),
        (GROUP + 'version = "1"', r"\[\[io\.buildpacks\.group\]\], entry 1: has neither id nor uri"),
        (GROUP + 'id = "a/b"\n' + GROUP, "entry 2: has neither id nor uri"),
        (GROUP + 'id = "a/b"\nuri = "./a"', "has both id and uri"),
        (GROUP + 'uri = "./a"\nversion = "1"', "has both uri and version"),
        (GROUP + 'uri = "../a"', "outside the source"),
        (GROUP + 'uri = "urn:cnb:registry:a/b"', "not understood"),
        (GROUP + "id = 7", "id is not a string"),
        (GROUP + 'id = "a/b"\noptional = true', "has an unknown key 'optional'"),
        (GROUP + 'id = "a b"', "names no buildpack"),
        ((GROUP + 'id = "a/b"\n') * 51, "names 51 buildpacks"),
        (SCRIPT + 'inline = "true"', "needs api and inline"),
        (SCRIPT + 'api = "0.10"\ninline = " "', "needs api and inline"),
        (SCRIPT + 'api = "0.10"\ninline = "true"\nshell = "bash"', "'bash' is no shell"),
        (SCRIPT + 'api = "0.10"\ninline = "true"\nshell = "/bin/sh\\nx"', "is no shell"),
        (GROUP + 'script = "true"', "its script is not a table"),
        (GROUP + '[io.buildpacks.group.script]\napi = "0.10"\ninline = "true"', "a script needs an id"),
        ('[[io.buildpacks.build.env]]\nname = "A"', "A has no value"),
        ('[[io.buildpacks.build.env]]\nvalue = "A"', "'' cannot be the name of a variable"),
        ('[[io.buildpacks.build.env]]\nname = "A-B"\nvalue = ""', "cannot be the name"),
        ('[[io.buildpacks.build.env]]\nname = "CNB_APP_DIR"\nvalue = ""', "belongs to the build itself"),
        (f'[[io.buildpacks.build.env]]\nname = "A"\nvalue = "{"x" * 40000}"', "too long"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, why: str) -> None:
    with pytest.raises(SourceError, match=why) as caught:
        _parse(text)
    assert caught.value.message.startswith("project.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[_]\nid = "x"\n', "schema-version is missing"),
        ('[_]\nschema-version = "0.3"\n', "schema-version is '0.3'"),
        ("[_]\nschema-version = 0.2\n", "schema-version is '0.2'"),
        ('[[build.buildpacks]]\nid = "a/b"\n', "schema-version is missing"),
        ('[io.buildpacks]\nexclude = ["a"]\n', "schema-version is missing"),
    ],
)
def test_another_schema_is_refused_and_told_which_is_read(text: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        _parse(text, head="")
    assert caught.value.hint == 'write schema-version = "0.2"'


def test_bytes_that_are_no_text_are_refused_with_their_line() -> None:
    with pytest.raises(SourceError, match="not UTF-8 \\(at line 3\\)"):
        parse_project(HEAD.encode() + b"\xff")


def test_a_deep_file_is_refused() -> None:
    with pytest.raises(SourceError, match=r"nested too deeply|no TOML"):
        _parse("a = " + "[" * 100_000)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        parse_project(HEAD.encode() + content)
    except SourceError as error:
        assert error.message.startswith("project.toml")
