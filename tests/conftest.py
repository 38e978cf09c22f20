"""What tests of the real thing share: the base images that scripts/test has made."""

import json
import os
from datetime import datetime

import pytest
from hypothesis import HealthCheck, settings

from gitreceive.model import ImageRef, Stack

_NAME = "bookworm"

# How long a machine takes to make an example up, or to try it, is no finding.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("any machine"), max_examples=10_000)
settings.load_profile("any machine")  # pytest --hypothesis-profile=long takes its place


@pytest.fixture(scope="session")
def stack() -> Stack:
    """From GITRECEIVE_TEST_STACK, which is what ``gitreceive stack list --json`` printed."""
    text = os.environ.get("GITRECEIVE_TEST_STACK")
    assert text, "GITRECEIVE_TEST_STACK is not set: run scripts/test"
    found = next(entry for entry in json.loads(text) if entry["name"] == _NAME)
    return Stack(
        name=_NAME,
        build=ImageRef.parse(found["build"]),
        run=ImageRef.parse(found["run"]),
        build_bytes=found["build_bytes"],
        run_bytes=found["run_bytes"],
        packages={kind: tuple(names) for kind, names in found["packages"].items()},
        created_at=datetime.fromisoformat(found["created_at"]),
    )
