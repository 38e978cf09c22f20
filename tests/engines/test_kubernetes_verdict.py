"""Verdicts over what a cluster shows, without a cluster."""

from typing import Any

import pytest

from gitreceive.engines.kubernetes_target.rollout import Narrator, _kept_configs, _staying
from gitreceive.engines.kubernetes_target.verdict import Patience, Problem, Snapshot, State, look
from gitreceive.manifests.templating import Manifest

REVISION = "deployment.kubernetes.io/revision"


def a_deployment(*, generation: int = 4, observed: int = 4, replicas: int = 1, **status: int) -> Manifest:
    return {
        "metadata": {"name": "web", "uid": "D", "generation": generation, "annotations": {REVISION: "2"}},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": observed, **status},
    }


def a_replica_set(revision: str = "2", *, uid: str = "R", **status: Any) -> Manifest:
    owner = {"uid": "D", "controller": True, "name": "web"}
    return {
        "metadata": {
            "name": f"web-{uid}",
            "uid": uid,
            "annotations": {REVISION: revision},
            "ownerReferences": [owner],
        },
        "spec": {"replicas": 1},
        "status": status,
    }


def a_pod(*, uid: str = "P", owner: str = "R", restarts: int = 0, **container: Any) -> Manifest:
    status: Manifest = {"conditions": [{"type": "Ready", "status": "False"}]}
    if container:
        status["containerStatuses"] = [{"restartCount": restarts, "lastState": {}, "state": {}, **container}]
    return {
        "metadata": {
            "name": f"web-{uid}",
            "uid": uid,
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "spec": {"nodeName": "node"},
        "status": status,
    }


def an_event(reason: str, message: str = "", uid: str = "P") -> Manifest:
    return {"reason": reason, "message": message, "involvedObject": {"uid": uid}}


def seen(*pods: Manifest, events: tuple[Manifest, ...] = (), deployment: Manifest | None = None) -> State:
    return look(
        "web",
        4,
        Snapshot(
            {"web": deployment or a_deployment()},
            {"new": a_replica_set(), "old": a_replica_set("1", uid="O")},
            {pod["metadata"]["name"]: pod for pod in pods},
            {str(n): event for n, event in enumerate(events)},
        ),
    )


def only(state: State) -> Problem:
    (problem,) = state.problems
    return problem


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, reason: str = "Error", **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


def rolled_out(**changes: Any) -> State:
    status = {"replicas_": 1, "updatedReplicas": 1, "availableReplicas": 1} | changes
    generation = {key: status.pop(key) for key in ("generation", "observed") if key in status}
    deployment = a_deployment(**generation, updatedReplicas=status["updatedReplicas"])
    deployment["status"] |= {
        "availableReplicas": status["availableReplicas"],
        "replicas": status["replicas_"],
    }
    sets = {"new": a_replica_set(availableReplicas=status["availableReplicas"])}
    return look("web", 4, Snapshot({"web": deployment}, sets, {}, {}))


def test_a_deployment_that_is_up_to_date_and_available_is_done() -> None:
    state = rolled_out()
    assert state.done
    assert str(state) == "web: 1 of 1 ready"


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 3, "observed": 3},  # what was applied is not seen yet
        {"observed": 3},  # it is seen, and the controller has not acted on it
        {"updatedReplicas": 0},
        {"availableReplicas": 0},
        {"replicas_": 2},  # an older pod is not being stopped yet
    ],
)
def test_a_deployment_is_not_done_before_all_of_it_is(change: dict[str, int]) -> None:
    assert not rolled_out(**change).done


def test_a_deployment_that_is_scaled_to_nothing_is_done() -> None:
    deployment = a_deployment(replicas=0)
    assert look("web", 4, Snapshot({"web": deployment}, {"new": a_replica_set()}, {}, {})).done


def test_what_is_not_there_yet_is_not_done() -> None:
    assert not look("web", 1, Snapshot({}, {}, {}, {})).done


def test_trouble_of_the_old_release_is_not_the_new_ones() -> None:
    old = a_pod(owner="O", restarts=9, state=waiting("CrashLoopBackOff"), lastState=ended(1))
    assert seen(old).problems == ()


