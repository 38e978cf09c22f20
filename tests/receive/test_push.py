"""Pushes by a real git through a real ssh to the real door; only what a build does is scripted. What depends on the door is tried by each
in ``test_every_door.py``.
"""

import re
import threading
from pathlib import Path

import pytest

from gitreceive.model import ZERO_COMMIT, Job, JobId, JobState, ReviewRules
from gitreceive.voice import Voice
from tests.fake_receive import BuildFailed
from tests.receive.conftest import SHOP, Clone, Place
from tests.receive.pushes import pushing, until

MAIN = "refs/heads/main"


def test_pushing_what_is_live_already_does_nothing(place: Place, clone: Clone) -> None:
    clone.push()
    again = clone.push()
    assert (again.code, again.err) == (0, "Everything up-to-date\n")
    assert len(place.ledger.jobs()) == 1


def test_another_branch_is_refused_with_the_command_that_deploys_it(place: Place, clone: Clone) -> None:
    clone.git("switch", "--quiet", "--create", "feature")
    pushed = clone.push("feature")
    assert pushed.code == 1
    assert "! [remote rejected] feature -> feature (feature is not deployed, main is)" in pushed.err
    assert f"git push {place.url()} feature:main" in pushed.err
    assert not place.ledger.jobs()
    assert clone.push("feature:main").code == 0


def test_a_branch_is_deployed_to_an_app_of_its_own_where_the_push_asks_for_a_review(
    place: Place, clone: Clone
) -> None:
    clone.push()
    clone.git("switch", "--quiet", "--create", "fix/a")
    clone.commit(app_py="print('fixed')\n")
    pushed = clone.push("-oreview", "fix/a")
    assert pushed.code == 0, pushed.err
    (review,) = place.ledger.reviews(SHOP)
    assert f"Review app {review.name} of shop, for fix/a" in pushed.err
    assert place.head("refs/heads/fix/a") == clone.head
    job = place.ledger.jobs(review.name)[0]
    assert job.state is JobState.LIVE
    assert place.ledger.jobs(SHOP)[0].id != job.id
    clone.commit(app_py="print('fixed again')\n")
    assert clone.push("fix/a").code == 0, "a branch that has one needs not ask again"
    assert [app.name for app in place.ledger.reviews()] == [review.name]
    there = clone.push("fix/a", app=review.name)
    assert there.code != 0
    assert "is a review app of shop" in there.err
    assert "push its branch, fix/a, to shop" in there.err
    gone = clone.push(":fix/a")
    assert gone.code == 0, gone.err
    assert place.ledger.reviews() == ()
    assert place.head("refs/heads/fix/a").is_zero


def test_each_branch_gets_a_review_app_where_the_apps_rules_want_it(place: Place, clone: Clone) -> None:
    place.ledger.set_reviews(SHOP, ReviewRules(), ReviewRules(wanted=True))
    clone.git("branch", "one")
    clone.git("branch", "two")
    pushed = clone.push("main", "one", "two")
    assert pushed.code == 0, pushed.err
    assert [app.name for app in place.ledger.reviews()] == ["shop-one", "shop-two"]


def test_what_a_review_may_hold_is_bounded_too(unstarted: Place, tmp_path: Path) -> None:
    unstarted.policy(max_files=2)
    unstarted.start()
    clone = Clone(unstarted, tmp_path / "clone")
    clone.commit(a="1", b="2", c="3")
    pushed = clone.push("-oreview", "main:fix")
    assert pushed.code != 0
    assert "more than 2 files" in pushed.err


def test_refs_of_one_push_are_answered_each_on_its_own(place: Place, clone: Clone) -> None:
    clone.git("branch", "feature")
    clone.git("tag", "v1")
    pushed = clone.push("main", "feature", "v1")
    assert pushed.code == 1
    assert re.search(r"\[new branch\]\s+main -> main", pushed.err)
    assert re.search(r"\[new tag\]\s+v1 -> v1", pushed.err)
    assert "feature is not deployed" in pushed.err
    assert place.head() == clone.head
    assert place.head("refs/tags/v1") == clone.head
    assert place.head("refs/heads/feature") == ZERO_COMMIT


