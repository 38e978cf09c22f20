"""Pushes to apps that are removed while they are under way: a clear refusal, and nothing is left of what is gone."""

from pathlib import Path

from gitreceive.config import Settings, repository_path
from gitreceive.engines.git_store import GitStore
from gitreceive.model import AppName, Cause, Job, JobState
from tests.fake_ledger import FakeLedger
from tests.receive.conftest import SHOP, Clone, Place
from tests.receive.pushes import pushing, until


class LateStore(GitStore):
    """An app is removed just before its repository is made for a push."""

    def __init__(self, settings: Settings, ledger: FakeLedger) -> None:
        super().__init__(settings)
        self._ledger = ledger

    def create(self, app: AppName) -> None:
        self._ledger.delete_app(app)
        super().create(app)


class LateLedger(FakeLedger):
    """A review app is removed just before the first job for it is made."""

    removes = True

    def enqueue(self, cause: Cause) -> Job:
        if self.removes and cause.app != SHOP:
            self.removes = False
            self.delete_app(cause.app)
        return super().enqueue(cause)


def test_no_repository_is_left_of_an_app_that_goes_while_a_push_is_let_in(
    unstarted: Place, tmp_path: Path
) -> None:
    unstarted.sources = LateStore(unstarted.settings, unstarted.ledger)
    unstarted.start()
    clone = Clone(unstarted, tmp_path / "clone")
    clone.commit(app_py="print(1)\n")
    pushed = clone.push()
    assert pushed.code != 0
    assert "there is no app shop" in pushed.err
    assert not repository_path(unstarted.settings, SHOP).exists()
    assert not unstarted.ledger.jobs()


def test_a_push_that_was_let_in_before_its_app_went_is_refused(place: Place, clone: Clone) -> None:
    begun, go = clone.path / "begun", clone.path / "go"
    hook = clone.path / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n: > {begun}\nwhile [ ! -e {go} ]; do sleep 0.02; done\n")
    hook.chmod(0o755)
    with pushing(clone) as push:
        until(begun.exists)
        place.sources.delete(SHOP)
        place.ledger.delete_app(SHOP)
        go.touch()
        assert push.wait(60) != 0
        assert push.stderr
        assert "[remote rejected] main -> main" in push.stderr.read()
    assert not repository_path(place.settings, SHOP).exists()
    assert not place.ledger.jobs()


def test_a_review_app_that_goes_before_its_build_is_asked_for_is_made_anew_by_the_next_push(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path, ledger=LateLedger())
    try:
        place.start()
        clone = Clone(place, tmp_path / "clone")
        clone.commit(app_py="print(1)\n")
        clone.git("switch", "--quiet", "--create", "fix/a")
        pushed = clone.push("-oreview", "fix/a")
        assert pushed.code == 1
        assert "the review app of fix/a was removed just now" in pushed.err
        assert "push again, which makes it anew" in pushed.err
        assert place.ledger.reviews() == ()
        assert not place.ledger.jobs()
        assert place.head("refs/heads/fix/a").is_zero
        assert place.sources.kept(SHOP) == frozenset()

        again = clone.push("-oreview", "fix/a")
        assert again.code == 0, again.err
        (review,) = place.ledger.reviews(SHOP)
        assert place.ledger.jobs(review.name)[0].state is JobState.LIVE
    finally:
        place.end()
