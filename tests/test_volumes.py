"""Volumes and what apps are bound to: as they are read, in the stories, and as a cluster is told."""

from collections.abc import Mapping
from typing import Any

import pytest

from gitreceive.config import KubernetesSettings, Settings
from gitreceive.engines.docker_target.containers import Place, service
from gitreceive.errors import UsageError
from gitreceive.manifests.rendering import render, render_once
from gitreceive.manifests.templating import Manifest
from gitreceive.model import (
    AppName,
    AppSettings,
    Autoscale,
    Formation,
    JobState,
    ProcessType,
    Promotion,
    Release,
    Rollback,
    Runtime,
    Services,
    SettingsChange,
    UserName,
    Volume,
)
from tests.platform import SHOP, World
from tests.test_manifests import WEB, a_release, by_kind

ADA = UserName("ada")
UPLOADS = {"uploads": {"mount": "/data"}}


def with_volumes(volumes: Mapping[str, Volume], **sections: Any) -> Release:
    return a_release(settings=AppSettings(runtime=Runtime(volumes=volumes), **sections))


def mount(volumes: Mapping[str, Any]) -> SettingsChange:
    return SettingsChange(SHOP, ADA, "mount", {"runtime": {"volumes": volumes}})


def pod_of(release: Release, process: str = "web") -> tuple[dict[str, Any], dict[str, Any]]:
    deployment = by_kind(render(release, Settings()))[f"Deployment/{process}"]
    return deployment["spec"]["strategy"], deployment["spec"]["template"]["spec"]


def test_what_is_written_is_read_again() -> None:
    settings = AppSettings(
        runtime=Runtime(
            volumes={"a": Volume("/a"), "b": Volume("/b", ("web", "worker"), "2Ti", shared=True)},
            secrets={"shop-postgres": "PG_", "plain": ""},
        ),
        services=Services(frozenset({"DATABASE_URL"})),
    )
    assert AppSettings.parse(settings.document()) == settings


@pytest.mark.parametrize(
    ("runtime", "why"),
    [
        ({"volumes": {"a": {"mount": "/data"}, "b": {"mount": "/data"}}}, "lies in"),
        (
            {"volumes": {"a": {"mount": "/data/x"}, "b": {"mount": "/data"}}},
            "/data/x of volume a lies in /data",
        ),
        ({"volumes": {"a": {"mount": "/x", "processes": []}}}, "no process type is named"),
        ({"volumes": {"a": {"mount": "/x:y"}}}, "no folder to mount at"),
        ({"volumes": {"a": {"mount": "/x", "size": "-1Gi"}}}, "is no size of a volume"),
        ({"volumes": {f"v{n}": {"mount": f"/m{n}"} for n in range(21)}}, "20 volumes at most"),
        ({"secrets": {"x": "1_"}}, "cannot begin the name of a variable"),
        ({"secrets": {"x": "GITRECEIVE_"}}, "cannot begin the name of a variable"),
        ({"secrets": {"../x": ""}}, "is no name of a Secret"),
    ],
)
def test_what_cannot_be_is_refused(runtime: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        AppSettings.parse({"runtime": runtime})


def test_volumes_of_other_process_types_may_be_at_the_same_place() -> None:
    both = {"a": {"mount": "/data"}, "b": {"mount": "/data", "processes": ["worker"]}}
    assert len(AppSettings.parse({"runtime": {"volumes": both}}).runtime.volumes) == 2


@pytest.mark.parametrize(
    ("formation", "why"),
    [
        (Formation(scale={"web": 2}), "web cannot be scaled to 2"),
        (Formation(autoscale={"web": Autoscale(1, 3, 70)}), "web cannot be scaled by the cluster"),
    ],
)
def test_two_processes_never_have_what_is_for_one(formation: Formation, why: str) -> None:
    with pytest.raises(UsageError, match=f"{why}: volume uploads is mounted by one process at a time"):
        AppSettings(formation=formation).patched({"runtime": {"volumes": UPLOADS}})
    with pytest.raises(UsageError, match=why):
        AppSettings(runtime=Runtime(volumes={"uploads": Volume("/data")})).patched(
            {"formation": formation.document()}
        )


@pytest.fixture
def world() -> World:
    world = World()
    world.builder.processes = (ProcessType("web"), ProcessType("worker"))
    world.deploy(world.commit("one"))
    return world


def test_a_volume_outlives_the_release_that_mounts_it(world: World) -> None:
    assert world.ask(mount(UPLOADS)).state is JobState.LIVE
    assert world.ask(Rollback(SHOP, ADA, 1)).state is JobState.LIVE
    assert world.target.live[SHOP].settings.runtime.volumes == {}
    assert [status.name for status in world.target.volumes(SHOP)] == ["uploads"]


def test_a_release_that_would_have_too_many_processes_is_not_brought_back(world: World) -> None:
    world.ask(mount(UPLOADS))
    world.ask(mount({"uploads": None}))
    world.ask(SettingsChange(SHOP, ADA, "scale", {"formation": {"scale": {"web": 2}}}))
    job = world.ask(Rollback(SHOP, ADA, 2))
    assert job.state is JobState.FAILED
    assert "web cannot be scaled to 2: volume uploads" in job.reason
    assert (world.target.live[SHOP].number, world.target.live[SHOP].replicas("web")) == (3, 2)


def test_a_promotion_takes_no_volume_along(world: World) -> None:
    world.ask(mount(UPLOADS))
    other = AppName("shop-live")
    world.ledger.create_app(other, ADA, "main")
    live = world.target.live[SHOP]
    world.ask(Promotion(other, ADA, SHOP, live.number, live.image.ref.digest))
    assert world.target.live[other].settings.runtime.volumes == {}
    assert world.target.volumes(other) == ()


def test_a_pod_with_a_volume_is_replaced_and_others_are_rolled() -> None:
    release = with_volumes(
        {"uploads": Volume("/data"), "all": Volume("/all", ("web", "worker"), shared=True)}
    )
    strategy, pod = pod_of(release)
    assert strategy == {"type": "Recreate"}
    assert pod["containers"][0]["volumeMounts"] == [
        {"name": "all", "mountPath": "/all"},
        {"name": "uploads", "mountPath": "/data"},
    ]
    assert pod["securityContext"]["fsGroup"] == 1000
    strategy, pod = pod_of(release, "worker")
    assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}
    assert pod["volumes"] == [{"name": "all", "persistentVolumeClaim": {"claimName": "all"}}]
    _, plain = pod_of(a_release())
    assert not {"volumes", "fsGroup"} & {*plain, *plain["securityContext"]}


