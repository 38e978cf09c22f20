"""What Prometheus is told, without one."""

import errno
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gitreceive.background.readiness import Readiness
from gitreceive.background.readings import readings
from gitreceive.cancellation import Cancellation
from gitreceive.config import HttpSettings, Settings
from gitreceive.drains.status import DrainStatus, drains_folder, write_status
from gitreceive.engines.prometheus_metrics import PrometheusMetrics
from gitreceive.errors import BuildError, CanceledError, RegistryError, UnavailableError
from gitreceive.jobs import work
from gitreceive.model import AppName, Check, LedgerMeasures, Secret, UserName
from gitreceive.ports import Reading
from gitreceive.web.metrics import application
from tests.asking import ask
from tests.certificates import issue
from tests.platform import SHOP, World

Labels = tuple[tuple[str, str], ...]


def told(metrics: PrometheusMetrics) -> dict[tuple[str, Labels], float]:
    text, _ = metrics.exposition()
    return {
        (sample.name, tuple(sorted((k, v) for k, v in sample.labels.items() if v))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def watching(world: World, *, by_app: bool = False) -> PrometheusMetrics:
    metrics = PrometheusMetrics(by_app=by_app)
    metrics.watch(world.ledger, ())
    world.observer = metrics.observer
    return metrics


def test_a_push_that_goes_live_is_counted_with_its_phases() -> None:
    world = World()
    metrics = watching(world)
    world.deploy(world.commit("one"))
    found = told(metrics)
    assert found["gitreceive_jobs_ended_total", (("kind", "push"), ("state", "live"))] == 1
    for phase in ("build", "publish", "roll_out"):
        assert found["gitreceive_job_phase_seconds_count", (("phase", phase),)] == 1
    assert found["gitreceive_job_wait_seconds_count", ()] == 1
    assert found["gitreceive_jobs", (("state", "queued"),)] == 0
    assert found["gitreceive_apps", ()] == 1
    assert found["gitreceive_events_total", (("outcome", "done"), ("verb", "build"))] == 1


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        pytest.param(BuildError("no"), "build", id="build"),
        pytest.param(RegistryError("no"), "registry", id="registry"),
        pytest.param(ValueError("no"), "internal", id="a fault of our own"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), "unavailable", id="a full disk"),
    ],
)
def test_a_failed_job_is_told_by_its_step_and_the_class_of_its_error(failure: Exception, error: str) -> None:
    world = World()
    metrics = watching(world)

    def fail(*_: object) -> None:
        raise failure

    world.builder.during = fail
    world.deploy(world.commit("one"))
    found = told(metrics)
    assert found["gitreceive_jobs_ended_total", (("kind", "push"), ("state", "failed"))] == 1
    assert found["gitreceive_job_errors_total", (("error", error), ("step", "building"))] == 1


def test_a_canceled_job_is_no_error() -> None:
    world = World()
    metrics = watching(world)
    world.builder.failure = CanceledError("canceled by ada")
    world.deploy(world.commit("one"))
    found = told(metrics)
    assert found["gitreceive_jobs_ended_total", (("kind", "push"), ("state", "canceled"))] == 1
    assert sum(value for (name, _), value in found.items() if name == "gitreceive_job_errors_total") == 0


def test_what_waits_is_told_with_the_age_of_the_oldest() -> None:
    world = World()
    metrics = watching(world)
    world.enqueue(world.commit("one"))
    world.passed = timedelta(minutes=5)
    world.enqueue(world.commit("two"))
    found = told(metrics)
    assert found["gitreceive_jobs", (("state", "queued"),)] == 2
    assert 300 <= found["gitreceive_queue_oldest_seconds", ()] < 400


