"""What a cluster is told of process types: limits, restarts, probes, autoscalers, the page of maintenance."""

from collections.abc import Mapping
from typing import Any

import pytest

from gitreceive.config import KubernetesSettings, Settings
from gitreceive.errors import ConfigError
from gitreceive.manifests.processes import MAINTENANCE
from gitreceive.manifests.rendering import render, render_once
from gitreceive.manifests.templating import Manifest
from gitreceive.model import (
    AppSettings,
    Autoscale,
    CheckKind,
    Declared,
    Formation,
    HealthCheck,
    ImageRef,
    Limits,
    Maintenance,
    ProcessType,
    Release,
    Runtime,
)
from tests.test_manifests import a_release, by_kind

_PAGE = ImageRef.parse(f"127.0.0.1:5000/stacks/run@sha256:{'1' * 64}")


def rendered(release: Release) -> Mapping[str, Manifest]:
    return by_kind(render(release, Settings(kubernetes=KubernetesSettings())))


def container(release: Release, process: str = "web") -> dict[str, Any]:
    found: dict[str, Any] = rendered(release)[f"Deployment/{process}"]["spec"]["template"]["spec"][
        "containers"
    ][0]
    return found


def set_to(**sections: Any) -> Release:
    return a_release(settings=AppSettings(**sections))


def test_memory_is_asked_for_and_the_limit_and_cpu_is_asked_for_alone() -> None:
    limited = set_to(runtime=Runtime({"web": Limits("96Mi", "0.2"), "release": Limits("1Gi")}))
    assert container(limited)["resources"] == {
        "requests": {"memory": "96Mi", "cpu": "0.2"},
        "limits": {"memory": "96Mi"},
    }
    assert container(limited, "worker")["resources"] == container(a_release(), "worker")["resources"]
    *_, pod = render_once(limited, ProcessType("release", ("true",)), "release-1", Settings())
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"memory": "1Gi"}


def test_a_restart_is_seen_in_the_pods_of_what_is_restarted_alone() -> None:
    objects = rendered(set_to(formation=Formation(restarted={"web": "2026-01-02T03:04:05"})))
    stamps = {
        name: objects[f"Deployment/{name}"]["spec"]["template"]["metadata"]["annotations"].get(
            "gitreceive/restarted"
        )
        for name in ("web", "worker")
    }
    assert stamps == {"web": "2026-01-02T03:04:05", "worker": None}


def test_an_autoscaler_is_there_until_the_app_is_stopped() -> None:
    formation = Formation({"web": 9}, {"web": Autoscale(2, 4, 70)})
    objects = rendered(set_to(formation=formation))
    spec = objects["HorizontalPodAutoscaler/web"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 4)
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    assert objects["Deployment/web"]["spec"]["replicas"] == 4
    stopped = rendered(set_to(formation=Formation({"web": 9}, formation.autoscale, stopped=True)))
    assert "HorizontalPodAutoscaler/web" not in stopped
    assert "PodDisruptionBudget/web" not in stopped
    assert {stopped[f"Deployment/{name}"]["spec"]["replicas"] for name in ("web", "worker")} == {0}
    assert "Service/web" in stopped


def test_what_people_set_comes_before_what_the_source_declares_kind_by_kind() -> None:
    declared = Declared(
        health={
            "web": (
                HealthCheck(CheckKind.STARTUP, path="/boot", attempts=10, wait=3, initial_delay=2),
                HealthCheck(CheckKind.LIVENESS, path="/old"),
            )
        }
    )
    own = Runtime(health={"web": (HealthCheck(CheckKind.LIVENESS, path="/live", port=81, scheme="https"),)})
    release = a_release(declared=declared, settings=AppSettings(own))
    found = container(release)
    assert found["startupProbe"] == {
        "httpGet": {"path": "/boot", "port": 8080, "scheme": "HTTP"},
        "initialDelaySeconds": 2,
        "periodSeconds": 3,
        "timeoutSeconds": 5,
        "failureThreshold": 10,
    }
    assert found["livenessProbe"]["httpGet"] == {"path": "/live", "port": 81, "scheme": "HTTPS"}
    assert found["readinessProbe"]["tcpSocket"] == {"port": 8080}
    assert release.startup_seconds == 32
    usual = rendered(a_release())["Deployment/web"]["spec"]["progressDeadlineSeconds"]
    assert rendered(release)["Deployment/web"]["spec"]["progressDeadlineSeconds"] == usual + 32


def test_a_command_is_run_as_processes_are_and_expands_nothing() -> None:
    check = HealthCheck(CheckKind.READINESS, command=("check", "$(PORT)"))
    release = set_to(runtime=Runtime(health={"worker": (check,)}))
    probe = container(release, "worker")["readinessProbe"]
    assert probe["exec"]["command"] == ["/cnb/lifecycle/launcher", "--", "check", "$$(PORT)"]
    assert rendered(release)["Deployment/worker"]["spec"].get("minReadySeconds") == 0


def test_maintenance_leads_visitors_to_a_page_and_leaves_the_app_as_it_is() -> None:
    plain = rendered(a_release())
    closed = rendered(set_to(maintenance=Maintenance(on=True, page="<p>{{ soon }}", image=_PAGE)))
    usual = rendered(set_to())["Deployment/web"]
    assert closed["Deployment/web"] == usual
    page = closed[f"Deployment/{MAINTENANCE}"]["spec"]
    selector = closed["Service/web"]["spec"]["selector"]
    assert selector != plain["Service/web"]["spec"]["selector"]
    assert selector.items() <= page["template"]["metadata"]["labels"].items()
    assert "app.kubernetes.io/component" not in page["template"]["metadata"]["labels"]
    assert page["template"]["spec"]["containers"][0]["image"] == str(_PAGE)
    content = closed[f"ConfigMap/{MAINTENANCE}"]["data"]
    assert content["page.html"] == "<p>{{ soon }}"
    compile(content["serve.py"], "serve.py", "exec")


def test_another_page_makes_other_pods() -> None:
    def stamp(page: str) -> str:
        objects = rendered(set_to(maintenance=Maintenance(on=True, page=page, image=_PAGE)))
        found: str = objects[f"Deployment/{MAINTENANCE}"]["spec"]["template"]["metadata"]["annotations"][
            "gitreceive/page"
        ]
        return found

    assert stamp("one") != stamp("two")


def test_maintenance_without_an_image_that_could_serve_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="no image is known") as error:
        rendered(set_to(maintenance=Maintenance(on=True)))
    assert "maintenance on shop" in error.value.hint
