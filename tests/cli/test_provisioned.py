"""Services that somebody else makes, and what becomes of binding them, without a cluster."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gitreceive import acting
from gitreceive.access import LOCAL_ADMINISTRATOR
from gitreceive.acting import Actor
from gitreceive.cli.provisioned import make, unmake
from gitreceive.cli.services import rows_of
from gitreceive.config import Settings
from gitreceive.errors import ConflictError, NotFoundError, RolloutError
from gitreceive.jobs import JobRunner
from gitreceive.manifests.provisioning import declared
from gitreceive.model import AppName, JobState, KindStatus, SecretKey, ServiceOrder
from gitreceive.ports import Platform
from tests.cli.conftest import Cli
from tests.cli.place import Place
from tests.fake_registry import FakeRegistry
from tests.fake_source_store import FakeSourceStore
from tests.fakes import FakeBuilder, FakeRunImages

SHOP = AppName("shop")
ORDER = ServiceOrder("postgresql", "db", "2Gi")
DATABASE = {"DATABASE_URL": SecretKey("db-app", "uri")}


@pytest.fixture
def platform(place: Place) -> Iterator[Platform]:
    """An app is live on a target that makes all kinds but one."""
    place.live("shop")
    place.target.live[SHOP] = place.ledger.release(SHOP, 1)
    kinds = declared(Settings()).values()
    place.target.kinds = tuple(
        KindStatus(kind, "not installed" if kind.name == "redis" else "") for kind in kinds
    )
    images = FakeRunImages(FakeRegistry())
    parts = (place.registry, place.target, place.ledger, place.logbook)
    with acting.acting(Actor(LOCAL_ADMINISTRATOR.name), "services create"):
        yield Platform(FakeSourceStore(), FakeBuilder(), *parts, "bookworm", images)


def bound(place: Place) -> dict[str, SecretKey]:
    return dict(place.ledger.settings(SHOP).runtime.secret_keys)


def test_what_was_made_is_bound_by_a_release_and_gone_after_another(
    platform: Platform, place: Place, runner: JobRunner
) -> None:
    status, done = make(platform, SHOP, ORDER, None, log=False)
    assert (status.state, status.size, done.well) == ("ready", "2Gi", True)
    assert done.job
    assert (done.job.title, done.job.release) == ("bind service db", 2)
    assert dict(place.target.live[SHOP].settings.runtime.secret_keys) == DATABASE
    again, done = make(platform, SHOP, replace(ORDER, size=None), None, log=False)
    assert (again.size, done.job, done.changed) == ("2Gi", None, False)
    (row,) = rows_of(place.target, SHOP, place.ledger.settings(SHOP))
    assert (row["by"], row["service"], row["kind"], row["state"]) == ("service", "db", "postgresql", "ready")
    done, gone = unmake(platform, SHOP, "db", log=False)
    assert (gone, bound(place), place.target.made[SHOP]) == (True, {}, {})
    assert place.target.live[SHOP].number == 3


def test_one_that_cannot_be_unbound_stays_with_what_is_stored_in_it(
    platform: Platform, place: Place, runner: JobRunner
) -> None:
    make(platform, SHOP, ORDER, None, log=False)
    place.target.failure = RolloutError("web does not start")
    done, gone = unmake(platform, SHOP, "db", log=False)
    assert done.job
    assert (gone, done.job.state) == (False, JobState.FAILED)
    assert list(place.target.made[SHOP]) == ["db"]
    assert bound(place) == DATABASE


def test_who_stops_waiting_binds_nothing_and_the_next_one_does(
    platform: Platform, place: Place, runner: JobRunner, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    def stop(_order: ServiceOrder) -> None:
        raise KeyboardInterrupt

    place.target.during_making = stop
    with pytest.raises(SystemExit) as ended:
        make(platform, SHOP, ORDER, None, log=True)
    assert ended.value.code == 130
    assert b"Not waiting any more: db is being made" in capsysbinary.readouterr().err
    assert bound(place) == {}
    (row,) = rows_of(place.target, SHOP, place.ledger.settings(SHOP))
    assert (row["variables"], row["state"]) == ([], "being made, not bound")
    place.target.during_making = lambda _order: None
    make(platform, SHOP, ORDER, None, log=False)
    assert bound(place) == DATABASE


def test_a_variable_that_means_something_else_is_not_taken(
    platform: Platform, place: Place, cli: Cli, runner: JobRunner
) -> None:
    make(platform, SHOP, ORDER, None, log=False)
    other = ServiceOrder("mariadb", "old")
    with pytest.raises(ConflictError, match="DATABASE_URL comes from Secret db-app"):
        make(platform, SHOP, other, None, log=False)
    assert list(place.target.made[SHOP]) == ["db"]
    make(platform, SHOP, other, "OLD_", log=False)
    make(platform, SHOP, other, None, log=False)
    assert bound(place) == {**DATABASE, "OLD_DATABASE_URL": SecretKey("old-login", "url")}
    cli("config", "set", "shop", "AMQP_URL=amqp://x").ok()
    with pytest.raises(ConflictError, match="AMQP_URL is in the app's config"):
        make(platform, SHOP, ServiceOrder("rabbitmq", "mq"), None, log=False)
    cli("services", "unbind", "shop", "DATABASE_URL").failed(4, "comes from Secret db-app", "--secret db-app")


def test_nothing_is_made_for_an_app_that_is_locked_or_of_a_kind_that_is_not_there(
    platform: Platform, place: Place, cli: Cli
) -> None:
    with pytest.raises(NotFoundError, match="no kind of service 'mysql'"):
        make(platform, SHOP, ServiceOrder("mysql", "db"), None, log=False)
    cli("lock", "shop", "-m", "audit").ok()
    with pytest.raises(ConflictError, match="locked"):
        make(platform, SHOP, ORDER, None, log=False)
    assert place.target.made.get(SHOP, {}) == {}


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("create", "shop", "postgresql", "db"), 4, "the docker target makes no services"),
        (("kinds",), 4, "the docker target makes no services"),
        (("info", "shop", "db"), 3, "shop has no service 'db'"),
        (("destroy", "shop", "db"), 3, "shop has no service 'db'"),
        (("create", "shop", "postgresql", "web"), 2, "is a name of the app's own objects"),
        (("create", "shop", "postgresql", "db", "--size", "5"), 2, "'5' is no size of what a service stores"),
        (("create", "shop", "postgresql", "db", "--version", "16;x"), 2, "is no version"),
        (("create", "--app", "shop", "postgresql"), 2, "a kind and a name are needed"),
        (("bind", "shop", "--secret", "x", "--key", "uri"), 2, "'uri' is not KEY=NAME"),
        (("bind", "shop", "--secret", "x", "--key", "uri=A", "--prefix", "B_"), 2, "are two ways"),
        (("bind", "shop", "A=1", "--key", "uri=A"), 2, "--key is for --secret alone"),
    ],
)
def test_what_cannot_be_is_refused(
    cli: Cli, place: Place, words: tuple[str, ...], code: int, text: str
) -> None:
    cli("services", *words).failed(code, text)
