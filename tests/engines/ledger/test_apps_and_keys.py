"""Apps, users and their keys, stacks."""

from datetime import UTC, datetime, timedelta

import pytest

from gitreceive.errors import (
    ConflictError,
    NotFoundError,
)
from gitreceive.model import (
    AppName,
    Review,
    ReviewRules,
)
from gitreceive.ports import Ledger
from tests.engines.ledger.words import ANN, BLOG, BOB, SHOP, go_live, push


def test_an_app_is_read_as_it_was_created(empty: Ledger) -> None:
    app = empty.create_app(SHOP, ANN, "trunk")
    assert (app.name, app.owner, app.branch) == (SHOP, ANN, "trunk")
    assert abs(app.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert empty.app(SHOP) == app
    assert isinstance(empty.app(SHOP).name, AppName)


def test_a_name_is_given_once(ledger: Ledger) -> None:
    with pytest.raises(ConflictError, match="shop"):
        ledger.create_app(SHOP, BOB, "main")
    assert ledger.app(SHOP).owner == ANN


def test_apps_are_listed_by_name(ledger: Ledger) -> None:
    ledger.create_app(AppName("a-b"), ANN, "main")
    ledger.create_app(AppName("ab"), ANN, "main")
    ledger.create_app(AppName("a1"), ANN, "main")
    assert [app.name for app in ledger.apps()] == ["a-b", "a1", "ab", "blog", "shop"]


def test_an_unknown_app_is_told(empty: Ledger) -> None:
    with pytest.raises(NotFoundError, match="shop"):
        empty.app(SHOP)
    with pytest.raises(NotFoundError, match="shop"):
        empty.delete_app(SHOP)
    with pytest.raises(NotFoundError, match="shop"):
        empty.enqueue(push())


def test_a_review_app_is_listed_with_what_it_shows_and_stays_longer(empty: Ledger) -> None:
    until = datetime(2026, 3, 4, 5, 6, 7, 89000, tzinfo=UTC)
    empty.create_app(SHOP, ANN, "main")
    empty.create_app(BLOG, ANN, "main")
    made = empty.create_app(AppName("shop-x"), ANN, "fix/ü", Review(SHOP, "fix/ü", until))
    assert empty.app(made.name) == made
    assert made.review == Review(SHOP, "fix/ü", until)
    assert empty.reviews() == empty.reviews(SHOP) == (made,)
    assert empty.reviews(BLOG) == ()
    later = empty.keep_review(made.name, until + timedelta(days=1))
    assert later.review == Review(SHOP, "fix/ü", until + timedelta(days=1))
    assert empty.app(made.name) == later
    with pytest.raises(NotFoundError, match="no review app"):
        empty.keep_review(SHOP, until)


def test_what_is_set_for_review_apps_is_compared_and_swapped(ledger: Ledger) -> None:
    rules = ReviewRules(wanted=True, seconds=60, inherit=("A", "B"))
    assert ledger.set_reviews(SHOP, ReviewRules(), rules).reviews == rules
    assert ledger.app(SHOP).reviews == rules
    assert ledger.app(BLOG).reviews == ReviewRules()
    with pytest.raises(ConflictError, match="changed just now"):
        ledger.set_reviews(SHOP, ReviewRules(), rules)


def test_the_buildpacks_of_an_app_are_kept_in_order(ledger: Ledger) -> None:
    assert ledger.app(SHOP).buildpacks == ()
    named = ("gitreceive/nodejs", "./ci/päck", "docker://r:5000/a@sha256:" + "a" * 64)
    changed = ledger.set_buildpacks(SHOP, (), named)
    assert changed.buildpacks == named
    assert ledger.app(SHOP) == changed
    assert ledger.app(BLOG).buildpacks == ()
    assert ledger.set_buildpacks(SHOP, named, ()).buildpacks == ()


def test_buildpacks_that_somebody_else_has_changed_stay_as_they_are(ledger: Ledger) -> None:
    ledger.set_buildpacks(SHOP, (), ("a",))
    with pytest.raises(ConflictError, match="changed just now"):
        ledger.set_buildpacks(SHOP, (), ("b",))
    assert ledger.app(SHOP).buildpacks == ("a",)
    with pytest.raises(NotFoundError, match="none"):
        ledger.set_buildpacks(AppName("none"), (), ("b",))


def test_an_app_with_work_under_way_is_not_deleted(ledger: Ledger) -> None:
    job = ledger.enqueue(push())
    with pytest.raises(ConflictError, match=str(job.id)):
        ledger.delete_app(SHOP)
    assert ledger.job(job.id) == job


def test_a_deleted_app_takes_its_jobs_and_releases_along_and_ids_are_not_used_again(ledger: Ledger) -> None:
    last = go_live(ledger)
    ledger.delete_app(SHOP)
    with pytest.raises(NotFoundError):
        ledger.job(last.id)
    assert (ledger.jobs(SHOP), ledger.releases(SHOP), ledger.current_release(SHOP)) == ((), (), None)
    ledger.create_app(SHOP, BOB, "main")
    assert ledger.current_release(SHOP) is None
    assert ledger.enqueue(push()).id > last.id


def test_a_key_leads_to_its_user(empty: Ledger) -> None:
    key = empty.add_key(ANN, "ssh-ed25519", "AAAAC3", "ann@laptop", "SHA256:one", admin=False)
    assert (key.user, key.algorithm, key.blob) == (ANN, "ssh-ed25519", "AAAAC3")
    assert (key.comment, key.fingerprint) == ("ann@laptop", "SHA256:one")
    found = empty.user_of_key("ssh-ed25519", "AAAAC3")
    assert found == empty.user(ANN)
    assert found
    assert found.admin is False


def test_a_part_of_a_key_or_another_algorithm_leads_to_nobody(empty: Ledger) -> None:
    empty.add_key(ANN, "ssh-ed25519", "AAAAC3", "", "SHA256:one", admin=False)
    for algorithm, blob in (
        ("ssh-ed25519", "AAAAC"),
        ("ssh-ed25519", "aaaac3"),
        ("ssh-ed25519", "%"),
        ("ssh-rsa", "AAAAC3"),
    ):
        assert empty.user_of_key(algorithm, blob) is None


def test_a_key_belongs_to_one_user(empty: Ledger) -> None:
    empty.add_key(ANN, "ssh-ed25519", "AAAAC3", "", "SHA256:one", admin=False)
    with pytest.raises(ConflictError, match="SHA256:one"):
        empty.add_key(BOB, "ssh-ed25519", "AAAAC3", "", "SHA256:one", admin=True)
    with pytest.raises(NotFoundError, match="bob"):
        empty.user(BOB)


def test_a_user_once_administrator_stays_it(empty: Ledger) -> None:
    empty.add_key(ANN, "ssh-ed25519", "A1", "", "SHA256:one", admin=False)
    assert not empty.user(ANN).admin
    empty.add_key(ANN, "ssh-ed25519", "A2", "", "SHA256:two", admin=True)
    empty.add_key(ANN, "ssh-ed25519", "A3", "", "SHA256:three", admin=False)
    assert empty.user(ANN).admin
    assert [key.fingerprint for key in empty.keys(ANN)] == ["SHA256:one", "SHA256:two", "SHA256:three"]


def test_a_known_key_makes_its_own_user_administrator_once(empty: Ledger) -> None:
    key = empty.add_key(ANN, "ssh-ed25519", "A1", "laptop", "SHA256:one", admin=False)
    assert empty.add_key(ANN, "ssh-ed25519", "A1", "other", "SHA256:one", admin=True) == key
    assert empty.user(ANN).admin
    assert empty.keys() == (key,)
    for user, admin in ((ANN, True), (ANN, False), (BOB, True)):
        with pytest.raises(ConflictError, match="SHA256:one"):
            empty.add_key(user, "ssh-ed25519", "A1", "", "SHA256:one", admin=admin)


def test_a_removed_key_opens_nothing(empty: Ledger) -> None:
    key = empty.add_key(ANN, "ssh-ed25519", "A1", "", "SHA256:one", admin=False)
    other = empty.add_key(BOB, "ssh-ed25519", "B1", "", "SHA256:two", admin=False)
    assert empty.remove_key("SHA256:one") == key
    assert empty.user_of_key("ssh-ed25519", "A1") is None
    assert empty.keys() == (other,)
    with pytest.raises(NotFoundError, match="SHA256:one"):
        empty.remove_key("SHA256:one")


def test_a_sound_ledger_passes_its_checks(ledger: Ledger) -> None:
    assert all(check.ok for check in ledger.check())
