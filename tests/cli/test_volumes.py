"""Volumes, as they are typed."""

import pytest

from gitreceive.cli.apps import with_volumes
from gitreceive.cli.volumes import described, rows_of
from gitreceive.errors import RolloutError
from gitreceive.jobs import JobRunner
from gitreceive.model import AppName, JobState, SettingsChange, Volume, VolumeStatus
from gitreceive.stories.removal import remove
from gitreceive.voice import Voice
from tests.cli.conftest import Cli
from tests.cli.people import has_key
from tests.cli.place import Place
from tests.platform import SHOP as WORLD_SHOP
from tests.platform import World

SHOP = AppName("shop")
ADD = ("volumes", "add", "shop", "uploads", "--mount", "/data")


@pytest.fixture
def live(place: Place) -> Place:
    place.live("shop", processes=("web", "worker", "release"))
    place.target.live[SHOP] = place.ledger.release(SHOP, 1)
    return place


def volumes(place: Place) -> dict[str, Volume]:
    return dict(place.ledger.settings(SHOP).runtime.volumes)


def test_a_volume_is_a_release_and_what_follows_is_said(cli: Cli, live: Place, runner: JobRunner) -> None:
    said = cli(*ADD, "--size", "2Gi").ok().err
    assert "one process of web has it at a time: web stays at one" in said
    assert "on Docker nothing limits how much is in it" in said
    assert "shop v2 is live after" in said
    assert volumes(live) == {"uploads": Volume("/data", ("web",), "2Gi")}
    assert live.versions("shop")[0] == "Mount volume uploads at /data"
    assert [status.name for status in live.target.volumes(SHOP)] == ["uploads"]
    assert cli(*ADD, "--json").ok().json()["result"] == "unchanged"
    cli(*ADD, "--size", "1Gi").failed(2, "volume uploads has 2Gi, and a volume only grows")


def test_no_more_than_one_process_is_asked_for_while_it_has_a_volume(
    cli: Cli, live: Place, runner: JobRunner
) -> None:
    cli(*ADD).ok()
    why = "web cannot be scaled to 2: volume uploads is mounted by one process at a time"
    cli("ps", "scale", "shop", "web=2", "worker=2").failed(2, why, "gitreceive volumes remove uploads")
    assert live.ledger.settings(SHOP).formation.scale == {}
    cli("ps", "scale", "shop", "web=0", "worker=2").ok()
    cli("volumes", "add", "shop", "more", "--mount", "/m", "--process", "worker").failed(
        2, "worker cannot be scaled to 2: volume more is mounted by one process at a time"
    )
    shared = ("--shared", "--process", "web", "--process", "worker")
    said = cli("volumes", "add", "shop", "all", "--mount", "/all", *shared).ok().err
    assert "at a time" not in said
    assert volumes(live)["all"] == Volume("/all", ("web", "worker"), "1Gi", shared=True)
    cli("ps", "scale", "shop", "worker=3").ok()


def test_what_is_unmounted_is_kept_and_can_be_mounted_again(cli: Cli, live: Place, runner: JobRunner) -> None:
    cli(*ADD).ok()
    said = cli("volumes", "remove", "shop", "uploads").ok().err
    assert "What is in volume uploads is kept" in said
    assert volumes(live) == {}
    assert [status.name for status in live.target.volumes(SHOP)] == ["uploads"]
    told = cli("volumes", "add", "shop", "uploads", "--mount", "/files", "--json").ok().json()
    assert (told["result"], told["title"], told["release"]) == ("live", "mount volume uploads at /files", 4)
    assert cli("volumes", "remove", "shop", "uploads", "--json").ok().json()["destroyed"] is False