def test_claims_say_how_they_are_shared_and_of_which_class_they_are() -> None:
    release = with_volumes({"uploads": Volume("/data", size="5Gi"), "all": Volume("/all", shared=True)})
    claims: Mapping[str, Manifest] = by_kind(
        render(release, Settings(kubernetes=KubernetesSettings(storage_class="fast")))
    )
    assert claims["PersistentVolumeClaim/uploads"]["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "5Gi"}},
    }
    assert claims["PersistentVolumeClaim/all"]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert "storageClassName" not in by_kind(render(release, Settings()))["PersistentVolumeClaim/all"]["spec"]


def test_what_runs_once_has_the_bound_secrets_and_no_volume() -> None:
    runtime = Runtime(volumes={"uploads": Volume("/data")}, secrets={"shop-postgres": "PG_"})
    release = a_release(settings=AppSettings(runtime=runtime))
    *_, pod = render_once(release, ProcessType("release", ("true",)), "release-1", Settings())
    _, web = pod_of(release)
    first, second = web["containers"][0]["envFrom"]
    assert first == {"prefix": "PG_", "secretRef": {"name": "shop-postgres"}}
    assert second["secretRef"]["name"].startswith("config-")  # it comes last, so it counts
    assert pod["spec"]["containers"][0]["envFrom"] == [first, second]
    assert not {"volumes"} & pod["spec"].keys()


def test_a_container_mounts_its_volumes_and_another_mount_is_another_container() -> None:
    def body(volumes: Mapping[str, Volume]) -> dict[str, Any]:
        release = with_volumes(volumes)
        return service(
            release,
            Place(3, "web", 1),
            WEB,
            owned_by="0123",
            host_port=None,
            user="1000:1000",
            settings=Settings().docker,
        )

    mounted, other = body({"uploads": Volume("/data")}), body({"uploads": Volume("/other")})
    assert mounted["HostConfig"]["Mounts"] == [
        {
            "Type": "volume",
            "Source": "gitreceive.0123.shop.volume.uploads",
            "Target": "/data",
            "VolumeOptions": {"NoCopy": True},
        }
    ]
    assert mounted["Labels"]["gitreceive.volumes"] == "uploads"
    assert len({each["Labels"]["gitreceive.spec"] for each in (mounted, other, body({}))}) == 3
    assert "Mounts" not in body({"uploads": Volume("/data", ("worker",))})["HostConfig"]