def test_trouble_of_a_pod_that_is_leaving_does_not_count() -> None:
    pod = a_pod(restarts=3, state=waiting("CrashLoopBackOff"), lastState=ended(1))
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert seen(pod).problems == ()


@pytest.mark.parametrize(
    ("container", "patience"),
    [
        ({"state": ended(1)}, 15),
        ({"state": waiting("CrashLoopBackOff"), "lastState": ended(1)}, 15),
        ({"state": {"running": {}}, "lastState": ended(1), "restarts": 1}, 15),
        ({"state": ended(1), "lastState": ended(1), "restarts": 1}, 0),
        ({"state": waiting("CrashLoopBackOff"), "lastState": ended(1), "restarts": 1}, 0),
        ({"state": {"running": {}}, "lastState": ended(1), "restarts": 2}, 0),
    ],
)
def test_a_first_crash_may_be_chance_and_a_second_is_not(container: dict[str, Any], patience: float) -> None:
    problem = only(seen(a_pod(**container)))
    assert problem.kind == "crash"
    assert problem.patience == patience
    assert problem.pod == "web-P"


def test_a_crash_loop_is_one_short_line() -> None:
    pod = a_pod(restarts=1, state=waiting("CrashLoopBackOff", "back-off 10s"), lastState=ended(1))
    assert only(seen(pod)).text == "web crashed: exit 1 (CrashLoopBackOff)"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (ended(137, "OOMKilled"), "web ran out of memory (OOMKilled)"),
        (ended(0, "Completed"), "web ended: exit 0"),
        (ended(139, "Error", signal=11), "web crashed: signal 11"),
    ],
)
def test_how_a_process_ended_is_said(state: dict[str, Any], text: str) -> None:
    assert only(seen(a_pod(state=state))).text == text


def test_a_command_that_is_not_there_is_named() -> None:
    message = 'failed to create shim task: runc create failed: unable to start container process: exec: "gunicron": executable file not found in $PATH: unknown'
    problem = only(seen(a_pod(state=waiting("RunContainerError", message))))
    assert problem.text == 'web cannot start: exec: "gunicron": executable file not found in $PATH'


def test_an_image_that_cannot_be_pulled_is_told_from_the_event_when_backing_off() -> None:
    why = 'Failed to pull image "r/shop@sha256:00": rpc error: code = NotFound desc = failed to resolve reference "r/shop@sha256:00": r/shop@sha256:00: not found'
    pod = a_pod(state=waiting("ImagePullBackOff", 'Back-off pulling image "r/shop@sha256:00"'))
    problem = only(seen(pod, events=(an_event("Failed", why),)))
    assert problem.text == "web: the image cannot be pulled (ImagePullBackOff): r/shop@sha256:00: not found"
    assert problem.detail == why
    assert problem.patience <= 20


def test_an_image_that_runs_as_root_gets_the_line_to_add() -> None:
    message = "container has runAsNonRoot and image will run as root (pod: x)"
    problem = only(seen(a_pod(state=waiting("CreateContainerConfigError", message))))
    assert "will run as root" in problem.text
    assert "USER 1000" in problem.hint


def test_a_quota_is_told_without_the_pods_name() -> None:
    message = (
        'pods "web-1-" is forbidden: exceeded quota: small, requested: memory=512Mi, used: 0, limited: 256Mi'
    )
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    snapshot = Snapshot({"web": a_deployment()}, {"new": a_replica_set(conditions=[condition])}, {}, {})
    problem = only(look("web", 4, snapshot))
    assert problem.text.startswith("web: the cluster refuses its pods: exceeded quota: small")
    assert "ResourceQuota" in problem.hint


