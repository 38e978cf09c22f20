from pathlib import Path

import pytest

from tests.bundled.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    if not Path("/usr/bin/python3").exists():
        pytest.skip("the buildpacks' programs need /usr/bin/python3")
    for name in ("app", "platform", "wheels"):
        (tmp_path / name).mkdir()
    (tmp_path / "plan").write_text("")
    return Bench(tmp_path)
