"""A Prometheus of the tests' own."""

import json
import os
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import fetch, free_ports, wait_until

_CONFIG = """
global: {{scrape_interval: 2s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: gitreceive
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def program(name: str) -> str:
    """``prometheus`` or ``promtool``."""
    folder = os.environ.get("GITRECEIVE_TEST_PROMETHEUS_PROGRAMS")
    if not folder:
        pytest.skip("no Prometheus: scripts/test brings one")
    return str(Path(folder, name))


@dataclass(frozen=True)
class Prometheus:
    url: str

    def ask(self, path: str, **query: str) -> Any:
        """The ``data`` of its answer, which must be a success."""
        text = fetch(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}")
        answer = json.loads(text)
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found


def _is_ready(prometheus: Prometheus) -> bool:
    """It answers 503 while it starts."""
    try:
        return bool(fetch(f"{prometheus.url}/-/ready", status=200))
    except AssertionError:
        return False


@contextmanager
def scraping(port: int, rules: Path, folder: Path) -> Iterator[Prometheus]:
    """One that asks what listens there every two seconds, and follows the rules. It has done so twice already."""
    config = folder / "prometheus.yaml"
    config.write_text(_CONFIG.format(rules=rules, port=port))
    (own,) = free_ports(1)
    command = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        prometheus = Prometheus(f"http://127.0.0.1:{own}")
        wait_until(lambda: _is_ready(prometheus), "Prometheus is ready")
        scraped = 'sum_over_time(up{job="gitreceive"}[5m]) > 1'
        wait_until(lambda: prometheus.query(scraped), "the server has been asked twice")
        yield prometheus
    finally:
        process.terminate()
        process.wait(timeout=30)