def an_unschedulable_pod(message: str = "0/1 nodes are available: 1 Insufficient cpu.") -> Manifest:
    pod = a_pod()
    pod["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    ]
    del pod["spec"]["nodeName"]
    return pod


def test_a_pod_waits_for_its_volume_until_the_deadline() -> None:
    problem = only(seen(an_unschedulable_pod("pod has unbound immediate PersistentVolumeClaims.")))
    assert problem.text == "web waits for its volume: pod has unbound immediate PersistentVolumeClaims."
    assert problem.patience == float("inf")
    assert "kubernetes.storage_class" in problem.hint


def test_what_ends_before_its_successor_begins_is_no_failure_of_that() -> None:
    """The last release crashed, and its pods are on their way out."""
    old = a_replica_set()
    old["spec"]["replicas"] = 0
    pod = a_pod(restarts=3, state=ended(1), lastState=ended(1))
    state = look("web", 4, Snapshot({"web": a_deployment()}, {"old": old}, {"pod": pod}, {}))
    assert (state.done, state.problems) == (False, ())


def test_a_pod_that_fits_nowhere_fails_within_30_seconds() -> None:
    state = seen(an_unschedulable_pod())
    assert "Insufficient cpu" in only(state).text
    assert only(state).patience < 30
    assert state.doing == "waiting for a node"


def test_a_cluster_that_grows_is_waited_for() -> None:
    state = seen(an_unschedulable_pod(), events=(an_event("TriggeredScaleUp"),))
    assert only(state).patience == float("inf")


def test_a_volume_or_network_that_fails_is_said_while_the_container_is_not_made() -> None:
    event = an_event("FailedCreatePodSandBox", "network plugin is not ready")
    assert "network plugin" in only(seen(a_pod(state=waiting("ContainerCreating")), events=(event,))).text
    assert seen(a_pod(state={"running": {}}), events=(event,)).problems == ()


@pytest.mark.parametrize(
    ("pods", "events", "doing"),
    [
        ((), (), "waiting for pods"),
        ((a_pod(state=waiting("ContainerCreating")),), (), "creating container"),
        ((a_pod(state=waiting("ContainerCreating")),), (an_event("Pulling"),), "pulling image"),
        ((a_pod(state={"running": {}}),), (an_event("Pulling"), an_event("Pulled")), "starting"),
        ((a_pod(state=ended(1)),), (), "crashed, starting again"),
    ],
)
def test_what_a_release_is_at_is_said(
    pods: tuple[Manifest, ...], events: tuple[Manifest, ...], doing: str
) -> None:
    assert seen(*pods, events=events).doing == doing


_PULL = 'rpc error: code = Unknown desc = failed to pull and unpack image "r/shop@sha256:00": '


@pytest.mark.parametrize(
    ("why", "lasts"),
    [
        pytest.param(
            "failed to copy: httpReadSeeker: failed open: unexpected status code http://r:5000/v2/shop/blobs/sha256:00: "
            "503 Service Unavailable - Server message: unknown",
            True,
            id="containerd 5xx",
        ),
        pytest.param("unexpected status code [manifests sha256:00]: 429 Too Many Requests", True, id="429"),
        pytest.param(
            "failed to resolve reference: pulling from host r:5000 failed with status code [manifests sha256:00]: 503 Injected",
            True,
            id="of one host",
        ),
        pytest.param("received unexpected HTTP status: 500 Internal Server Error", True, id="docker 5xx"),
        pytest.param("read tcp 10.0.0.1:3->10.0.0.2:5000: read: connection reset by peer", True, id="reset"),
        pytest.param('Get "https://r/v2/shop/manifests/sha256:00": EOF', True, id="EOF"),
        pytest.param("short read: expected 500 bytes but got 100: unexpected EOF", True, id="cut"),
        pytest.param(
            'net/http: HTTP/1.x transport connection broken: malformed MIME header: missing colon: "Acc"',
            True,
            id="half a head",
        ),
        pytest.param(
            'net/http: HTTP/1.x transport connection broken: malformed HTTP response "\\x15\\x03\\x01"',
            False,
            id="TLS where none is expected",
        ),
        pytest.param("r/shop@sha256:00: not found", False, id="not found"),
        pytest.param("unexpected status code [manifests sha256:00]: 401 Unauthorized", False, id="401"),
        pytest.param("dial tcp: lookup r.example on 10.0.0.1:53: no such host", False, id="no such host"),
        pytest.param("x509: certificate signed by unknown authority", False, id="certificate"),
    ],
)
@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_a_pull_that_may_go_well_the_next_time_is_given_until_the_deadline(
    why: str, lasts: bool, reason: str
) -> None:
    message = _PULL + why if reason == "ErrImagePull" else 'Back-off pulling image "r/shop@sha256:00"'
    events = (an_event("Failed", f"Failed to pull image: {_PULL}{why}"),)
    problem = only(seen(a_pod(state=waiting(reason, message)), events=events))
    assert (problem.patience > 1000) is lasts


def a_problem(kind: str = "pull", patience: float = 8) -> Problem:
    return Problem("web", kind, "it is so", patience)


def test_a_problem_fails_when_it_outlasts_its_patience() -> None:
    patience = Patience()
    assert patience.overdue([a_problem()], 100) is None
    assert patience.overdue([a_problem()], 107) is None
    assert patience.overdue([a_problem()], 108) == a_problem()


def test_a_problem_that_goes_away_begins_anew() -> None:
    patience = Patience()
    patience.overdue([a_problem()], 100)
    patience.overdue([], 104)
    assert patience.overdue([a_problem()], 109) is None


class Said:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.detail = self.lines.append

    def step(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def error(self, text: str, hint: str = "") -> None: ...
    def write(self, chunk: bytes) -> None: ...


def test_progress_is_told_by_changes_and_passing_states_only_when_they_last() -> None:
    said = Said()
    narrator = Narrator(said)
    creating, starting = (State("web", 0, 1, False, doing) for doing in ("creating container", "starting"))
    done = State("web", 1, 1, True, "")
    for moment, state in (
        (0, creating),
        (0.1, starting),
        (0.6, starting),
        (1.5, starting),
        (1.6, done),
        (2, done),
    ):
        narrator.tell([state], moment)
    assert said.lines == ["web: 0 of 1 ready, starting", "web: 1 of 1 ready"]


def _replica_set(deployment: str, replicas: int, config: str) -> Manifest:
    container = {"name": "web", "envFrom": [{"secretRef": {"name": config}}]}
    return {
        "metadata": {"ownerReferences": [{"name": deployment}]},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [container, {"name": "side"}]}}},
    }


