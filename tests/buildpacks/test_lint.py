"""What lint finds in a buildpack that was right before one thing was changed."""

from pathlib import Path

import pytest

from gitreceive.buildpacks.finding import Finding
from gitreceive.buildpacks.lint import lint
from gitreceive.buildpacks.skeleton import skeleton

BUNDLED = Path(__file__).parents[2] / "buildpacks"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    for draft in skeleton("acme/lua"):
        path = tmp_path / "pack" / draft.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(draft.text)
        path.chmod(0o755 if draft.executable else 0o644)
    return tmp_path / "pack"


def _change(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def _only(found: tuple[Finding, ...]) -> str:
    assert len(found) == 1, [str(one) for one in found]
    return str(found[0])


@pytest.mark.parametrize("name", sorted(path.parent.name for path in BUNDLED.glob("*/buildpack.toml")))
def test_nothing_is_wrong_with_the_bundled_buildpacks(name: str) -> None:
    assert lint(BUNDLED / name) == ()


def test_a_folder_without_a_description_is_no_buildpack(tmp_path: Path) -> None:
    assert _only(lint(tmp_path)) == "buildpack.toml: error: it cannot be read: No such file or directory"


def test_malformed_toml_is_named_with_its_line(pack: Path) -> None:
    _change(pack / "buildpack.toml", 'version = "0.1.0"', "version = 0.1.0")
    assert _only(lint(pack)).startswith("buildpack.toml:5: error: it cannot be read: ")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('api = "0.10"', 'api = "0.99"', "buildpack.toml: error: Buildpack API '0.99' is not known here"),
        (
            'version = "0.1.0"',
            'version = "one"',
            "buildpack.toml:5: error: version 'one' is not of the form X.Y.Z",
        ),
        ('"acme/lua"', '"config"', "buildpack.toml: error: 'config' cannot be a buildpack's id"),
        ('name = "lua"', "", "buildpack.toml: warning: [buildpack] has no name for people"),
        (
            "detects =",
            "detect =",
            "'detect' is no key of [metadata.gitreceive], so it does nothing; is 'detects' meant?",
        ),
        ("inputs = [", "inputs = 3 #", "metadata.gitreceive.inputs must be an array of globs"),
        ("(\\S+): command", "(\\S+: command", "is no regular expression: missing ), unterminated subpattern"),
        ('hint = "{1}', 'hint = "{2}', "names a group that match"),
        ('os = "linux"', 'os = "windows"', "buildpack.toml:10: warning: no [[targets]] is for linux"),
        ("[buildpack]", "[[buildpack]]", "buildpack must be a table"),
        ("[[metadata.gitreceive.hints]]", "[metadata.gitreceive.hints]", "hints must be an array of tables"),
    ],
)
def test_a_wrong_description_says_what_and_where(before: str, after: str, said: str, pack: Path) -> None:
    _change(pack / "buildpack.toml", before, after)
    assert any(said in str(one) for one in lint(pack)), [str(one) for one in lint(pack)]


def test_programs_must_be_there_executable_and_name_an_interpreter(pack: Path) -> None:
    (pack / "bin/detect").chmod(0o644)
    (pack / "bin/build").write_text("#!/bin/bash\r\ntrue\r\n")
    assert [str(one) for one in lint(pack)] == [
        "bin/detect: error: it is not executable: chmod +x bin/detect",
        "bin/build:1: error: its lines end with CR LF, so its interpreter is not found: save it with LF alone",
    ]
    (pack / "bin/build").write_text("#!/usr/bin/env bash -e\ntrue\n")
    assert "say #!/usr/bin/env -S bash -e" in str(lint(pack)[1])
    (pack / "bin/build").write_text("#!/usr/bin/env -S bash -e\ntrue\n")
    assert len(lint(pack)) == 1
    (pack / "bin/build").write_text("true\n")
    (pack / "bin/detect").unlink()
    assert [one.file for one in lint(pack)] == ["bin/detect", "bin/build"]
    assert "no such program" in str(lint(pack)[0])
    assert "says no interpreter" in str(lint(pack)[1])


_COMPOSITE = """api = "0.10"
[buildpack]
id = "a/all"
version = "1.0.0"
name = "All"
[[order]]
[[order.group]]
id = "a/b"
version = "1.0.0"
"""


def test_a_composite_buildpack_needs_no_programs(tmp_path: Path) -> None:
    (tmp_path / "buildpack.toml").write_text(_COMPOSITE)
    assert lint(tmp_path) == ()