def test_an_atomic_push_with_one_refusal_changes_nothing(place: Place, clone: Clone) -> None:
    clone.git("branch", "feature")
    clone.git("tag", "v1")
    pushed = clone.push("--atomic", "main", "feature", "v1")
    assert pushed.code == 1
    assert "feature is not deployed" in pushed.err
    assert not place.ledger.jobs()
    assert place.head() == place.head("refs/tags/v1") == ZERO_COMMIT


def test_an_atomic_push_whose_build_fails_stores_no_tag(place: Place, clone: Clone) -> None:
    def fail(job: Job, voice: Voice) -> None:
        raise BuildFailed("broken")

    place.runner.run = fail
    clone.git("tag", "v1")
    assert clone.push("--atomic", "main", "v1").code == 1
    assert place.head("refs/tags/v1") == ZERO_COMMIT


def test_an_atomic_push_that_deploys_is_accepted(place: Place, clone: Clone) -> None:
    clone.git("tag", "v1")
    assert clone.push("--atomic", "main", "v1").code == 0
    assert place.head("refs/tags/v1") == place.head() == clone.head


def test_mirror_and_all_deploy_the_one_branch(place: Place, clone: Clone) -> None:
    clone.git("branch", "feature")
    clone.git("update-ref", "refs/notes/commits", "HEAD")
    pushed = clone.git("push", "--mirror", place.url())
    assert pushed.code == 1
    assert "only branches and tags are taken" in pushed.err
    assert place.head() == clone.head


def test_tags_are_stored_and_deleted_and_deploy_nothing(place: Place, clone: Clone) -> None:
    clone.git("tag", "--annotate", "--message=one", "v1")
    pushed = clone.push("v1")
    assert pushed.code == 0
    assert "remote:  !     tag v1 stored; tags do not deploy" in pushed.err
    assert place.head("refs/tags/v1") != ZERO_COMMIT
    assert clone.push("--delete", "v1").code == 0
    assert place.head("refs/tags/v1") == ZERO_COMMIT
    assert not place.ledger.jobs()


def test_an_annotated_tag_cannot_stand_for_a_commit(place: Place, clone: Clone) -> None:
    clone.git("tag", "--annotate", "--message=one", "v1")
    pushed = clone.push("v1:refs/heads/main")
    assert "this is a tag, not a commit" in pushed.err
    assert clone.push("v1^{}:refs/heads/main").code == 0


def test_the_branch_that_runs_cannot_be_deleted(place: Place, clone: Clone) -> None:
    clone.push()
    pushed = clone.push("--delete", "main")
    assert "(main cannot be deleted: it is what runs)" in pushed.err
    assert place.head() == clone.head


def test_a_forced_push_deploys_another_history(place: Place, clone: Clone) -> None:
    clone.push()
    clone.git("commit", "--amend", "--message=other")
    assert clone.push().code == 1
    assert clone.push("--force").code == 0
    assert place.head() == clone.head


@pytest.mark.parametrize("option", ["nocahe", "a;b", "nocache=1", "buildpack=../x", "$(id)"])
def test_an_unknown_push_option_is_refused_and_the_known_ones_are_listed(
    place: Place, clone: Clone, option: str
) -> None:
    pushed = clone.push(f"-o{option}")
    assert pushed.code == 1
    assert "known options: -o nocache" in pushed.err
    assert not place.ledger.jobs()


def test_a_submodule_is_refused_by_name(place: Place, clone: Clone) -> None:
    clone.git("update-index", "--add", "--cacheinfo", f"160000,{clone.head},lib/x")
    clone.git("commit", "--quiet", "--message=submodule")
    pushed = clone.push()
    assert "(submodules cannot be deployed: lib/x)" in pushed.err
    assert "its files are not in this repository" in pushed.err


def test_an_lfs_pointer_is_refused_by_name(place: Place, clone: Clone) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    clone.commit(model_bin=pointer)
    pushed = clone.push()
    assert "(Git LFS pointers cannot be deployed: model.bin)" in pushed.err
    assert not place.ledger.jobs()


