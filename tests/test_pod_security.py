"""Every pod that gitreceive asks a cluster for, held to the profile ``restricted``, and to what goes beyond it."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gitreceive.config import Settings
from gitreceive.manifests.rendering import PullCredentials, render, render_once, render_one_off
from gitreceive.manifests.templating import Manifest
from gitreceive.model import (
    AppSettings,
    CheckKind,
    CronEntry,
    CronTask,
    Declared,
    HealthCheck,
    ImageRef,
    Limits,
    Maintenance,
    OneOff,
    ProcessType,
    Runtime,
    Schedule,
    Terminal,
    UserName,
    Volume,
)
from tests.pod_security import violations
from tests.test_manifests import CASES, a_release

_PULL = PullCredentials("registry.example.com", "puller", "s3cret")


def _everything() -> tuple[Manifest, ...]:
    """A release with all that a release can have."""
    runtime = Runtime(
        volumes={"uploads": Volume("/data")},
        secrets={"db": ""},
        limits={"web": Limits(memory="1Gi", cpu="2")},
    )
    image = ImageRef.parse(f"127.0.0.1:5000/stack@sha256:{'c' * 64}")
    settings = AppSettings(
        runtime=runtime,
        maintenance=Maintenance(on=True, image=image),
        schedule=Schedule({"report": CronEntry("report", "@daily", "make report")}),
    )
    checks = {
        "web": (
            HealthCheck(CheckKind.READINESS, path="/up"),
            HealthCheck(CheckKind.LIVENESS, command=("true",)),
        )
    }
    declared = Declared(cron=(CronTask("0 3 * * 7", "clean"),), health=checks)
    return render(a_release(settings=settings, declared=declared), Settings(), pull=_PULL)


def _one_off(*, attached: bool) -> tuple[Manifest, ...]:
    limits = Limits(memory="2Gi")
    asked = OneOff("run-abcde", ("sh",), "sh", UserName("ada"), 3600, False, Terminal(), limits)
    return render_one_off(a_release(), asked, ("sh",), Settings(), _PULL, attached=attached)


RENDERED: dict[str, Callable[[], tuple[Manifest, ...]]] = {
    **{case: lambda case=case: render(*CASES[case]) for case in CASES},  # type: ignore[misc]
    "everything": _everything,
    "release command": lambda: render_once(
        a_release(), ProcessType("release", ("true",)), "release-1", Settings(), _PULL
    ),
    "one-off, attached": lambda: _one_off(attached=True),
    "one-off, detached": lambda: _one_off(attached=False),
}


def pods(objects: tuple[Manifest, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in objects:
        where = f"{item['kind']} {item['metadata']['name']}"
        match item["kind"]:
            case "Pod":
                yield where, item["spec"]
            case "Deployment":
                yield where, item["spec"]["template"]["spec"]
            case "CronJob":
                yield where, item["spec"]["jobTemplate"]["spec"]["template"]["spec"]
            case kind:
                assert "template" not in item.get("spec", {}), f"{kind} has pods that nobody looks at"


@pytest.mark.parametrize("case", RENDERED)
def test_every_pod_is_restricted(case: str) -> None:
    found = dict(pods(RENDERED[case]()))
    assert found
    assert {where: violations(pod) for where, pod in found.items()} == {where: [] for where in found}


@pytest.mark.parametrize("case", RENDERED)
def test_every_pod_has_an_account_without_a_token_and_a_limit_of_memory(case: str) -> None:
    objects = RENDERED[case]()
    (account,) = [item for item in objects if item["kind"] == "ServiceAccount"]
    assert account["automountServiceAccountToken"] is False
    for where, pod in pods(objects):
        assert (where, pod["automountServiceAccountToken"]) == (where, False)
        assert pod["serviceAccountName"] == account["metadata"]["name"]
        assert pod["enableServiceLinks"] is False
        assert not [
            volume for volume in pod.get("volumes", ()) if "projected" in volume or "secret" in volume
        ]
        for container in pod["containers"]:
            assert container["resources"]["limits"]["memory"], where
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, where


@pytest.mark.parametrize("case", RENDERED)
def test_the_namespace_asks_the_cluster_to_hold_pods_to_it(case: str) -> None:
    space = RENDERED[case]()[0]
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_all_that_has_pods_was_looked_at() -> None:
    kinds = [where.split()[0] for render_all in RENDERED.values() for where, _ in pods(render_all())]
    assert set(kinds) == {"Pod", "Deployment", "CronJob"}
    assert [where for where, _ in pods(_everything())] == [
        "Deployment web",
        "Deployment web.maintenance",
        "Deployment worker",
        "CronJob clean",
        "CronJob report",
    ]


_WORSE: dict[str, Callable[[dict[str, Any]], object]] = {
    "hostNetwork": lambda pod: pod.update(hostNetwork=True),
    "hostPID": lambda pod: pod.update(hostPID=True),
    "hostIPC": lambda pod: pod.update(hostIPC=True),
    "a host path": lambda pod: pod.update(volumes=[{"name": "x", "hostPath": {"path": "/"}}]),
    "a sysctl": lambda pod: pod["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    "root in the pod": lambda pod: pod["securityContext"].update(runAsUser=0),
    "perhaps root": lambda pod: pod["securityContext"].pop("runAsNonRoot"),
    "no seccomp": lambda pod: pod["securityContext"].pop("seccompProfile"),
    "unconfined": lambda pod: pod["securityContext"].update(seccompProfile={"type": "Unconfined"}),
    "AppArmor": lambda pod: pod["securityContext"].update(appArmorProfile={"type": "Unconfined"}),
    "SELinux": lambda pod: pod["securityContext"].update(seLinuxOptions={"type": "spc_t"}),
    "Windows": lambda pod: pod["securityContext"].update(windowsOptions={"hostProcess": True}),
    "privileged": lambda pod: pod["containers"][0]["securityContext"].update(privileged=True),
    "root in the container": lambda pod: pod["containers"][0]["securityContext"].update(runAsUser=0),
    "escalation": lambda pod: pod["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    "capabilities": lambda pod: pod["containers"][0]["securityContext"].pop("capabilities"),
    "a capability": lambda pod: pod["containers"][0]["securityContext"]["capabilities"].update(
        add=["SYS_ADMIN"]
    ),
    "procMount": lambda pod: pod["containers"][0]["securityContext"].update(procMount="Unmasked"),
    "a host port": lambda pod: pod["containers"][0].update(ports=[{"containerPort": 80, "hostPort": 80}]),
    "a probe elsewhere": lambda pod: pod["containers"][0].update(
        livenessProbe={"httpGet": {"host": "10.0.0.1"}}
    ),
    "an init container": lambda pod: pod.update(initContainers=[{"name": "first"}]),
}


@pytest.mark.parametrize("change", _WORSE)
def test_what_the_profile_forbids_is_seen(change: str) -> None:
    pod = copy.deepcopy(next(pod for _, pod in pods(RENDERED["current"]())))
    assert violations(pod) == []
    _WORSE[change](pod)
    assert violations(pod)


def test_a_dockerfiles_own_user_is_left_to_it_but_must_not_be_root() -> None:
    release = CASES["dockerfile"][0]
    for _, pod in pods(render(replace(release), Settings())):
        assert "runAsUser" not in pod["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"] is True