def test_config_is_kept_while_a_release_that_runs_or_ran_names_it() -> None:
    ran, runs, failed = (
        _replica_set("web", n, c) for n, c in ((0, "config-a"), (1, "config-b"), (0, "config-c"))
    )
    assert _kept_configs([ran, runs, failed], {"config-c"}) == {"config-a", "config-b"}
    assert _kept_configs([runs], {"config-b"}) == {"config-b"}


def test_config_of_a_process_that_leaves_goes_with_it() -> None:
    web, worker = _replica_set("web", 1, "config-a"), _replica_set("worker", 1, "config-b")
    assert _kept_configs(_staying([web, worker], {"worker"}), set()) == {"config-a"}


def test_a_failed_health_check_is_told_by_kind_and_answer() -> None:
    pod = a_pod(state={"running": {}})
    pod["spec"]["containers"] = [
        {"name": "web", "startupProbe": {"httpGet": {}}, "readinessProbe": {"tcpSocket": {}}}
    ]
    unwell = an_event("Unhealthy", "Startup probe failed: HTTP probe failed with statuscode: 500")
    (problem,) = seen(pod, events=(unwell,)).problems
    assert problem.text == "web failed its startup check: HTTP probe failed with statuscode: 500"
    assert problem.patience > 1000
    killed = an_event("Killing", "Container web failed startup probe, will be restarted")
    assert seen(pod, events=(unwell, killed)).problems[0].patience == 0


def test_a_web_that_is_only_asked_whether_it_listens_is_starting() -> None:
    pod = a_pod(state={"running": {}})
    pod["spec"]["containers"] = [{"name": "web", "readinessProbe": {"tcpSocket": {}}}]
    event = an_event("Unhealthy", "Readiness probe failed: dial tcp: connect: connection refused")
    assert seen(pod, events=(event,)).problems == ()
