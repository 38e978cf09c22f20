"""What lint finds in a buildpack that was right before one thing was changed."""

from pathlib import Path

import pytest

from gitreceive.buildpacks.lint import Finding, lint
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


@pytest.mark.parametrize("name", ["python", "nodejs", "static", "procfile"])
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
    (pack / "bin/build").write_text("true\n")
    (pack / "bin/detect").unlink()
    assert [one.file for one in lint(pack)] == ["bin/detect", "bin/build"]
    assert "no such program" in str(lint(pack)[0])
    assert "says no interpreter" in str(lint(pack)[1])


def test_a_composite_buildpack_needs_no_programs(pack: Path) -> None:
    (pack / "bin/detect").unlink()
    text = 'api = "0.10"\n[buildpack]\nid = "a/all"\nversion = "1.0.0"\nname = "All"\n'
    (pack / "buildpack.toml").write_text(text + '[[order]]\n[[order.group]]\nid = "a/b"\n')
    assert lint(pack) == ()


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