def test_names_of_apps_are_told_only_where_they_are_to_be() -> None:
    for by_app, labels in ((False, ()), (True, (("app", "shop"),))):
        world = World()
        metrics = watching(world, by_app=by_app)
        metrics.observer.push_accepted(SHOP)
        metrics.observer.push_refused("rule", SHOP)
        metrics.observer.push_refused("notfound", None)
        found = told(metrics)
        assert found["gitreceive_pushes_accepted_total", labels] == 1
        assert found["gitreceive_pushes_refused_total", (*labels, ("reason", "rule"))] == 1
        assert found["gitreceive_pushes_refused_total", (("reason", "notfound"),)] == 1
        assert bool(labels) == (b"shop" in metrics.exposition()[0])


def test_events_go_on_where_the_last_server_ended_and_never_fall() -> None:
    world = World()
    before = told(watching(world))
    world.ledger.create_app(AppName("blog"), UserName("ada"), "main")
    world.ledger.delete_app(AppName("blog"))
    metrics = watching(world)
    labels = (("outcome", "done"), ("verb", "apps create"))
    assert before["gitreceive_events_total", labels] == 1
    assert told(metrics)["gitreceive_events_total", labels] == 2
    assert told(metrics)["gitreceive_events_total", labels] == 2


class NoLedger:
    def measures(self, after_event: int) -> LedgerMeasures:
        raise UnavailableError("the ledger does not answer")


def test_what_cannot_be_told_is_left_out_and_all_else_is_told() -> None:
    def broken() -> dict[str, float]:
        raise OSError("no such disk")

    metrics = PrometheusMetrics(by_app=False)
    metrics.watch(NoLedger(), (Reading("lost", "Gone.", broken), Reading("found", "There.", lambda: {"": 7})))
    found = told(metrics)
    assert found["gitreceive_ledger_up", ()] == 0
    assert found["gitreceive_found", ()] == 7
    assert not {"gitreceive_jobs", "gitreceive_lost"} & {name for name, _ in found}


def test_the_operators_page_is_what_prometheus_reads() -> None:
    metrics = watching(World())
    status, header, body = ask(application(metrics.exposition, lambda: ()), "/metrics")
    assert status == 200
    assert header["content-type"].startswith("text/plain")
    for name in ("process_open_fds", "process_resident_memory_bytes", "gitreceive_build_info", "python_info"):
        assert f"# TYPE {name} gauge" in body


def test_room_drains_certificates_and_parts_are_told(tmp_path: Path) -> None:
    world = World()
    drain = world.ledger.add_drain(SHOP, UserName("ada"), Secret("https://logs.test/"), {})
    drains_folder(tmp_path).mkdir()
    write_status(tmp_path, drain.id, DrainStatus("retrying", waiting=7, dropped=3))
    issued = issue("git.test")
    (tmp_path / "door.pem").write_text(issued.pem + issued.key_pem)
    settings = Settings(data_dir=tmp_path, http=HttpSettings(certificate=str(tmp_path / "door.pem")))
    readiness = Readiness({"docker": lambda: [Check("docker", ok=False, seen="")]})
    metrics = PrometheusMetrics(by_app=False)
    metrics.watch(world.ledger, readings(settings, world.ledger, readiness))
    found = told(metrics)
    assert found["gitreceive_part_ready", (("part", "docker"),)] == 0
    assert found["gitreceive_drains", (("state", "retrying"),)] == 1
    assert found["gitreceive_drain_lines_waiting", ()] == 7
    assert found["gitreceive_drain_lines_dropped", ()] == 3
    expires = issued.certificate.not_valid_after_utc.timestamp()
    assert found["gitreceive_certificate_expiry_timestamp_seconds", (("of", "http"),)] == expires
    assert 0 < found["gitreceive_disk_free_bytes", ()] <= found["gitreceive_disk_size_bytes", ()]
    assert found["gitreceive_disk_free_files", ()] > 0


def test_a_job_that_a_dead_server_left_has_waited_once() -> None:
    world = World()
    metrics = watching(world)
    world.enqueue(world.commit("one"))
    world.claim()
    world.let_leases_run_out()
    work(world.claim(), world.platform, Cancellation())
    found = told(metrics)
    assert found["gitreceive_jobs_ended_total", (("kind", "push"), ("state", "live"))] == 1
    assert found["gitreceive_job_wait_seconds_count", ()] == 0
