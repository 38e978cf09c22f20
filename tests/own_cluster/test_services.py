"""Services that operators make, asked of a real API server with kinds that are served behind it."""

import os
import signal
import threading
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitreceive.config import Settings
from gitreceive.engines.kubernetes_target import permissions
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.sql_ledger import SqlLedger
from gitreceive.model import AppName, SecretKey
from tests.cli.conftest import Cli
from tests.cli.people import has_key, owns
from tests.own_cluster.aggregated_api import AggregatedApi
from tests.own_cluster.control_plane import core
from tests.own_cluster.played_operators import URI, PlayedOperators

pytestmark = pytest.mark.kubernetes
SHOP, SPACE = AppName("shop"), "app-shop"
_POSTGRES = ("services", "create", "shop", "postgresql", "db")


@pytest.fixture(autouse=True)
def shop(
    operators: PlayedOperators, cli: Cli, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """An app that was never pushed."""
    monkeypatch.setenv("GITRECEIVE_TARGET", "kubernetes")
    monkeypatch.setenv("GITRECEIVE_REGISTRY", "registry.test/shops")
    owns(ledger, "alice", "shop")
    yield
    for secret in core(operators.config).list_namespaced_secret(SPACE).items:
        core(operators.config).delete_namespaced_secret(secret.metadata.name, SPACE)


def bound(ledger: SqlLedger) -> dict[str, SecretKey]:
    return dict(ledger.settings(SHOP).runtime.secret_keys)


def value(operators: PlayedOperators, place: SecretKey) -> str:
    data = core(operators.config).read_namespaced_secret(place.secret, SPACE).data
    return b64decode(data[place.key]).decode()


def test_a_service_is_made_and_bound_and_a_second_time_changes_nothing(
    cli: Cli, ledger: SqlLedger, cluster: AggregatedApi, operators: PlayedOperators
) -> None:
    said = cli(*_POSTGRES, "--size", "5Gi", "--version", "16").ok()
    for text in (
        "-----> Making PostgreSQL db, by CloudNativePG",
        "-----> PostgreSQL db is ready",
        "-----> Kept for the first release of shop: bind service db",
    ):
        assert text in said.err
    assert "canary" not in said.out + said.err
    assert bound(ledger) == {"DATABASE_URL": SecretKey("db-app", "uri")}
    assert value(operators, bound(ledger)["DATABASE_URL"]) == URI
    (sent,) = cluster.sent
    labels = {"gitreceive/service": "db", "gitreceive/service-kind": "postgresql", "gitreceive/app": "shop"}
    assert (sent["metadata"]["namespace"], sent["metadata"]["labels"]) == (SPACE, labels)
    assert sent["spec"] == {
        "instances": 1,
        "imageName": "ghcr.io/cloudnative-pg/postgresql:16",
        "storage": {"size": "5Gi"},
    }
    space = core(operators.config).read_namespace(SPACE).metadata.labels
    assert space["pod-security.kubernetes.io/enforce"] == "restricted"

    again = cli(*_POSTGRES, "--json").ok().json()
    assert (again["result"], again["service"]["state"]) == ("unchanged", "ready")
    assert cluster.sent == [sent, sent]
    (row,) = cli("services", "list", "shop", "--json").ok().json()
    assert (row["by"], row["service"], row["variables"], row["state"]) == (
        *("service", "db"),
        *(["DATABASE_URL"], "ready"),
    )
    told = cli("services", "info", "shop", "db", "--json").ok().json()
    assert (told["kind"], told["size"], told["version"], told["variables"]) == (
        *("postgresql", "5Gi", "16"),
        ["DATABASE_URL"],
    )
    bigger = cli(*_POSTGRES, "--size", "9Gi", "--json").ok().json()["service"]
    assert (bigger["size"], bigger["version"], cluster.sent[-1]["spec"]["storage"]["size"]) == (
        "9Gi",
        "16",
        "9Gi",
    )


@pytest.mark.parametrize(
    ("kind", "variable", "secret"),
    [
        ("postgresql-crunchy", "DATABASE_URL", SecretKey("it-pguser-it", "uri")),
        ("rabbitmq", "AMQP_URL", SecretKey("it-default-user", "connection_string")),
        ("mariadb", "DATABASE_URL", SecretKey("it-login", "url")),
        ("redis", "REDIS_URL", SecretKey("it-login", "url")),
    ],
)
def test_each_kind_is_ready_when_its_operator_says_so_and_goes_with_what_was_made_for_it(
    cli: Cli,
    ledger: SqlLedger,
    cluster: AggregatedApi,
    operators: PlayedOperators,
    kind: str,
    variable: str,
    secret: SecretKey,
) -> None:
    cli("services", "create", "--app", "shop", kind, "it").ok()
    assert bound(ledger) == {variable: secret}
    before = value(operators, secret)
    cli("services", "create", "--app", "shop", kind, "it").ok()
    assert value(operators, secret) == before
    if kind == "redis":
        password = value(operators, SecretKey("it-login", "password"))
        assert len(password) == 48
        assert before == f"redis://:{password}@it.app-shop.svc:6379/0"
        assert cluster.sent[0]["spec"]["kubernetesConfig"]["redisSecret"] == {
            "name": "it-login",
            "key": "password",
        }
    cli("services", "destroy", "shop", "it", "--confirm", "it").ok()
    assert cluster.objects == {}
    there = {each.metadata.name for each in core(operators.config).list_namespaced_secret(SPACE).items}
    assert "it-login" not in there


def test_it_is_said_what_would_go_and_what_is_there_goes_with_its_variables(
    cli: Cli, ledger: SqlLedger, cluster: AggregatedApi, operators: PlayedOperators
) -> None:
    cli(*_POSTGRES, "--size", "5Gi").ok()
    refused = cli("services", "destroy", "shop", "db")
    refused.failed(2, "PostgreSQL db of shop, with what is stored in it (5Gi)", "add --confirm db")
    cli("services", "destroy", "shop", "db", "--confirm", "bd").failed(2, "was not removed")
    cli("apps", "destroy", "shop").failed(2, "its services with what is stored in them: db (PostgreSQL)")
    assert len(cluster.objects) == 1
    has_key(ledger, "dora")
    cli("access", "add", "shop", "dora", "--role", "developer").ok()
    for words in (("destroy", "shop", "db", "--confirm", "db"), ("create", "shop", "redis", "cache")):
        cli("services", *words, acting="dora").failed(5, "dora may not operate shop")
    cli("services", "info", "shop", "db", acting="dora").ok()
    gone = cli("services", "destroy", "shop", "db", "--confirm", "db", "--json").ok().json()
    assert (gone["destroyed"], bound(ledger), cluster.objects) == (True, {}, {})
    cli("services", "destroy", "shop", "db", "--confirm", "db").failed(3, "shop has no service 'db'")


def test_one_that_is_not_ready_in_its_time_stays_and_the_same_command_goes_on(
    cli: Cli,
    ledger: SqlLedger,
    operators: PlayedOperators,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = tmp_path / "templates" / "services"
    own.mkdir(parents=True)
    bundled = Path(__file__).parents[2] / "templates" / "services" / "postgresql.toml"
    own.joinpath("postgresql.toml").write_text("deadline = 1\n" + bundled.read_text())
    monkeypatch.setenv("GITRECEIVE_TEMPLATES", str(own.parent))
    operators.go_on.clear()
    late = cli(*_POSTGRES)
    assert "       Setting up primary; Ready: Cluster Is Not Ready" in late.err
    late.failed(
        50, "service db is not ready after 1 s: Setting up primary", "the same command waits for it again"
    )
    warn(operators, "db-1-initdb", "pods is forbidden: exceeded quota")
    cli(*_POSTGRES).failed(50, "Pod db-1-initdb: pods is forbidden: exceeded quota")
    assert bound(ledger) == {}
    (row,) = cli("services", "list", "shop", "--json").ok().json()
    assert (row["variables"], row["state"]) == ([], "being made, not bound")
    monkeypatch.delenv("GITRECEIVE_TEMPLATES")
    operators.go_on.set()
    assert "Going on with PostgreSQL db" in cli(*_POSTGRES).ok().err
    assert "DATABASE_URL" in bound(ledger)


def test_who_stops_waiting_loses_nothing(cli: Cli, ledger: SqlLedger, operators: PlayedOperators) -> None:
    operators.go_on.clear()

    def press() -> None:
        assert operators.waiting.wait(120)
        os.kill(os.getpid(), signal.SIGINT)

    hand = threading.Thread(target=press)
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # which who runs the tests may have it ignored
    try:
        hand.start()
        left = cli(*_POSTGRES)
        hand.join()
    finally:
        signal.signal(signal.SIGINT, before)
    left.failed(130, "Not waiting any more: db is being made")
    operators.go_on.set()
    cli(*_POSTGRES).ok()
    assert "DATABASE_URL" in bound(ledger)


def test_what_the_cluster_refuses_is_told_in_its_own_words(
    cli: Cli, cluster: AggregatedApi, operators: PlayedOperators
) -> None:
    cluster.refuses = 'admission webhook "vcluster.cnpg.io" denied the request: storage.size: too small'
    cli(*_POSTGRES).failed(50, "the cluster refused it", "denied the request: storage.size: too small")
    cluster.refuses = ""
    cli("services", "list", "shop").ok()
    stranger: dict[str, Any] = {"kind": "Cluster", "metadata": {"name": "db", "namespace": SPACE}}
    cluster.objects["clusters", SPACE, "db"] = stranger
    cli(*_POSTGRES).failed(4, "a Cluster db is there already and is not gitreceive's")
    assert cluster.objects["clusters", SPACE, "db"] == stranger


def test_names_that_are_taken_are_refused_before_anything_is_made(
    cli: Cli, cluster: AggregatedApi, operators: PlayedOperators
) -> None:
    cli("config", "set", "shop", "AMQP_URL=amqp://x").ok()
    cli("services", "create", "shop", "rabbitmq", "mq").failed(4, "AMQP_URL is in the app's config")
    cli(*_POSTGRES).ok()
    second = cli("services", "create", "shop", "mariadb", "other")
    second.failed(4, "DATABASE_URL comes from Secret db-app", "--prefix SECOND_ for SECOND_DATABASE_URL")
    cli("services", "create", "shop", "redis", "db").failed(4, "shop has a service db already: postgresql")
    assert [item["kind"] for item in cluster.objects.values()] == ["Cluster"]
    more = ("services", "create", "shop", "postgresql", "reports")
    told = cli(*more, "--prefix", "REPORTS_", "--json").ok().json()["service"]
    assert told["variables"] == ["REPORTS_DATABASE_URL"]
    assert cli(*more, "--json").ok().json()["service"]["variables"] == ["REPORTS_DATABASE_URL"]


def test_it_is_told_what_can_be_had_and_what_is_missing_for_the_rest(
    cli: Cli, cluster: AggregatedApi, operators: PlayedOperators, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {row["kind"]: row for row in cli("services", "kinds", "--json").ok().json()}
    assert {kind: row["why"] for kind, row in found.items()} == dict.fromkeys(
        ("mariadb", "postgresql", "postgresql-crunchy", "rabbitmq", "redis"), ""
    )
    monkeypatch.setenv("GITRECEIVE_KUBERNETES_CONTEXT", "nobody")
    denied = cli("services", "kinds").ok().out
    assert "the server may not get, list, create, patch, delete clusters.postgresql.cnpg.io" in denied
    found_by_doctor = [check.name for check in permissions.check(Api("nobody"), Settings()) if not check.ok]
    assert "cluster permissions: statefulsets.apps" in found_by_doctor
    assert "cluster permissions: clusters.postgresql.cnpg.io" in found_by_doctor


def warn(operators: PlayedOperators, pod: str, message: str) -> None:
    body = {
        "metadata": {"generateName": "warning-"},
        "type": "Warning",
        "reason": "FailedCreate",
        "message": message,
        "involvedObject": {"kind": "Pod", "name": pod, "namespace": SPACE},
        "lastTimestamp": "2026-01-02T03:04:05Z",
    }
    core(operators.config).create_namespaced_event(SPACE, body)
