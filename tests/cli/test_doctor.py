"""The doctor where nothing is there: each part that fails is told once, with its fix."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gitreceive.engines.sql_ledger import SqlLedger
from tests.cli.conftest import Cli
from tests.cli.people import has_key


def _doctor(folder: Path, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """As a program of its own: it asks Docker, a registry and a cluster that are not there."""
    env = {
        "GITRECEIVE_DATA_DIR": str(folder / "server"),
        "GITRECEIVE_REGISTRY": "127.0.0.1:1",
        "DOCKER_HOST": f"unix://{folder}/docker.sock",
        "HOME": str(folder),
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join(sys.path),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-m", "gitreceive", "doctor", "--json"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    checks = json.loads(done.stdout)
    failures = [check["seen"] for check in checks if not check["ok"]]
    assert len(failures) == len(set(failures)), "a reason is told twice"
    assert len(checks) == len({check["name"] for check in checks}), "a thing is told twice"
    assert all(check["fix"] for check in checks if not check["ok"]), "a failure comes without its fix"
    return done.returncode, {check["name"]: check for check in checks}


def test_every_part_that_is_missing_is_told_with_its_fix(tmp_path: Path) -> None:
    code, found = _doctor(
        tmp_path, PATH=str(tmp_path), GITRECEIVE_TARGET="kubernetes", KUBECONFIG=str(tmp_path / "none")
    )
    assert code == 1
    failed = {name: check["seen"] + " / " + check["fix"] for name, check in found.items() if not check["ok"]}
    assert set(failed) == {"git", "docker", "registry answers", "cluster", "stack"}
    assert "apt-get install git" in failed["git"]
    assert "Docker does not answer" in failed["docker"]
    assert "127.0.0.1:1" in failed["registry answers"]
    assert "KUBECONFIG" in failed["cluster"]
    assert "gitreceive stack create bookworm" in failed["stack"]
    assert found["ledger"]["ok"]
    assert found["buildpacks"]["ok"]


def test_settings_that_no_build_could_use_are_told(tmp_path: Path) -> None:
    _, found = _doctor(tmp_path, GITRECEIVE_BUILD_BUILDPACKS=str(tmp_path), GITRECEIVE_DATABASE="nonsense")
    assert "order.toml" in found["buildpacks"]["seen"]
    assert "database" in found["ledger"]["seen"]
    assert found["git"]["ok"]


@pytest.mark.parametrize("words", [("doctor",), ("doctor", "--json")])
def test_over_ssh_it_answers_administrators_only(words: tuple[str, ...], cli: Cli, ledger: SqlLedger) -> None:
    has_key(ledger, "alice")
    cli(*words, acting="alice").failed(5, "only an administrator")
