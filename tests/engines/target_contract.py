"""What every Target keeps, told once. A test module subclasses ``TargetContract`` and gives it a ``stage``."""

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import CanceledError, ConflictError
from gitreceive.model import (
    AppSettings,
    Digest,
    Formation,
    ImageRef,
    LogQuery,
    ProcessType,
    Runtime,
    Secret,
    Volume,
)
from tests.engines.attached_contract import AttachedContract
from tests.engines.stage import TICKER, Stage, until
from tests.engines.target_record import TargetRecord

# writes where it began, and ends where another has the folder at the same time
KEEPER = """
import fcntl, http.server, os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
lock = open('/data/lock', 'w')
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
with open('/data/begun', 'a') as begun:
    begun.write(os.environ['GITRECEIVE_RELEASE'] + ' ')
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open('/data/begun', 'rb').read()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), Handler).serve_forever()
"""
CRASH = "import sys; print('reading settings', flush=True); sys.exit('KeyError: DATABASE_URL')"
ENDS = "print('all done')"


def scaled(**counts: int) -> AppSettings:
    """By process type."""
    return AppSettings(formation=Formation(scale=counts))


class TargetContract(TargetRecord, AttachedContract):
    """Needs a fixture ``stage`` that destroys its app at the end."""

    def test_a_release_answers_at_its_url(self, stage: Stage) -> None:
        assert stage.target.url(stage.app) is None
        assert stage.target.running(stage.app) is None
        stage.roll_out(stage.release(1, worker=TICKER))
        assert stage.get() == "v1 hello-canary"
        assert stage.target.running(stage.app) == 1
        assert stage.states() == {("web", "up", 1), ("worker", "up", 1)}
        assert b"web" in stage.said
        assert b"hello-canary" not in stage.said

    def test_no_request_fails_while_releases_replace_each_other(self, stage: Stage) -> None:
        stage.roll_out(stage.release(1))
        answers: set[str] = set()
        failures: list[str] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                try:
                    answers.add(stage_get())
                except (OSError, http.client.HTTPException) as error:
                    failures.append(repr(error))
                time.sleep(0.005)

        url = stage.target.url(stage.app)
        assert url is not None
        stage_get = _getter(url)
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in (2, 3):
                stage.roll_out(stage.release(number))
            time.sleep(7)  # until the replaced ones are gone
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert failures == []
        assert answers == {f"v{number} hello-canary" for number in (1, 2, 3)}

    def test_a_crash_is_told_with_its_last_lines_and_the_old_release_still_serves(self, stage: Stage) -> None:
        first = stage.release(1)
        stage.roll_out(first)
        since = time.monotonic()
        error = stage.fail(stage.release(2, web=CRASH), first)
        assert time.monotonic() - since < 30
        assert "web" in error.message
        assert "exit 1" in error.message
        assert len(error.message) < 200
        assert "\n" not in error.message
        assert b"reading settings" in stage.said
        assert b"KeyError: DATABASE_URL" in stage.said
        assert stage.get() == "v1 hello-canary"
        assert stage.target.running(stage.app) == 1
        assert stage.states() == {("web", "up", 1)}

    def test_a_first_release_that_fails_leaves_nothing(self, stage: Stage) -> None:
        stage.fail(stage.release(1, web=CRASH), None)
        assert stage.target.url(stage.app) is None
        assert stage.target.running(stage.app) is None
        assert stage.states() == set()

    def test_a_worker_that_ends_fails_the_release(self, stage: Stage) -> None:
        error = stage.fail(stage.release(1, worker=ENDS), None)
        assert "worker" in error.message
        assert "exit 0" in error.message

    def test_a_command_that_is_not_there_is_named(self, stage: Stage) -> None:
        release = stage.release(1)
        image = replace(release.image, processes=(ProcessType("web", ("gunicron", "app:app")),))
        assert "gunicron" in stage.fail(replace(release, image=image), None).message

    def test_an_image_that_cannot_be_pulled_is_said(self, stage: Stage) -> None:
        release = stage.release(1)
        missing = replace(release.image, ref=ImageRef(stage.image.repository, Digest("sha256:" + "0" * 64)))
        since = time.monotonic()
        error = stage.fail(replace(release, image=missing), None)
        assert time.monotonic() - since < 30
        assert "pull" in error.message

    def test_rolling_out_the_same_release_again_keeps_it_running(self, stage: Stage) -> None:
        release = stage.release(1)
        stage.roll_out(release)
        before = {status.instance for status in stage.target.processes(stage.app)}
        stage.roll_out(release)
        assert {status.instance for status in stage.target.processes(stage.app)} == before

    def test_a_release_without_config_can_be_rolled_out_twice(self, stage: Stage) -> None:
        release = stage.release(1, config={})
        stage.roll_out(release)
        stage.roll_out(release)
        assert stage.get() == "v1 "

    def test_a_number_that_is_taken_again_gets_its_own_config(self, stage: Stage) -> None:
        first = stage.release(1)
        stage.roll_out(first)
        stage.fail(stage.release(2, web=CRASH, config={"GREETING": Secret("one")}), first)
        stage.roll_out(stage.release(2, config={"GREETING": Secret("two")}))
        stage.get_eventually("v2 two")

    def test_put_back_after_the_switch_brings_the_previous_release_again(self, stage: Stage) -> None:
        first, second = stage.release(1), stage.release(2, worker=TICKER)
        stage.roll_out(first)
        stage.roll_out(second)
        stage.target.put_back(second, first, stage.log)
        stage.get_eventually("v1 hello-canary")
        assert stage.target.running(stage.app) == 1
        assert stage.states() == {("web", "up", 1)}

    def test_process_types_and_replicas_that_are_gone_are_removed(self, stage: Stage) -> None:
        stage.roll_out(stage.release(1, worker=TICKER, settings=scaled(web=2, worker=2)))
        assert len([s for s in stage.target.processes(stage.app) if s.state == "up"]) == 4
        stage.roll_out(stage.release(2))
        assert stage.states() == {("web", "up", 2)}

    def test_another_scale_of_the_same_release_leaves_what_runs_as_it_is(self, stage: Stage) -> None:
        release = stage.release(1)
        stage.roll_out(release)
        (first,) = stage.target.processes(stage.app)
        stage.roll_out(replace(release, settings=scaled(web=2)))
        up = {s.instance: s for s in stage.target.processes(stage.app) if s.state == "up"}
        assert (len(up), up[first.instance].restarts) == (2, 0)
        stage.roll_out(release)
        assert [s.state for s in stage.target.processes(stage.app) if s.state != "stopping"] == ["up"]

    def test_a_volume_is_one_process_s_and_outlives_what_mounts_it(self, stage: Stage) -> None:
        kept = AppSettings(runtime=Runtime(volumes={"uploads": Volume("/data")}))
        with stage.volume(stage.app, "uploads"):
            second = stage.release(2, web=KEEPER, settings=kept)
            stage.roll_out(stage.release(1, web=KEEPER, settings=kept))
            stage.get_eventually("v1 ")
            stage.roll_out(second)
            stage.get_eventually("v1 v2 ")
            stage.fail(stage.release(3, web=CRASH, settings=kept), second)
            stage.get_eventually("v1 v2 v2 ")
            with pytest.raises(ConflictError, match="mounts volume uploads"):
                stage.target.remove_volume(stage.app, "uploads")
            stage.roll_out(stage.release(3))
            assert [status.name for status in stage.target.volumes(stage.app)] == ["uploads"]
            stage.roll_out(stage.release(4, web=KEEPER, settings=kept))
            stage.get_eventually("v1 v2 v2 v4 ")
            stage.roll_out(stage.release(5))
            assert stage.target.remove_volume(stage.app, "uploads")
            until(lambda: str(stage.target.volumes(stage.app)), lambda listed: listed == "()")
            assert not stage.target.remove_volume(stage.app, "uploads")

    def test_a_cancel_stops_the_roll_out_within_seconds(self, stage: Stage) -> None:
        cancel = Cancellation()
        threading.Timer(1.5, cancel.request, ("somebody canceled it",)).start()
        since = time.monotonic()
        release = stage.release(1, web="import time; time.sleep(600)")
        with pytest.raises(CanceledError, match="somebody canceled it"):
            stage.target.roll_out(release, stage.log, cancel)
        assert time.monotonic() - since < 6
        stage.target.put_back(release, None, stage.log)

    def test_logs_are_by_time_and_by_process(self, stage: Stage) -> None:
        stage.roll_out(stage.release(1, worker=TICKER))
        stage.get()
        time.sleep(0.5)
        lines = list(stage.target.logs(stage.app, LogQuery(lines=None)))
        assert [line.time for line in lines] == sorted(line.time for line in lines)
        assert {line.process for line in lines} == {"web", "worker"}
        only = list(stage.target.logs(stage.app, LogQuery(process="worker", lines=3)))
        assert len(only) == 3
        assert all(line.text.startswith("tick v1") for line in only)

    def test_followed_logs_go_on_into_the_next_release_without_a_gap(self, stage: Stage) -> None:
        stage.roll_out(stage.release(1, web=None, worker=TICKER))
        followed = stage.target.logs(stage.app, LogQuery(process="worker", lines=5, follow=True))
        got = [next(followed).text for _ in range(15)]
        numbers = [int(text.split()[2]) for text in got]
        assert numbers == list(range(numbers[0], numbers[0] + 15))
        thread = threading.Thread(target=stage.roll_out, args=(stage.release(2, web=None, worker=TICKER),))
        thread.start()
        seen = until(lambda: next(followed).text, lambda text: text.startswith("tick v2"))
        thread.join()
        followed.close()  # type: ignore[attr-defined]
        assert seen == "tick v2 0"

    def test_the_plan_shows_what_would_run_and_hides_config(self, stage: Stage) -> None:
        plan = stage.target.plan(stage.release(1))
        assert str(stage.image) in plan
        assert "GREETING" in plan
        assert "hello-canary" not in plan

    def test_destroying_what_is_not_there_is_no_error(self, stage: Stage) -> None:
        stage.roll_out(stage.release(1, web=None, worker=TICKER))
        stage.target.destroy(stage.app)
        stage.target.destroy(stage.app)
        assert stage.target.running(stage.app) is None

    def test_the_target_passes_its_own_checks(self, stage: Stage) -> None:
        failed = [check for check in stage.target.check() if not check.ok]
        assert failed == []


def _getter(url: str) -> Callable[[], str]:
    place = urlsplit(url).netloc

    def get() -> str:
        connection = http.client.HTTPConnection(place, timeout=10)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    return get
