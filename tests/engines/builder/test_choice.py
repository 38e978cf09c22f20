"""Groups that a push, an app's list, a project.toml or a .buildpacks choose, in real build containers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from gitreceive.errors import DetectError, SourceError
from gitreceive.model import Stack, TreeEntry
from gitreceive.ports import BuildRequest
from tests.engines.builder.case import WEB, HeardLog, Make, fails, request, run, write_buildpack, write_order

pytestmark = pytest.mark.docker

HEAD = '[_]\nschema-version = "0.2"\n'
PACK = b'api = "0.10"\n[buildpack]\nid = "me/inner"\nversion = "1"\n'
SAYS = "echo one says $GREETING"


@pytest.fixture(autouse=True)
def order(packs: Path) -> None:
    write_buildpack(packs, "one", build=f"{SAYS}\n{WEB}")
    write_buildpack(packs, "two", build="echo two says hello")
    write_buildpack(packs, "never", build="", detect="echo no never.txt; exit 100")
    write_order(packs, ("one",), ("never",))


def test_a_script_of_project_toml_runs_after_what_it_is_named_after(make: Make, stack: Stack) -> None:
    project = f"""{HEAD}
[[io.buildpacks.group]]
id = "test/one"
[[io.buildpacks.group]]
id = "me/assets"
[io.buildpacks.group.script]
api = "0.10"
shell = "/bin/bash"
inline = '''
echo "built by $CNB_BUILDPACK_DIR"
[[ -f hello ]] && echo made > made.txt
'''
[[io.buildpacks.build.env]]
name = "GREETING"
value = "good morning"
"""
    files = {"project.toml": project.encode(), "hello": b"hello"}
    build, log, contents = run(make(), request(files, stack))
    assert build.buildpacks == ("test/one@1.0", "me/assets@0.0.0")
    assert "buildpacks as project.toml says: test/one, me/assets@0.0.0" in log.text
    assert "one says good morning" in log.text
    assert "built by /cnb/buildpacks/me_assets/0.0.0" in log.text
    assert contents["app"]["workspace/made.txt"] == b"made\n"


def test_the_operators_variables_win_over_project_tomls(make: Make, stack: Stack) -> None:
    project = HEAD + '[[io.buildpacks.build.env]]\nname = "GREETING"\nvalue = "mine"\n'
    _, log, _ = run(
        make(env={"GREETING": "the operator's"}), request({"project.toml": project.encode()}, stack)
    )
    assert "one says the operator's" in log.text


def test_a_buildpack_in_the_source_builds_also_where_it_is_left_out_of_it(
    make: Make, stack: Stack, client: docker.APIClient
) -> None:
    files = {
        "ci/inner/buildpack.toml": PACK,
        "ci/inner/bin/detect": b"#!/bin/sh\ntest ! -d ci\n",
        "ci/inner/bin/build": b"#!/bin/sh\nls; echo inner builds\n",
        "docs/a.md": b"a",
        "docs/deep/b.md": b"b",
        "hello": b"hello",
        "project.toml": f"{HEAD}[io.buildpacks]\nexclude = ['/ci/', 'docs/']\n".encode(),
        ".buildpacks": b"./ci/inner\ntest/one\n",
    }
    builder = make()
    asked = _with_modes(request(files, stack))
    build, log, contents = run(builder, asked)
    assert build.buildpacks == ("me/inner@1", "test/one@1.0")
    assert "inner builds" in log.text
    assert sorted(contents["app"]) == ["workspace/.buildpacks", "workspace/hello", "workspace/project.toml"]
    images = client.images(filters={"label": f"gitreceive.builder={builder.owner}"})
    assert [image["Labels"]["gitreceive.builder.extra"] for image in images] == ["yes"]


def _with_modes(asked: BuildRequest) -> BuildRequest:
    """Programs are executable, as git has them."""

    def tree() -> Iterator[TreeEntry]:
        for entry in asked.tree():
            yield entry._replace(mode=0o100755) if b"/bin/" in entry.path else entry

    return replace(asked, tree=tree)


def test_only_what_is_included_reaches_the_build(make: Make, stack: Stack) -> None:
    project = f"{HEAD}[io.buildpacks]\ninclude = ['hello', 'src/*.py']\n"
    files = {
        "project.toml": project.encode(),
        "hello": b"a",
        "src/a.py": b"",
        "src/b.txt": b"",
        "x/hello": b"b",
    }
    _, _, contents = run(make(), request(files, stack))
    assert sorted(contents["app"]) == ["workspace/hello", "workspace/src/a.py", "workspace/x/hello"]


def test_every_buildpack_of_a_chosen_group_has_to_take_the_source(make: Make, stack: Stack) -> None:
    log = HeardLog()
    with pytest.raises(
        DetectError, match=r"the app's list: test/never 1\.0 does not take it: no never\.txt"
    ) as caught:
        fails(make(), request({"hello": b""}, stack, of_app=("one", "test/never@1.0", "two")), log)
    assert "buildpacks list APP" in caught.value.hint
    assert "test/two 1.0 takes it" in log.text


def test_the_push_says_more_than_the_apps_list(make: Make, stack: Stack) -> None:
    asked = request({"hello": b""}, stack, of_app=("never",), options=("buildpack=two",))
    build, log, _ = run(make(), asked)
    assert build.buildpacks == ("test/two@1.0",)
    assert "buildpacks as -o buildpack=two says, in place of the app's list: two" in log.text


def test_pre_and_post_stand_around_what_is_detected(make: Make, stack: Stack) -> None:
    project = f'{HEAD}[[io.buildpacks.pre.group]]\nid = "test/two"\n'
    build, log, _ = run(make(), request({"project.toml": project.encode()}, stack))
    assert build.buildpacks == ("test/two@1.0", "test/one@1.0")
    assert "project.toml puts before what is detected: test/two" in log.text


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({".buildpacks": b"./ci\n"}, r"\.buildpacks: the source has no folder \./ci"),
        ({".buildpacks": b"./ci\n", "ci/a": b""}, r"\./ci is no buildpack"),
        ({".buildpacks": b"far/away\n"}, "far/away is not a buildpack here"),
        ({".buildpacks": b"docker://r/a@sha256:" + b"a" * 64}, "nothing is fetched here"),
    ],
)
def test_what_cannot_be_had_is_told_before_any_container_starts(
    make: Make, stack: Stack, client: docker.APIClient, files: dict[str, bytes], why: str
) -> None:
    builder = make()
    with pytest.raises((DetectError, SourceError), match=why):
        fails(builder, request(files, stack))
    assert not client.images(filters={"label": f"gitreceive.builder={builder.owner}"})


def test_links_and_too_much_are_no_buildpack_of_a_source(make: Make, stack: Stack) -> None:
    asked = request({".buildpacks": b"./ci\n", "ci/a": b"/etc/shadow"}, stack)
    linked = replace(asked, tree=lambda: iter([TreeEntry(b"ci/a", 0o120000, "0")]))
    with pytest.raises(SourceError, match=r"buildpack \./ci: ci/a is no plain file"):
        fails(make(), linked)
    many = replace(asked, tree=lambda: (TreeEntry(b"ci/%d" % n, 0o100644, "0") for n in range(2001)))
    with pytest.raises(SourceError, match="has 2001 files"):
        fails(make(), many)
    escaping = replace(asked, tree=lambda: iter([TreeEntry(b"ci/../../x", 0o100644, "0")]))
    with pytest.raises(SourceError, match="is no name of a file"):
        fails(make(), escaping)
