"""Hosts and certificates as they are typed."""

from pathlib import Path

import pytest

from gitreceive import config, wiring
from gitreceive.jobs import JobRunner
from gitreceive.model import AppName, Domain
from tests.certificates import issue
from tests.cli.conftest import Cli
from tests.cli.people import has_key, owns
from tests.cli.place import Place

SHOP = AppName("shop")


@pytest.fixture(autouse=True)
def routed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITRECEIVE_DOCKER_HTTP_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("GITRECEIVE_DOMAIN", "apps.test")


def hosts(place: Place) -> tuple[str, ...]:
    return place.ledger.settings(SHOP).routing.domains


def test_a_domain_is_added_and_removed_with_no_release(cli: Cli, place: Place, runner: JobRunner) -> None:
    place.live("shop")
    said = cli("domains", "add", "shop", "Shop.test", "bücher.test", acting="alice").ok()
    assert "v1 serves as before" in said.err
    assert hosts(place) == ("shop.test", "xn--bcher-kva.test")
    assert place.target.live[SHOP].settings.routing.domains == hosts(place)
    listed = cli("domains", "list", "shop", "--json", acting="alice").ok().json()
    assert [row["host"] for row in listed] == ["shop.apps.test", "shop.test", "xn--bcher-kva.test"]
    assert cli("domains", "remove", "shop", "bücher.test", "--json").ok().json()["release"] is None
    assert hosts(place) == ("shop.test",)
    assert place.versions("shop") == ["Deploy"]


def test_before_the_first_push_it_is_kept(cli: Cli, place: Place) -> None:
    assert "Kept for the first release" in cli("domains", "add", "shop", "shop.test").ok().err
    assert cli("domains", "https", "shop", "on", "--json").ok().json()["result"] == "kept"
    assert place.ledger.settings(SHOP).routing.https
    assert "Nothing to do" in cli("domains", "https", "shop", "on").ok().err
    assert "sent on to HTTPS" not in cli("domains", "list", "--app", "shop").ok().out
    issued = issue("shop.test")
    cli("certs", "add", "shop", stdin=issued.pem + issued.key_pem).ok()
    assert cli("domains", "list", "--app", "shop").ok().out.count("sent on to HTTPS") == 1


def test_a_host_of_another_app_is_refused_and_its_app_not_named(cli: Cli, place: Place) -> None:
    owns(place.ledger, "bob", "blog")
    cli("domains", "add", "shop", "*.shop.test").ok()
    said = cli("domains", "add", "blog", "a.shop.test", acting="bob")
    said.failed(4, "a.shop.test is taken by another app")
    assert "alice" not in said.err


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("add", "shop", "http://shop.test"), 2, "no scheme, no port, no path"),
        (("add", "shop", "1.2.3.4"), 2, "is not a domain"),
        (("add", "shop", "shop.test/a"), 2, "is not a domain"),
        (("add", "shop", "shop.test\nX: y"), 2, "is not a domain"),
        (("add", "shop"), 2, "no domain is named"),
        (("add", "shop", "blog.apps.test"), 4, "right below apps.test"),
        (("add", "shop", "*.apps.test"), 4, "right below apps.test"),
        (("add", "shop", "apps.test"), 4, "right below apps.test"),
        (("remove", "shop", "other.test"), 3, "other.test is no domain of shop"),
        (("https", "shop", "yes"), 2, "say on or off"),
        (("add", "nobody", "a.test"), 3, "nobody"),
    ],
)
def test_what_cannot_be_is_refused_and_said_why(
    cli: Cli, place: Place, words: tuple[str, ...], code: int, text: str
) -> None:
    cli("domains", *words).failed(code, text)
    assert hosts(place) == ()


def test_where_no_host_is_routed_none_is_taken(
    cli: Cli, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITRECEIVE_DOCKER_HTTP_LISTEN", "")
    cli("domains", "add", "shop", "shop.test").failed(6, "does not route hosts", "docker.http_listen")
    monkeypatch.setenv("GITRECEIVE_TARGET", "kubernetes")
    monkeypatch.setenv("GITRECEIVE_KUBERNETES_EXPOSE", "nodeport")
    cli("domains", "add", "shop", "shop.test").failed(6, "does not route hosts", "kubernetes.expose")


def test_only_who_may_push_changes_hosts_and_certificates(cli: Cli, place: Place) -> None:
    has_key(place.ledger, "bob")
    issued = issue("shop.test")
    for words in (
        *(("domains", "add", "shop", "a.test"), ("domains", "list", "shop")),
        *(("certs", "add", "shop"), ("certs", "list", "shop"), ("domains", "https", "shop", "on")),
    ):
        cli(*words, stdin=issued.pem + issued.key_pem, acting="bob").failed(5, "bob may not")


def test_a_certificate_is_added_renewed_and_removed_and_its_key_never_shown(
    cli: Cli, place: Place, tmp_path: Path
) -> None:
    cli("domains", "add", "shop", "shop.test").ok()
    first, second = issue("shop.test", days=10), issue("shop.test", "*.shop.test")
    said = cli("certs", "add", "shop", stdin=first.pem + first.key_pem, acting="alice").ok()
    assert "it runs out in 9 days" in said.err
    (row,) = cli("certs", "list", "shop", "--json").ok().json()["certificates"]
    assert (row["hosts"], row["days_left"], row["soon"]) == (["shop.test"], 9, True)
    assert "(renew it)" in cli("certs", "list", "shop").ok().out
    (check,) = dict(wiring.checks(config.load()))["certificates"]()
    assert (check.name, check.ok, "9 days left" in check.seen) == ("certificate of shop", False, True)

    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text(second.pem)
    key.write_text(second.key_pem)
    renewed = cli("certs", "add", "shop", "--cert", str(chain), "--key", str(key), "--json").ok()
    (fingerprint,) = place.ledger.settings(SHOP).routing.certificates
    assert fingerprint != row["fingerprint"]
    assert place.ledger.certificate(SHOP, fingerprint).facts.hosts == (
        Domain("*.shop.test"),
        Domain("shop.test"),
    )
    for output in (said, renewed, cli("certs", "list", "shop"), cli("builds", "list", "--app", "shop")):
        assert "PRIVATE" not in output.out + output.err
    assert fingerprint[:12] in cli("domains", "list", "shop").ok().out
    cli("certs", "remove", "shop", "00").failed(3, "no certificate '00'")
    cli("certs", "remove", "shop", fingerprint[:8]).ok()
    assert place.ledger.settings(SHOP).routing.certificates == {}


def test_files_are_not_read_for_somebody_over_ssh(cli: Cli, place: Place) -> None:
    said = cli("certs", "add", "shop", "--cert", "/etc/passwd", acting="alice")
    said.failed(2, "no files of yours are there")


def test_none_can_be_obtained_where_the_operator_named_no_issuer(cli: Cli, place: Place) -> None:
    cli("certs", "auto", "shop", "on").failed(6, "obtains no certificates", "certs add")
    assert "Nothing to do" in cli("certs", "auto", "shop", "off").ok().err
