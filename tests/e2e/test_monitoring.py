"""A real Prometheus asks the running server, with the alerts and the queries of ``docs/monitoring``."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.prometheus import Prometheus, program, scraping
from tests.e2e.world import Server, fetch, run, wait_until
from tests.monitoring_files import FOLDER, alerts, dashboard_queries

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

# a server without HTTPS, and without apps that brought any
_MAY_BE_EMPTY = {"Certificates run out in"}


@pytest.fixture
def prometheus(docker_server: Server, tmp_path: Path, app_name: str) -> Iterator[Prometheus]:
    """Of a server to which has been pushed."""
    clone = docker_server.developer("bob").creates(app_name, "static")
    clone.push().ok()
    clone.git("push", "deploy", "main:topic").failed()
    with scraping(docker_server.metrics_port, FOLDER / "alerts.yaml", tmp_path) as found:
        yield found
    docker_server.let_go(app_name)


def test_the_rules_do_what_their_tests_say() -> None:
    run([program("promtool"), "check", "rules", str(FOLDER / "alerts.yaml")]).ok()
    run([program("promtool"), "check", "config", str(FOLDER / "prometheus.yaml")]).ok()
    run([program("promtool"), "test", "rules", "alerts_test.yaml"], cwd=FOLDER).ok().says("SUCCESS")


def test_prometheus_reads_the_server_and_all_that_is_asked_of_it_has_an_answer(
    prometheus: Prometheus,
) -> None:
    for title, query in dashboard_queries("5m"):
        found = partial(prometheus.query, query)  # which fails where Prometheus does not understand it
        wait_until(lambda found=found, title=title: found() or title in _MAY_BE_EMPTY, f"{title}: {query}")
    for expression in (
        "sum(gitreceive_pushes_accepted_total)",
        'sum(gitreceive_pushes_refused_total{reason="rule"})',
        'sum(gitreceive_jobs_ended_total{kind="push",state="live"})',
        'gitreceive_job_phase_seconds_count{phase="roll_out"}',
        "gitreceive_receive_seconds_count",
        "gitreceive_ledger_bytes",
        'gitreceive_events_total{verb="push",outcome="done"}',
        "process_resident_memory_bytes",
    ):
        assert float(prometheus.query(expression)[0]["value"][1]) > 0, expression
    ready = [each["metric"]["part"] for each in prometheus.query("gitreceive_part_ready == 1")]
    assert sorted(ready) == ["disk", "docker", "ledger", "registry"]

    def rules() -> list[dict[str, str]]:
        groups = prometheus.ask("rules")["groups"]
        found: list[dict[str, str]] = [rule for group in groups for rule in group["rules"]]
        return found

    wait_until(lambda: all(rule["health"] != "unknown" for rule in rules()), "all rules were looked at")
    assert [(rule["name"], rule["health"]) for rule in rules()] == [
        (rule["alert"], "ok") for rule in alerts()
    ]


def test_metrics_are_not_on_the_door_that_users_reach(docker_server: Server) -> None:
    fetch(f"http://127.0.0.1:{docker_server.http_port}/metrics", status=404)
    said = fetch(f"http://127.0.0.1:{docker_server.http_port}/readyz")
    assert said == "ledger: ok\ndisk: ok\ndocker: ok\nregistry: ok\n"
    assert str(docker_server.folder) in fetch(f"http://127.0.0.1:{docker_server.metrics_port}/readyz")
