"""Every sample app is pushed to both targets and answers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.world import SAMPLES, Clone, fetch

pytestmark = pytest.mark.e2e


def _samples() -> list[Path]:
    return sorted(
        path.parent for path in SAMPLES.glob("*/expect.json") if "path" in json.loads(path.read_text())
    )


@pytest.mark.parametrize("sample", _samples(), ids=lambda path: path.name)
def test_a_pushed_sample_goes_live_and_answers(sample: Path, new_app: Callable[[str], Clone]) -> None:
    expected = json.loads((sample / "expect.json").read_text())
    clone = new_app(sample.name)

    push = clone.push().ok()

    push.says(
        "remote: ----->",
        "Publishing",
        "sha256:",
        "Rolling out v1",
        f"{clone.app} v1 is live after",
        "http://",
    )
    assert clone.remote_head() == clone.head
    url = clone.web()
    assert expected["contains"] in fetch(url + expected["path"], status=expected.get("status", 200))
    for path, text in expected.get("also", {}).items():
        assert text in fetch(url + path)
    running = clone.owner.ssh("ps", "--app", clone.app, "--json").ok().json()
    assert sorted({p["process"] for p in running}) == sorted(expected["processes"])
    assert all(p["ready"] and p["release"] == 1 for p in running)
