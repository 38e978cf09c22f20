"""The files of ``docs/monitoring``, without Prometheus and Grafana."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.parser import text_string_to_metric_families

from gitreceive.background.readiness import Readiness
from gitreceive.background.readings import readings
from gitreceive.config import Settings
from gitreceive.engines.prometheus_metrics import PrometheusMetrics
from tests.monitoring_files import FOLDER, alerts, dashboard, dashboard_queries
from tests.platform import World

_ELSEWHERE = {
    *("gitreceive_ledger_bytes", "gitreceive_sessions"),
    *("gitreceive_connections", "gitreceive_connections_limit"),
}  # not of fakes


def test_grafana_knows_every_field_of_the_dashboard() -> None:
    """Its own models read it and write it, and nothing of it is lost or another by then."""
    register_default_plugins()
    document = dashboard()
    again = json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))
    assert _holds(again, document)
    document["panels"][0]["colour"] = "red"
    assert not _holds(json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder)), document)


def _holds(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            (key in found and _holds(found[key], value)) for key, value in wanted.items() if value is not None
        )
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_holds, found, wanted))
    return bool(found == wanted)


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_all_that_is_asked_for_is_told(tmp_path: Path) -> None:
    world = World()
    metrics = PrometheusMetrics(by_app=False)
    settings = Settings(data_dir=tmp_path)
    metrics.watch(world.ledger, readings(settings, world.ledger, Readiness({})))
    families = text_string_to_metric_families(metrics.exposition()[0].decode())
    told = {family.name for family in families} | _ELSEWHERE
    asked = " ".join([query for _, query in dashboard_queries()] + [rule["expr"] for rule in alerts()])
    names = set(re.findall(r"\b(?:gitreceive|process)_[a-z_]+", asked))
    assert len(names) > 20
    assert {name for name in names if re.sub(r"_(total|bucket)$", "", name) not in told} == set()


def test_each_alert_is_tried_by_promtool_and_explained_to_operators() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    tested = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"][1]["promql_expr_test"][0]
    fired = {re.findall(r'alertname="(\w+)"', sample["labels"])[0] for sample in tested["exp_samples"]}
    assert fired == set(names)
    explained = (FOLDER.parent / "operate.md").read_text()
    for name in names:
        assert f"`{name}`" in explained, name


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_bad_it_is_and_what_it_is(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"].endswith(".")