def test_what_cannot_be_unmounted_is_told_and_stays(cli: Cli, live: Place, runner: JobRunner) -> None:
    cli(*ADD).ok()
    live.target.failure = RolloutError("web crashed")
    said = cli("volumes", "remove", "shop", "uploads", "--json")
    assert (said.code, said.json()["result"], said.json()["destroyed"]) == (1, "failed", False)
    live.target.failure = None
    assert list(volumes(live)) == ["uploads"]
    cli("lock", "shop", "-m", "audit").ok()
    cli("volumes", "remove", "shop", "uploads").failed(4, "shop is locked")


def test_the_first_release_has_what_was_added_before(cli: Cli, place: Place) -> None:
    assert "Kept for the first release of shop: mount volume uploads" in cli(*ADD).ok().err
    place.live("shop")
    assert place.ledger.release(SHOP, 1).settings.runtime.volumes == {"uploads": Volume("/data")}


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("add", "shop", "Uploads", "--mount", "/data"), 2, "cannot name a volume"),
        (("add", "shop", "uploads", "--mount", "data"), 2, "no folder to mount at"),
        (("add", "shop", "uploads", "--mount", "/data/../etc"), 2, "no folder to mount at"),
        (("add", "shop", "uploads", "--mount", "/etc/ssl"), 2, "would hide what the image has there"),
        (("add", "shop", "uploads", "--mount", "/workspace"), 2, "would hide what the image has there"),
        (("add", "shop", "uploads", "--mount", "/data", "--size", "1"), 2, "is no size of a volume"),
        (("add", "shop", "uploads", "--mount", "/data", "--process", "clock"), 3, "no process type 'clock'"),
        (
            ("add", "shop", "uploads", "--mount", "/data", "--process", "web", "--process", "worker"),
            2,
            "cannot both have a volume",
        ),
    ],
)
def test_what_cannot_be_mounted_is_refused(
    cli: Cli, live: Place, words: tuple[str, ...], code: int, text: str
) -> None:
    cli("volumes", *words).failed(code, text)
    assert volumes(live) == {}


def test_volumes_are_for_who_operates_the_app(cli: Cli, live: Place) -> None:
    has_key(live.ledger, "dora")
    cli("access", "add", "shop", "dora", "--role", "developer").ok()
    cli(*ADD, acting="dora").failed(5, "dora may not operate shop")
    cli("volumes", "remove", "shop", "uploads", acting="dora").failed(5, "dora may not operate shop")


def test_the_list_has_what_nothing_mounts_any_more() -> None:
    there = (VolumeStatus("old", "1Gi", None, "bound"), VolumeStatus("uploads", "", 12_300, "there"))
    rows = {row["name"]: row for row in rows_of({"uploads": Volume("/data"), "new": Volume("/new")}, there)}
    assert {name: row["state"] for name, row in rows.items()} == {
        "new": "not made yet",
        "old": "detached",
        "uploads": "there",
    }
    assert (rows["uploads"]["mount"], rows["uploads"]["used"], rows["new"]["size"]) == (
        "/data",
        12_300,
        "1Gi",
    )
    assert described(there) == "old (room for 1Gi), uploads (12.3 kB used)"


def test_what_goes_with_an_app_is_said_before_it_goes() -> None:
    world = World()
    app = world.ledger.app(WORLD_SHOP)
    assert with_volumes(app, world.platform) == ""
    world.deploy(world.commit("one"))
    patch = {"runtime": {"volumes": {"uploads": {"mount": "/data", "size": "2Gi"}}}}
    world.ask(SettingsChange(WORLD_SHOP, app.owner, "mount uploads", patch))
    job = world.ask(
        SettingsChange(WORLD_SHOP, app.owner, "unmount it", {"runtime": {"volumes": {"uploads": None}}})
    )
    assert job.state is JobState.LIVE
    with_what = ", and its volumes with what is in them: uploads (room for 2Gi)"
    assert with_volumes(app, world.platform) == with_what
    said: list[bytes] = []
    remove(world.platform, app, Voice(said.append))
    assert b"and its volumes with what is in them: uploads" in b"".join(said)
    assert world.target.volumes(WORLD_SHOP) == ()