def test_a_second_push_says_what_it_waits_for(place: Place, clone: Clone) -> None:
    go_on = threading.Event()

    def slow(job: Job, voice: Voice) -> None:
        voice.step("building")
        assert go_on.wait(20)

    place.runner.run = slow
    with pushing(clone) as push:
        assert push.stderr
        while "building" not in push.stderr.readline():
            pass
        clone.commit(app_py="print('second')\n")
        with pushing(clone) as second:
            assert second.stderr
            seen = ""
            while "Waiting" not in seen:
                seen += second.stderr.readline()
            assert re.search(r"-----> Waiting for build 1 by alice \(building, \d+ s\)", seen)
            go_on.set()
            second.stderr.read()
        push.stderr.read()
    assert (push.returncode, second.returncode) == (0, 0)
    assert place.head() == clone.head


def test_a_canceled_build_rejects_and_says_who_canceled(place: Place, clone: Clone) -> None:
    place.runner.paused.set()
    with pushing(clone) as push:
        assert push.stderr
        while "Build 1" not in push.stderr.readline():
            pass
        place.ledger.request_cancel(JobId(1), "bob")
        assert "(canceled by bob)" in push.stderr.read()
    assert place.head() == ZERO_COMMIT


def test_an_unknown_app_is_created_where_the_policy_says_so(unstarted: Place, tmp_path: Path) -> None:
    unstarted.policy(create_on_push=True)
    unstarted.start()
    clone = Clone(unstarted, tmp_path / "clone", user="bob")
    clone.commit(index_html="hello")
    assert clone.push(app="blog").code == 0
    assert [(app.name, app.owner) for app in unstarted.ledger.apps()] == [("blog", "bob"), ("shop", "alice")]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_files": 2}, "more than 2 files"),
        ({"max_depth": 2}, "a folder is more than 2 deep"),
        ({"max_source_bytes": 1 << 20}, "the files hold more than 1 MiB"),
        ({"max_push_bytes": 20_000}, "pack exceeds maximum allowed size"),
    ],
)
def test_a_source_past_a_limit_is_refused_and_none_of_it_kept(
    unstarted: Place, tmp_path: Path, limits: dict[str, object], reason: str
) -> None:
    unstarted.policy(**limits)
    unstarted.start()
    clone = Clone(unstarted, tmp_path / "clone")
    noise = "".join(f"{n * 7919 % 1_000_003:x}" for n in range(300_000))
    clone.commit(a__b__c__d_txt="deep", two_txt=noise, three_txt="3")
    pushed = clone.push()
    assert pushed.code == 1
    assert reason in pushed.err
    objects = unstarted.settings.repositories / "shop.git" / "objects"
    assert [path for path in objects.rglob("*") if path.is_file()] == []


def test_only_the_git_protocol_is_taken_from_the_clients_environment(place: Place, clone: Clone) -> None:
    clone.push()
    listed = clone.git("-c", "protocol.version=2", "ls-remote", place.url(), GIT_TRACE_PACKET="1")
    assert "< version 2" in listed.err
    assert "refs/gitreceive" not in listed.out
    shown = place.ssh(
        "env",
        options=("-oSetEnv=GIT_DIR=/tmp GIT_PROTOCOL=version=2 LD_PRELOAD=/x GITRECEIVE_ACTING_USER=root",),
    )
    assert "GIT_DIR" not in shown.out
    assert "LD_PRELOAD" not in shown.out
    assert '"GITRECEIVE_ACTING_USER": "alice"' in shown.out


def test_two_pushes_of_different_commits_at_once_both_get_a_true_answer(
    place: Place, clone: Clone, tmp_path: Path
) -> None:
    clone.push()
    clone.git("clone", "--quiet", str(clone.path), str(tmp_path / "other"))
    other = Clone(place, tmp_path / "other")
    other.commit(app_py="print('other')\n")
    clone.commit(app_py="print('this')\n")
    place.runner.paused.set()
    with pushing(clone) as one, pushing(other) as two:
        until(lambda: len(place.ledger.jobs()) == 3)
        place.runner.paused.clear()
        assert one.stderr
        assert two.stderr
        said = (one.stderr.read(), two.stderr.read())
    assert sorted((one.returncode, two.returncode)) == [0, 1]
    lost = said[0] if one.returncode else said[1]
    assert re.search(r"\(main of shop has moved to [0-9a-f]{7} while this push waited\)", lost)
    assert place.head() == (other if one.returncode else clone).head
