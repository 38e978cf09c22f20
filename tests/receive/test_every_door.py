"""What git is promised at each door: SSH, HTTP, and SSH with OpenSSH's sshd in front. Pushes by a real git; only what a build does is scripted."""

import os
import re
import secrets
import signal
import threading
from pathlib import Path

import pytest

from gitreceive.model import ZERO_COMMIT, Job, JobId, JobState, Push, PushOptions
from gitreceive.voice import Voice
from tests.fake_receive import BuildFailed
from tests.receive.conftest import SHOP, Clone, Place
from tests.receive.pushes import processes_of, pushing, until


@pytest.fixture(params=["ssh", "http", "openssh"])
def door(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_push_shows_its_build_and_is_accepted_once_live(place: Place, clone: Clone) -> None:
    pushed = clone.push()
    assert pushed.code == 0, pushed.err
    assert re.search(r"^remote: -----> Build 1 of shop: [0-9a-f]{7} by alice", pushed.err, re.MULTILINE)
    assert f"{place.shown_ssh} builds attach 1" in pushed.err
    assert "remote: -----> v1 is live" in pushed.err
    assert "main -> main" in pushed.err
    assert place.head() == clone.head
    assert place.sources.head(SHOP, "refs/gitreceive/builds/1") == clone.head


def test_output_is_shown_while_the_build_runs(place: Place, clone: Clone) -> None:
    go_on = threading.Event()

    def slow(job: Job, voice: Voice) -> None:
        voice.step("first")
        assert go_on.wait(20)
        voice.step("second")

    place.runner.run = slow
    with pushing(clone) as push:
        assert push.stderr
        seen = ""
        while "first" not in seen:
            seen += push.stderr.readline()
        assert "second" not in seen
        go_on.set()
        rest = push.stderr.read()
    assert "second" in rest


def test_a_failed_build_rejects_with_its_reason_and_the_same_push_tries_again(
    place: Place, clone: Clone
) -> None:
    def fail(job: Job, voice: Voice) -> None:
        raise BuildFailed("no buildpack matches: add requirements.txt")

    run = place.runner.run
    place.runner.run = fail
    pushed = clone.push()
    assert pushed.code == 1
    assert "! [remote rejected] main -> main (no buildpack matches: add requirements.txt)" in pushed.err
    assert place.head() == ZERO_COMMIT
    place.runner.run = run
    assert clone.push().code == 0
    assert place.head() == clone.head


def test_push_options_reach_the_build(place: Place, clone: Clone) -> None:
    assert clone.push("-onocache", "-obuildpack=gitreceive/python").code == 0
    cause = place.ledger.job(JobId(1)).cause
    assert isinstance(cause, Push)
    assert cause.options == PushOptions(nocache=True, buildpack="gitreceive/python")


def test_a_clone_of_depth_one_deploys_and_the_next_full_one_too(
    place: Place, clone: Clone, tmp_path: Path
) -> None:
    for number in range(3):
        clone.commit(app_py=f"print({number})\n")
    clone.git("clone", "--quiet", "--depth=1", f"file://{clone.path}", str(tmp_path / "shallow"))
    shallow = Clone(place, tmp_path / "shallow")
    pushed = shallow.push()
    assert pushed.code == 0, pushed.err
    assert place.head() == clone.head
    clone.commit(app_py="print('next')\n")
    pushed = clone.push()
    assert pushed.code == 0, pushed.err
    copied = clone.git("clone", "--quiet", place.url(), str(tmp_path / "copy"))
    assert copied.code == 0, copied.err
    assert Clone(place, tmp_path / "copy").head == clone.head


def test_ctrl_c_leaves_the_build_running(place: Place, clone: Clone) -> None:
    go_on = threading.Event()

    def slow(job: Job, voice: Voice) -> None:
        voice.step("building")
        assert go_on.wait(20)

    place.runner.run = slow
    with pushing(clone) as push:
        assert push.stderr
        while "building" not in push.stderr.readline():
            pass
        os.killpg(push.pid, signal.SIGINT)
        push.wait(10)
    until(lambda: not processes_of(place), seconds=3)
    assert place.ledger.job(JobId(1)).state is JobState.BUILDING
    go_on.set()
    until(lambda: place.ledger.job(JobId(1)).state is JobState.LIVE)
    assert place.head() == clone.head


def test_a_server_that_stops_tells_the_pusher_that_the_build_goes_on(place: Place, clone: Clone) -> None:
    place.runner.paused.set()
    with pushing(clone) as push:
        assert push.stderr
        while "Build 1" not in push.stderr.readline():
            pass
        place.stop()
        assert "(server restarting; build 1 continues: builds attach 1)" in push.stderr.read()
    place.runner.paused.clear()
    until(lambda: place.ledger.job(JobId(1)).state is JobState.LIVE)


def test_an_unknown_app_is_refused_with_the_command_that_creates_it(place: Place, clone: Clone) -> None:
    pushed = clone.push(app="blog")
    assert pushed.code == 128
    assert "there is no app blog\n" in pushed.err
    assert f"to create it: {place.shown_ssh} apps create blog\n" in pushed.err


def test_somebody_elses_app_takes_no_push_but_an_administrators(place: Place, clone: Clone) -> None:
    clone.user = "bob"
    pushed = clone.push()
    assert pushed.code == 128
    assert "bob may not push to shop" in pushed.err
    assert "bob may not see shop" in clone.git("ls-remote", place.url()).err
    clone.user = "root"
    assert clone.push().code == 0


def test_what_is_large_comes_through_whole(place: Place, clone: Clone, tmp_path: Path) -> None:
    """Past 1 MB git sends over HTTP without a length, and asks by an empty request first whether it may."""
    (clone.path / "large.bin").write_bytes(secrets.token_bytes(5_000_000))
    clone.commit()
    pushed = clone.push()
    assert pushed.code == 0, pushed.err
    copied = clone.git("clone", "--quiet", place.url(), str(tmp_path / "copy"))
    assert copied.code == 0, copied.err
    assert (tmp_path / "copy" / "large.bin").read_bytes() == (clone.path / "large.bin").read_bytes()


def test_what_is_too_large_is_refused_with_the_reason_and_not_kept(unstarted: Place, tmp_path: Path) -> None:
    unstarted.policy(max_push_bytes=1_000_000)
    unstarted.start()
    clone = Clone(unstarted, tmp_path / "clone")
    (clone.path / "large.bin").write_bytes(secrets.token_bytes(5_000_000))
    clone.commit()
    pushed = clone.push()
    assert pushed.code == 1
    assert "pack exceeds maximum allowed size" in pushed.err
    objects = unstarted.settings.repositories / "shop.git" / "objects"
    assert [path for path in objects.rglob("*") if path.is_file()] == []


def test_what_is_refused_says_how_to_push_by_the_same_door(place: Place, clone: Clone) -> None:
    pushed = clone.push("main:feature")
    assert pushed.code == 1
    assert "(feature is not deployed, main is)" in pushed.err
    assert f"git push {place.url()} feature:main" in pushed.err


def test_fetching_needs_the_right_to_see_and_shows_what_is_live(
    place: Place, clone: Clone, tmp_path: Path
) -> None:
    clone.push()
    listed = clone.git("-c", "protocol.version=2", "ls-remote", place.url(), GIT_TRACE_PACKET="1")
    assert "< version 2" in listed.err
    assert "refs/gitreceive" not in listed.out
    copied = clone.git("clone", "--quiet", place.url(), str(tmp_path / "copy"))
    assert copied.code == 0, copied.err
    copy = Clone(place, tmp_path / "copy")
    assert copy.head == clone.head
    clone.commit(app_py="print('newer')\n")
    clone.push()
    assert copy.git("pull", "--quiet", "--ff-only").code == 0
    assert copy.head == clone.head
    clone.user = "bob"
    assert "bob may not see shop" in clone.git("ls-remote", place.url()).err


def test_a_client_that_goes_while_it_sends_leaves_nothing_behind(place: Place, clone: Clone) -> None:
    (clone.path / "large.bin").write_bytes(secrets.token_bytes(20_000_000))
    clone.commit()
    objects = place.settings.repositories / "shop.git" / "objects"
    with pushing(clone) as push:
        until(lambda: list(objects.glob("*incoming-*")))
        os.killpg(push.pid, signal.SIGKILL)
        push.wait(10)
    until(lambda: not processes_of(place), seconds=15)
    until(lambda: not list(objects.glob("*incoming-*")))
    assert place.head() == ZERO_COMMIT
    assert not place.ledger.jobs()
