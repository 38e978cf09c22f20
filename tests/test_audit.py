"""What the audit of gitreceive's own dependencies makes of what it is told."""

import importlib.machinery
import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FINE = {"name": "click", "version": "8.1.7", "vulns": []}
HARMFUL = {
    "name": "jinja2",
    "version": "3.1.2",
    "vulns": [{"id": "GHSA-1", "fix_versions": ["3.1.3"]}, {"id": "GHSA-2", "fix_versions": []}],
}
UNKNOWN = {"name": "idna", "skip_reason": "not found"}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("audit", str(ROOT / "scripts" / "audit"))
    spec = importlib.util.spec_from_loader("audit", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("entries", "failed", "said"),
    [
        ([FINE], False, "1 of 1 packages audited"),
        ([FINE, HARMFUL], True, "jinja2 3.1.2: GHSA-1, mended in 3.1.3"),
        ([HARMFUL], True, "GHSA-2, mended in no version yet"),
        ([FINE, UNKNOWN], False, "NOT AUDITED: the service knows nothing of 1 of 2 packages"),
        ([HARMFUL, UNKNOWN], True, "NOT AUDITED"),
        ([], False, "NOT AUDITED"),
    ],
    ids=["fine", "harmful", "unmended", "unknown", "harmful-and-unknown", "nothing"],
)
def test_what_is_vulnerable_fails_and_what_nobody_knows_is_said_loudly(
    audit: ModuleType, entries: list[dict[str, Any]], failed: bool, said: str
) -> None:
    lines, outcome = audit.judged({"dependencies": entries}, "")
    assert outcome is failed
    assert said in "\n".join(lines)


def test_a_service_that_is_out_of_reach_is_said_loudly(audit: ModuleType) -> None:
    assert audit.judged(None, "no route") == (["!!!!! NOT AUDITED: no route"], False)


def test_the_locks_name_files_by_hash_and_no_index() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        pins = [line for line in text.splitlines() if "==" in line and not line.lstrip().startswith("#")]
        assert all(line.endswith("\\") for line in pins)
        assert len(pins) > 40
        assert "://" not in text
        assert "--index" not in text


def test_the_locks_have_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [one for extra in ("dev", "postgresql") for one in project["optional-dependencies"][extra]]
    asked = {
        "requirements.lock": project["dependencies"],
        "requirements-dev.lock": [*project["dependencies"], *extras],
    }
    for name, wanted in asked.items():
        text = (ROOT / name).read_text()
        pins = {
            match[1]: match[2]
            for match in re.finditer(r"^([a-z0-9._-]+)(?:\[[^]]*])?==([^ \\]+)", text, re.MULTILINE)
        }
        for requirement in map(Requirement, wanted):
            pinned = pins.get(canonicalize_name(requirement.name))
            assert pinned, f"{requirement.name} is not in {name}: scripts/lock"
            assert requirement.specifier.contains(pinned, prereleases=True), (
                f"{requirement} in {name}: scripts/lock"
            )
