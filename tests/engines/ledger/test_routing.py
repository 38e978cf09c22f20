"""A host belongs to one app, whoever asks at the same time; and keys of certificates are kept apart."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import (
    AppName,
    AppSettings,
    Certificate,
    CertificateFacts,
    Domain,
    JobState,
    Routing,
    Secret,
    SettingsChange,
)
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, BLOG, SHOP, claimed, go_live

NONE = AppSettings()
FACTS = CertificateFacts((Domain("shop.example.com"),), datetime(2030, 1, 2, tzinfo=UTC))
CERTIFICATE = Certificate("ab" * 32, FACTS, "chain", Secret("key"))


def domains(*names: str) -> AppSettings:
    return AppSettings(routing=Routing(tuple(Domain(name) for name in names)))


def change(app: AppName, *names: str, given: Mapping[str, Any] | None = {}) -> SettingsChange:
    return SettingsChange(app, ANN, "domains", {"routing": {"domains": dict.fromkeys(names, given)}})


def settle(ledger: Ledger, settings: AppSettings) -> None:
    held = claimed(ledger)
    ledger.settle(held.id, held.fence, settings, {})


def test_a_host_is_its_apps_from_the_moment_that_it_is_asked_for(ledger: Ledger) -> None:
    ledger.enqueue(change(SHOP, "a.example.com"))
    with pytest.raises(ConflictError, match=r"a\.example\.com is taken by another app") as error:
        ledger.enqueue(change(BLOG, "b.example.com", "a.example.com"))
    assert "shop" not in error.value.message + error.value.hint
    assert ledger.jobs(BLOG) == ()
    ledger.enqueue(change(SHOP, "b.example.com"))  # the refused one has claimed nothing


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("*.example.com", "a.example.com"),
        ("a.example.com", "*.example.com"),
        ("*.example.com", "*.example.com"),
    ],
)
def test_a_wildcard_is_for_all_below_it(ledger: Ledger, first: str, second: str) -> None:
    ledger.enqueue(change(SHOP, first))
    with pytest.raises(ConflictError):
        ledger.keep_settings(BLOG, NONE, domains(second))
    ledger.enqueue(change(SHOP, second))


def test_a_wildcard_is_for_one_label_and_no_other_name(ledger: Ledger) -> None:
    ledger.enqueue(change(SHOP, "*.example.com"))
    ledger.enqueue(change(BLOG, "example.com", "a.b.example.com", "*.b.example.com", "an-example.com"))


def test_what_a_failed_job_asked_for_holds_nobody_off(ledger: Ledger) -> None:
    ledger.enqueue(change(SHOP, "a.example.com"))
    held = claimed(ledger)
    ledger.end(held.id, held.fence, JobState.FAILED, "no", {})
    ledger.enqueue(change(BLOG, "a.example.com"))
    with pytest.raises(ConflictError):
        ledger.enqueue(change(SHOP, "a.example.com"))


def test_what_is_removed_or_destroyed_is_free(ledger: Ledger) -> None:
    go_live(ledger)
    ledger.enqueue(change(SHOP, "a.example.com", "b.example.com"))
    settle(ledger, domains("a.example.com", "b.example.com"))
    ledger.enqueue(change(SHOP, "a.example.com", given=None))
    settle(ledger, domains("b.example.com"))
    ledger.keep_settings(BLOG, NONE, domains("a.example.com"))
    with pytest.raises(ConflictError):
        ledger.keep_settings(BLOG, domains("a.example.com"), domains("a.example.com", "b.example.com"))
    ledger.delete_app(SHOP)
    ledger.keep_settings(BLOG, domains("a.example.com"), domains("a.example.com", "b.example.com"))


def test_an_app_that_comes_from_elsewhere_takes_no_host_of_another(ledger: Ledger) -> None:
    ledger.keep_settings(SHOP, NONE, domains("a.example.com"))
    new = replace(ledger.app(BLOG), name=AppName("new"))
    with pytest.raises(ConflictError):
        ledger.take_over(new, {}, domains("a.example.com"), ())
    ledger.take_over(new, {}, domains("b.example.com"), ())
    with pytest.raises(ConflictError):
        ledger.enqueue(change(SHOP, "b.example.com"))


def test_of_all_who_ask_at_once_one_gets_it(ledger: Ledger) -> None:
    apps = [AppName(f"app-{number}") for number in range(8)]
    for app in apps:
        ledger.create_app(app, ANN, "main")

    def ask(app: AppName) -> bool:
        try:
            ledger.enqueue(change(app, "a.example.com"))
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, apps)) == 1


def test_a_certificate_is_kept_with_its_key_until_nothing_names_it(ledger: Ledger) -> None:
    ledger.keep_certificate(SHOP, CERTIFICATE)
    ledger.keep_certificate(SHOP, CERTIFICATE)
    assert ledger.certificate(SHOP, CERTIFICATE.fingerprint) == CERTIFICATE
    named = AppSettings(routing=Routing(certificates={CERTIFICATE.fingerprint: FACTS}))
    ledger.keep_settings(SHOP, NONE, named)
    ledger.forget_certificates(SHOP)
    assert ledger.certificate(SHOP, CERTIFICATE.fingerprint).key == Secret("key")
    ledger.keep_settings(SHOP, named, NONE)
    ledger.forget_certificates(SHOP)
    with pytest.raises(NotFoundError):
        ledger.certificate(SHOP, CERTIFICATE.fingerprint)


def test_a_certificate_that_a_job_is_about_to_set_is_not_forgotten(ledger: Ledger) -> None:
    ledger.keep_certificate(SHOP, CERTIFICATE)
    ledger.enqueue(change(SHOP, "a.example.com"))
    ledger.forget_certificates(SHOP)
    assert ledger.certificate(SHOP, CERTIFICATE.fingerprint) == CERTIFICATE
    with pytest.raises(NotFoundError):
        ledger.certificate(BLOG, CERTIFICATE.fingerprint)
