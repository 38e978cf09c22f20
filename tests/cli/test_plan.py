"""What a push of each sample would build: offline, and as the samples themselves say."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitreceive.buildpacks.dockerfile import exposed_port
from tests.cli.conftest import Cli
from tests.engines.builder.case import write_buildpack, write_order

SAMPLES = Path(__file__).resolve().parent.parent / "apps"

_GROUPS = {
    "broken-build": ("python",),
    "crashing": ("python",),
    "django": ("python",),
    "dockerfile": ("dockerfile",),
    "express": ("nodejs",),
    "flask": ("python", "procfile"),
    "go": ("go",),
    "heroku": ("python", "procfile"),
    "jar": ("java",),
    "maven": ("java",),
    "multi": ("nodejs", "python"),
    "php": ("php",),
    "pnpm": ("nodejs",),
    "poetry": ("python",),
    "procfile-worker": ("python", "procfile"),
    "ruby": ("ruby",),
    "spa": ("nodejs", "static"),
    "static": ("static",),
    "system-packages": ("python", "procfile"),
    "workspaces": ("nodejs",),
    "yarn": ("nodejs",),
}
_PROCESSES = {
    "heroku": ["web", "worker", "release"],
    "procfile-worker": ["web", "worker", "release"],
}


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
        "gitreceive/python 0.1.0 builds it: .python-version",
        "release: python prepare_release.py (runs once",
        "no package.json",
    ):
        assert text in said.err


def test_an_undetected_folder_is_explained_as_in_a_push(cli: Cli) -> None:
    said = cli("plan", str(SAMPLES / "undetected")).failed(20, "no buildpack matched", "requirments.txt")
    for text in ("gitreceive/nodejs", "files at the root", "git mv requirments.txt requirements.txt"):
        assert text in said.err


def test_who_would_take_it_too_is_told_with_what_speaks_against_it(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def writes(text: str) -> str:
        return f"echo {text!r}; echo '{text}' > $2"

    packs = tmp_path / "packs"
    packs.mkdir()
    write_buildpack(packs, "rails", build="", detect=writes('requires = [{ name = "ruby" }]'))
    write_buildpack(packs, "bad", build="", detect="echo oops; exit 3")
    write_buildpack(packs, "node", build="", detect=writes('provides = [{ name = "node" }]'))
    write_buildpack(packs, "lua", build="", detect="echo main.lua")
    write_buildpack(packs, "perl", build="", detect="echo app.pl")
    write_buildpack(packs, "none", build="", detect="echo no none; exit 100")
    write_order(packs, ("rails", "lua"), ("bad",), ("node?", "lua", "none?"), ("perl",), ("node",))
    monkeypatch.setenv("GITRECEIVE_BUILD_BUILDPACKS", str(packs))
    folder = tmp_path / "shop"
    folder.mkdir()
    why = cli("plan", str(folder), "--json").ok().json()["why"]
    assert why[0] == "test/lua 1.0 builds it: main.lua"
    assert {line.split()[0]: line.partition(" 1.0 ")[2] for line in why[1:]} == {
        "test/rails": 'would take it: requires = [{ name = "ruby" }]; its group does not fit: '
        "test/rails 1.0 requires 'ruby', which no buildpack before it provides",
        "test/bad": "is broken (bin/detect ended with exit code 3): oops",
        "test/node": 'would take it: provides = [{ name = "node" }]; it is optional, and its build plan does not fit the others\'',
        "test/none": "does not take it: no none",
        "test/perl": "would take it: app.pl; test/lua comes first in the order, -o buildpack=test/perl chooses it",
    }
    cli("plan", str(folder), "--buildpack", "perl").ok()
    refused = cli("plan", str(folder), "--buildpack", "rails")
    refused.failed(
        20,
        "-o buildpack=rails: test/rails 1.0 requires 'ruby', which no",
        "add what it looks for, or push without it",
    )


def test_a_buildpack_by_option_is_the_one_that_must_take_it(cli: Cli) -> None:
    folder = str(SAMPLES / "dockerfile")
    cli("plan", folder, "--buildpack", "python").failed(20, "python 0.1.0 does not take it: no req")
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


def test_what_app_json_asks_for_is_planned(cli: Cli) -> None:
    said = cli("plan", str(SAMPLES / "heroku"), "--target", "kubernetes", "--app", "shop", "--json").ok()
    plan = said.json()
    assert plan["app_json"]["env"][0] == {"name": "SECRET_KEY", "from": "a new secret", "required": True}
    replicas = {
        one["metadata"]["name"]: one["spec"].get("replicas", 1)
        for one in plan["manifests"]
        if one["kind"] == "Deployment"
    }
    assert replicas == {"web": 1, "worker": 2}
    talk = cli("plan", str(SAMPLES / "heroku"), "--app", "shop").ok().err
    for text in ("app.json: stack changes nothing", "SECRET_KEY: a new secret", "worker: 2", "GET /healthz"):
        assert text in talk


def test_an_app_json_that_is_wrong_is_told_with_its_place(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("")
    (tmp_path / "app.json").write_text('{\n "cron": {}}')
    cli("plan", str(tmp_path), "--app", "shop").failed(10, "app.json, line 2, column 10: cron: is an object")