def test_what_does_nothing_or_cannot_be_in_a_composite_is_told(pack: Path) -> None:
    more = '[[order.group]]\nid = "a/c"\nopt = true\n[[order]]\n[[order.group]]\nid = "a/all"\n'
    ours = '[[stacks]]\nid = "*"\n[metadata.gitreceive]\ninputs = ["**"]\n'
    (pack / "buildpack.toml").write_text(_COMPOSITE + more + ours)
    assert [str(one) for one in lint(pack)] == [
        "buildpack.toml:16: error: [[stacks]] cannot be beside [[order]]",
        "buildpack.toml: error: buildpack a/all contains itself",
        "buildpack.toml:12: warning: 'opt' is no key of [order.group], so it does nothing",
        "bin/detect: warning: it is never run: the buildpack stands for those of its [[order]]",
        "bin/build: warning: it is never run: the buildpack stands for those of its [[order]]",
        "buildpack.toml: warning: a/c in [[order.group]] has no version",
        "buildpack.toml: warning: metadata.gitreceive.inputs does nothing here: each buildpack of [[order]] says its own",
    ]


def test_every_value_of_the_wrong_type_is_told(pack: Path) -> None:
    _change(pack / "buildpack.toml", 'os = "linux"', 'os = ["linux"]\narchs = "amd64"')
    _change(pack / "buildpack.toml", 'name = "lua"', 'name = 3\nclear-env = "yes"\nkeywords = "lua"')
    assert [str(one) for one in lint(pack)] == [
        "buildpack.toml:6: error: buildpack.name must be a string",
        "buildpack.toml:7: error: buildpack.clear-env must be true or false",
        "buildpack.toml:8: error: buildpack.keywords must be an array of strings",
        "buildpack.toml:12: error: targets.os must be a string",
        "buildpack.toml:13: warning: 'archs' is no key of [targets], so it does nothing; is 'arch' meant?",
    ]


def test_a_target_by_stacks_alone_is_told_to_count_no_more(pack: Path) -> None:
    _change(pack / "buildpack.toml", '[[targets]]\nos = "linux"', '[[stacks]]\nid = "*"')
    assert "[[stacks]] counts no more since Buildpack API 0.10" in _only(lint(pack))
    _change(pack / "buildpack.toml", 'api = "0.10"', 'api = "0.9"')
    assert lint(pack) == ()


def test_a_glob_that_leads_out_of_the_app_is_told(pack: Path) -> None:
    _change(pack / "buildpack.toml", 'inputs = ["', 'inputs = ["../x", "')
    assert "metadata.gitreceive.inputs: '../x' leads out of the app's folder" in _only(lint(pack))


def test_a_classic_buildpack_is_known_by_its_compile(pack: Path) -> None:
    (pack / "bin/build").rename(pack / "bin/compile")
    (pack / "buildpack.toml").write_text('[buildpack]\nname = "Lua"\n[publish.Ignore]\nfiles = ["etc/"]\n')
    (pack / "bin/release").write_text("#!/bin/sh\necho {}\n")
    assert _only(lint(pack)) == "bin/release: error: it is not executable: chmod +x bin/release"
    (pack / "bin/release").chmod(0o755)
    assert lint(pack) == ()
    (pack / "bin/detect").unlink()
    assert _only(lint(pack)) == (
        "bin/detect: error: there is no such program: such a buildpack has bin/detect and bin/compile"
    )


def test_files_that_a_shell_program_looks_for_are_to_be_declared(pack: Path) -> None:
    _change(
        pack / "bin/detect",
        "if [[ -f main.lua ]]",
        "if [[ -f main.lua || -e ./init.lua ]] || [ ! -d 'rocks' ]",
    )
    _change(
        pack / "bin/build", "wanted=1", "test -f main.lua && test -f lock.json; [[ -f $PWD/x ]]\nwanted=1"
    )
    assert [str(one) for one in lint(pack)] == [
        "bin/detect:5: warning: it looks for init.lua, which metadata.gitreceive.detects does not name",
        "bin/detect:5: warning: it looks for rocks, which metadata.gitreceive.detects does not name",
        "bin/build:6: warning: it looks for lock.json, which metadata.gitreceive.inputs does not name",
    ]


def test_a_link_that_leads_out_of_the_buildpack_is_an_error(pack: Path) -> None:
    (pack / "inside").symlink_to("bin/build")
    (pack / "lib").symlink_to("../elsewhere")
    assert _only(lint(pack)) == "lib: error: the link leads out of the buildpack, to ../elsewhere"
