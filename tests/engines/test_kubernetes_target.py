"""The kubernetes target on a real cluster: the contract of all targets, and what only a cluster can do."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.config import KubernetesSettings, Settings
from gitreceive.engines.kubernetes_target import KubernetesTarget
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.errors import ConflictError, RolloutError
from gitreceive.manifests.rendering import config_name
from gitreceive.model import (
    AppSettings,
    CronEntry,
    ImageRef,
    LogQuery,
    LogSource,
    ProcessType,
    Schedule,
    Secret,
)
from tests.engines.cluster_volumes import host_volume
from tests.engines.health_contract import HealthContract
from tests.engines.images import python_image
from tests.engines.stage import SERVER, TICKER, Stage
from tests.engines.target_contract import TargetContract

pytestmark = pytest.mark.kubernetes


@pytest.fixture(scope="session")
def image() -> Iterator[ImageRef]:
    with python_image() as ref:
        yield ref


def settings(**changes: Any) -> Settings:
    small: dict[str, Any] = {"deadline": 60, "memory": "128Mi", "cpu": "20m"}
    return Settings(kubernetes=KubernetesSettings(**{**small, **changes}))


def make_target(**changes: Any) -> KubernetesTarget:
    return KubernetesTarget(settings(**changes), lambda: None)


@pytest.fixture
def stage(image: ImageRef, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(
        make_target(),
        image,
        volume=lambda app, name: host_volume(f"app-{app}", name, tmp_path / name),
    )
    yield made
    made.target.destroy(made.app)


@pytest.fixture
def api() -> Api:
    return Api()


def namespace(stage: Stage) -> str:
    return f"app-{stage.app}"


def make_namespace(api: Api, stage: Stage, labels: dict[str, str]) -> None:
    api.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace(stage), "labels": labels}}
    )


OURS = {"app.kubernetes.io/managed-by": "gitreceive"}


class TestContract(HealthContract, TargetContract):
    pass


HOSTILE = {
    "NORWAY": "no",
    "FLOAT": "1e3",
    "OCTAL": "0777",
    "TIME": "12:30:45",
    "LINES": "one\ntwo\n---\nkind: Pod\n",
    "QUOTES": "\"'`\\",
    "JINJA": "{{7*7}}{% raw %}",
    "EXPANSION": "$(PORT) $$ ${HOME} $PORT",
    "UNICODE": "Zoë 🚀\u2028",
    "EMPTY": "",
}


def test_hostile_config_arrives_in_the_process_as_it_is(stage: Stage) -> None:
    program = (
        "import os, json, sys; print(json.dumps({k: v for k, v in os.environ.items() if k in sys.argv[1:]}))"
    )
    process = ProcessType("release", ("python3", "-c", program, *HOSTILE))
    release = stage.release(1, config={key: Secret(value) for key, value in HOSTILE.items()})
    said = bytearray()
    stage.target.run_once(release, process, _Plain(said), Cancellation())
    assert json.loads(said) == HOSTILE


def test_a_command_is_not_expanded_by_the_cluster(stage: Stage) -> None:
    said = bytearray()
    process = ProcessType("release", ("python3", "-c", "import sys; print(sys.argv[1])", "$(PORT) $$ $HOME"))
    stage.target.run_once(stage.release(1), process, _Plain(said), Cancellation())
    assert said.decode().strip() == "$(PORT) $$ $HOME"


def test_pods_are_restricted_and_run_by_digest(stage: Stage, api: Api) -> None:
    stage.roll_out(stage.release(1))
    pod = api.list("Pod", namespace(stage))["items"][0]
    container = pod["spec"]["containers"][0]
    assert container["image"] == str(stage.image)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    assert not container.get("volumeMounts")
    labels = api.get("Namespace", namespace(stage))["metadata"]["labels"]  # type: ignore[index]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_config_is_kept_for_what_runs_and_removed_for_what_failed(stage: Stage, api: Api) -> None:
    first = stage.release(1)
    stage.roll_out(first)
    second = stage.release(2, worker="raise SystemExit(3)", config={"GREETING": Secret("other")})
    stage.fail(second, first)
    names = {item["metadata"]["name"] for item in api.list("Secret", namespace(stage))["items"]}
    assert config_name(first) in names
    assert config_name(second) not in names


def test_what_runs_by_the_clock_follows_the_release_that_is_live(stage: Stage, api: Api) -> None:
    def schedule(**entries: str) -> AppSettings:
        found = {name: CronEntry(name, "@yearly", f"echo {line}; exit 3") for name, line in entries.items()}
        return AppSettings(schedule=Schedule(found))

    def clocks() -> dict[str, Any]:
        found = api.list("CronJob", namespace(stage))["items"]
        return {item["metadata"]["name"]: item["spec"] for item in found}

    assert stage.target.has_clock
    assert stage.target.cron_runs(stage.app) == ()
    first = stage.release(1, settings=schedule(clean="one", report="two"))
    stage.roll_out(first)
    assert set(clocks()) == {"clean", "report"}
    assert clocks()["clean"]["schedule"] == "0 0 1 1 *"
    stage.fail(stage.release(2, worker="raise SystemExit(3)", settings=schedule(clean="three")), first)
    assert set(clocks()) == {"clean", "report"}
    stage.roll_out(replace(first, settings=schedule(clean="four")))
    assert set(clocks()) == {"clean"}

    template = clocks()["clean"]["jobTemplate"]  # as the cluster does when it is due
    (container,) = template["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["/cnb/lifecycle/launcher", "echo four; exit 3"]
    no_launcher = ["python3", "-c", "print('four'); raise SystemExit(3)"]  # as none is in this image
    container["command"] = no_launcher
    metadata = {**template["metadata"], "name": "clean-1", "namespace": namespace(stage)}
    api.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]})
    end = time.monotonic() + 60
    while not (runs := stage.target.cron_runs(stage.app)) or not runs[0].over:
        assert time.monotonic() < end, runs
        time.sleep(0.2)
    (run,) = runs
    assert (run.entry, run.release, run.state, run.exit_code) == ("clean", 1, "failed", 3)
    assert run.ended is not None
    (line,) = stage.target.logs(stage.app, LogQuery(sources=frozenset({LogSource.CRON})))
    assert (line.text, line.process, line.instance) == ("four", "cron", run.name)
    assert stage.target.one_offs(stage.app) == ()
    stage.target.put_back(first, None, stage.log)
    assert clocks() == {}


def test_a_field_of_another_manager_is_not_taken(stage: Stage, api: Api) -> None:
    stage.roll_out(stage.release(1))
    path = f"/apis/apps/v1/namespaces/{namespace(stage)}/deployments/web"
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace(stage)},
        "spec": {"minReadySeconds": 1},
    }
    api._call("PATCH", path, {"fieldManager": "policy-bot", "force": "true"}, theirs)
    error = stage.fail(stage.release(2), None)
    assert ".spec.minReadySeconds is owned by policy-bot" in error.message


def test_replicas_are_left_to_an_autoscaler(stage: Stage, api: Api) -> None:
    stage.roll_out(stage.release(1))
    scaler = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": namespace(stage)},
        "spec": {
            "minReplicas": 3,
            "maxReplicas": 4,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        },
    }
    api._call(
        "POST",
        f"/apis/autoscaling/v1/namespaces/{namespace(stage)}/horizontalpodautoscalers",
        {},
        scaler,
    )
    _wait(lambda: _replicas(api, stage) == 3)
    stage.roll_out(stage.release(2))
    assert _replicas(api, stage) == 3


def test_a_quota_is_told_in_the_clusters_words(stage: Stage, api: Api) -> None:
    make_namespace(api, stage, OURS)
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"limits.memory": "64Mi"}},
    }
    api._call("POST", f"/api/v1/namespaces/{namespace(stage)}/resourcequotas", {}, quota)
    error = stage.fail(stage.release(1), None)
    assert "exceeded quota: small" in error.message
    assert "ResourceQuota" in error.hint


def test_pods_that_fit_nowhere_are_told_within_30_seconds(stage: Stage) -> None:
    stage.target = make_target(cpu="4000")
    error = stage.fail(stage.release(1), None)
    assert "web fits on no node" in error.message
    assert "Insufficient cpu" in error.message


def test_a_dockerfile_that_runs_as_root_is_told_what_to_add(stage: Stage) -> None:
    release = stage.release(1)
    root = replace(release.image, buildpacks=("dockerfile",))
    error = stage.fail(replace(release, image=root), None)
    assert "root" in error.message
    assert "USER 1000" in error.hint


def test_running_out_of_memory_is_said_so(stage: Stage) -> None:
    error = stage.fail(stage.release(1, web="x = bytearray(1 << 30)\nx[::4096] = b'1' * (1 << 18)"), None)
    assert "out of memory" in error.message


def test_a_web_that_listens_nowhere_is_told_the_port(stage: Stage) -> None:
    stage.target = make_target(deadline=8)
    error = stage.fail(stage.release(1, web=TICKER), None)
    assert "web is not ready after 8 s" in error.message
    assert "$PORT" in error.hint
    assert b"tick v1" in stage.said


def test_somebody_elses_namespace_is_neither_used_nor_removed(stage: Stage, api: Api) -> None:
    make_namespace(api, stage, {})
    release = stage.release(1)
    with pytest.raises(ConflictError, match="not gitreceive's"):
        stage.roll_out(release)
    stage.target.put_back(release, None, stage.log)
    with pytest.raises(ConflictError):
        stage.target.destroy(stage.app)
    assert api.get("Namespace", namespace(stage))
    api.delete("Namespace", namespace(stage))
    _wait(lambda: api.get("Namespace", namespace(stage)) is None)


def test_a_pull_secret_with_the_servers_credentials_is_made(stage: Stage, api: Api) -> None:
    stage.target = KubernetesTarget(settings(), lambda: ("puller", "s3cret"))
    stage.roll_out(stage.release(1, web=None, worker=TICKER))
    secret = api.get("Secret", "registry", namespace(stage))
    assert secret is not None
    content = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    assert content["auths"]["127.0.0.1:5000"]["username"] == "puller"
    pod = api.list("Pod", namespace(stage))["items"][0]
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_another_server_takes_up_a_roll_out_that_was_begun(stage: Stage) -> None:
    release = stage.release(1)
    stage.roll_out(release)
    stage.target = make_target()
    stage.roll_out(release)
    assert stage.target.running(stage.app) == 1
    assert stage.get() == "v1 hello-canary"


def test_nodeport_stays_over_releases(stage: Stage) -> None:
    stage.roll_out(stage.release(1))
    url = stage.target.url(stage.app)
    stage.roll_out(stage.release(2, web=SERVER + "#"))
    assert stage.target.url(stage.app) == url


def test_a_refusal_of_the_api_server_is_an_error_of_ours(api: Api) -> None:
    with pytest.raises(RolloutError, match="refused"):
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "Not_A_Name"}})


def _replicas(api: Api, stage: Stage) -> int:
    deployment = api.get("Deployment", "web", namespace(stage))
    assert deployment is not None
    return int(deployment["spec"]["replicas"])


def _wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)


class _Plain:
    """Takes only what a program printed."""

    def __init__(self, said: bytearray) -> None:
        self.write = said.extend

    def step(self, text: str) -> None: ...
    def detail(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def error(self, text: str, hint: str = "") -> None: ...
