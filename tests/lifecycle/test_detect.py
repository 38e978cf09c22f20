import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitreceive.lifecycle.detect import Detection, detect
from gitreceive.lifecycle.folder import load
from gitreceive.lifecycle.place import Variables
from gitreceive.lifecycle.source import SourceTarError, unpack
from tests.engines.builder.case import write_buildpack, write_order


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    (tmp_path / "packs").mkdir()
    (tmp_path / "app").mkdir()
    (tmp_path / "platform").mkdir()
    return tmp_path / "packs"


def _detect(packs: Path) -> Detection:
    folder = load(packs)
    env = {"PATH": os.environ["PATH"], "SETTING": "here"}
    return detect(folder, folder.order, packs.parent / "app", packs.parent / "platform", Variables(env))


def _group(packs: Path) -> list[str]:
    return [buildpack.id for buildpack in _detect(packs).group]


def test_the_first_group_that_fits_builds(packs: Path) -> None:
    write_buildpack(packs, "a", build="", detect="exit 100")
    write_buildpack(packs, "b", build="", detect="exit 0")
    write_order(packs, ("a", "b"), ("b",))
    assert _group(packs) == ["test/b"]


def test_an_optional_buildpack_may_fail_and_may_be_broken(packs: Path) -> None:
    write_buildpack(packs, "a", build="", detect="exit 0")
    write_buildpack(packs, "b", build="", detect="exit 100")
    write_buildpack(packs, "c", build="", detect="exit 1")
    write_order(packs, ("b?", "c?", "a"))
    assert _group(packs) == ["test/a"]


@pytest.mark.parametrize(("code", "verdict"), [(0, "pass"), (100, "fail"), (1, "error"), (101, "error")])
def test_an_exit_code_is_a_verdict(code: int, verdict: str, packs: Path) -> None:
    write_buildpack(packs, "a", build="", detect=f"echo because >&2; exit {code}")
    write_order(packs, ("a",))
    (seen,) = _detect(packs).verdicts
    assert (seen.verdict, seen.code, seen.reason) == (verdict, code, "because")


def test_detection_gets_arguments_and_environment_in_the_apps_folder(packs: Path) -> None:
    facts = 'echo "$PWD $1 $CNB_PLATFORM_DIR $SETTING"; [ "$2" = "$CNB_BUILD_PLAN_PATH" ] && basename $CNB_BUILDPACK_DIR'
    write_buildpack(packs, "a", build="", detect=facts)
    write_order(packs, ("a",))
    root = packs.parent
    (seen,) = _detect(packs).verdicts
    assert seen.output == f"{root}/app {root}/platform {root}/platform here\na\n"


def test_plans_decide_and_their_entries_are_kept(packs: Path) -> None:
    write_buildpack(packs, "a", build="", detect="echo '[[provides]]\nname = \"x\"' > $2")
    write_buildpack(packs, "b", build="", detect="echo '[[requires]]\nname = \"x\"' > $2")
    write_order(packs, ("a",), ("a", "b"))
    detection = _detect(packs)
    assert [entry.name for entry in detection.entries] == ["x"]
    assert [buildpack.id for buildpack in detection.group] == ["test/a", "test/b"]


def test_each_group_that_does_not_fit_says_why(packs: Path) -> None:
    write_buildpack(packs, "a", build="", detect="echo '[[provides]]\nname = \"x\"' > $2")
    write_buildpack(packs, "b", build="", detect="exit 100")
    write_order(packs, ("a",), ("b",))
    assert _detect(packs).reasons == (
        "test/a: test/a 1.0 provides 'x', which no buildpack after it requires",
        "test/b: test/b 1.0 does not take it",
    )


def test_a_plan_that_cannot_be_read_is_a_broken_buildpack(packs: Path) -> None:
    write_buildpack(packs, "a", build="", detect="echo 'provides = 1' > $2")
    write_order(packs, ("a",))
    (seen,) = _detect(packs).verdicts
    assert seen.verdict == "error"
    assert "its build plan cannot be used" in seen.reason


def test_detection_runs_alone_as_a_program(packs: Path) -> None:
    write_buildpack(packs, "a", build="", detect="[ -f index.html ] || exit 100; echo index.html")
    write_order(packs, ("a",))
    app = packs.parent / "app"
    command = [sys.executable, "-m", "gitreceive.lifecycle", "detect", "--json"]
    command += ["--app", str(app), "--buildpacks", str(packs)]
    none = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (none.returncode, json.loads(none.stdout)["group"]) == (20, [])
    (app / "index.html").touch()
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout)["group"] == [{"id": "test/a", "version": "1.0"}]


def test_a_source_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    import io
    import tarfile

    from gitreceive.lifecycle.frames import StreamFile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../out"))
    with pytest.raises(SourceTarError, match="leads out"):
        unpack(StreamFile(iter([buffer.getvalue()])), tmp_path)
