"""What a push of each sample would build: offline, and as the samples themselves say."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitreceive.buildpacks.dockerfile import exposed_port
from tests.cli.conftest import Cli

SAMPLES = Path(__file__).resolve().parent.parent / "apps"

_GROUPS = {
    "broken-build": ("python",),
    "crashing": ("python",),
    "django": ("python",),
    "dockerfile": ("dockerfile",),
    "express": ("nodejs",),
    "flask": ("python", "procfile"),
    "maven": ("java",),
    "php": ("php",),
    "pnpm": ("nodejs",),
    "poetry": ("python",),
    "procfile-worker": ("python", "procfile"),
    "ruby": ("ruby",),
    "static": ("static",),
    "workspaces": ("nodejs",),
    "yarn": ("nodejs",),
}
_PROCESSES = {"procfile-worker": ["web", "worker", "release"]}


def _identities(plan: dict[str, Any]) -> tuple[str, ...]:
    return tuple(one.partition("@")[0].removeprefix("gitreceive/") for one in plan["buildpacks"])


@pytest.mark.parametrize("target", ["docker", "kubernetes"])
@pytest.mark.parametrize("sample", sorted(_GROUPS))
def test_a_samples_group_and_process_types_are_planned(sample: str, target: str, cli: Cli) -> None:
    plan = cli("plan", str(SAMPLES / sample), "--json", "--target", target, "--app", "shop").ok().json()
    assert _identities(plan) == _GROUPS[sample]
    assert list(plan["processes"]) == _PROCESSES.get(sample, ["web"])
    assert plan["manifests"]
    assert not cli.folder.exists()
    expected = json.loads((SAMPLES / sample / "expect.json").read_text())
    assert list(plan["processes"]) == expected.get("processes", ["web"])


def test_every_sample_that_can_be_pushed_is_planned_here() -> None:
    prepared = {"fastapi-uv", "pipenv"}  # have no lock before they are prepared
    undetected = {"undetected"}
    assert {path.parent.name for path in SAMPLES.glob("*/expect.json")} == set(
        _GROUPS
    ) | prepared | undetected


def test_what_would_be_applied_is_on_stdout_and_all_else_is_talk(cli: Cli) -> None:
    said = cli("plan", str(SAMPLES / "procfile-worker"), "--target", "kubernetes", "--app", "shop").ok()
    objects = list(yaml.safe_load_all(said.out))
    assert {(o["kind"], o["metadata"]["name"]) for o in objects} >= {
        ("Namespace", "app-shop"),
        ("Service", "web"),
    }
    deployments = [o["metadata"]["name"] for o in objects if o["kind"] == "Deployment"]
    assert deployments == ["web", "worker"]
    for text in (
        "gitreceive/python",
        "takes it",
        "release: python prepare_release.py (runs once",
        "no package.json",
    ):
        assert text in said.err


def test_an_undetected_folder_is_explained_as_in_a_push(cli: Cli) -> None:
    said = cli("plan", str(SAMPLES / "undetected")).failed(20, "no buildpack matched", "requirments.txt")
    for text in ("gitreceive/nodejs", "files at the root", "git mv requirments.txt requirements.txt"):
        assert text in said.err


def test_a_buildpack_by_option_is_the_one_that_must_take_it(cli: Cli) -> None:
    folder = str(SAMPLES / "dockerfile")
    cli("plan", folder, "--buildpack", "python").failed(20, "no buildpack matched")
    cli("plan", folder, "--buildpack", "cobol").failed(20, "cobol", "gitreceive/python")
    cli("plan", folder, "--buildpack", "a b;c").failed(2, "names no buildpack")


def test_a_broken_procfile_is_said_with_its_line(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(SAMPLES / "flask", folder)
    (folder / "Procfile").write_text("web: gunicorn app:app\nworker python work.py\n")
    cli("plan", str(folder)).failed(30, "Procfile line 2", "NAME: COMMAND")


def test_the_apps_name_is_the_folders_where_it_can_be_one(cli: Cli, tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "static", tmp_path / "My Shop")
    cli("plan", str(tmp_path / "My Shop")).failed(2, "no app is named", "--app NAME")
    assert cli("plan", str(SAMPLES / "static"), "--json").ok().json()["app"] == "static"


def test_buildpacks_may_be_in_a_folder_named_relatively(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(SAMPLES.parent.parent / "buildpacks", tmp_path / "packs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITRECEIVE_BUILD_BUILDPACKS", "packs")
    assert _identities(cli("plan", str(SAMPLES / "static"), "--json").ok().json()) == ("static",)


@pytest.mark.parametrize(
    ("dockerfile", "port"),
    [
        ("FROM a\nEXPOSE 3000\n", 3000),
        ("from a\nexpose 3000/tcp\n", 3000),
        ("FROM a\nEXPOSE 80\nFROM b\n", None),
        ("FROM a\nEXPOSE 80\nFROM b\nEXPOSE 8080\nCMD x\n", 8080),
        ("FROM a\nEXPOSE 80\nEXPOSE 81\n", None),
        ("FROM a\nEXPOSE 80 81\n", None),
        ("FROM a\nEXPOSE $PORT\n", None),
        ("FROM a\nEXPOSE 53/udp\n", None),
        ("", None),
    ],
)
def test_a_dockerfiles_port_is_the_one_that_its_last_stage_exposes(dockerfile: str, port: int | None) -> None:
    assert exposed_port(dockerfile) == port
