"""What every Target keeps, told once. A test module subclasses ``TargetContract`` and gives it a ``stage``."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import CanceledError, ConflictError, NotFoundError, RolloutError
from gitreceive.model import (
    AppName,
    AppSettings,
    CommitId,
    Digest,
    Formation,
    Image,
    ImageRef,
    LogQuery,
    OneOff,
    ProcessType,
    Release,
    Runtime,
    Secret,
    Terminal,
    UserName,
    Volume,
)
from gitreceive.ports import Attachment, Output, Target
from gitreceive.stories.one_offs import new_name
from gitreceive.voice import Voice
from tests.engines.target_record import TargetRecord

SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (os.environ['GITRECEIVE_RELEASE'] + ' ' + os.environ.get('GREETING', '')).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        print('served', os.environ['GITRECEIVE_RELEASE'], flush=True)
http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), Handler).serve_forever()
"""
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
TICKER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
for n in range(10**6):
    print('tick', os.environ['GITRECEIVE_RELEASE'], n, flush=True)
    time.sleep(0.1)
"""
CRASH = "import sys; print('reading settings', flush=True); sys.exit('KeyError: DATABASE_URL')"
ENDS = "print('all done')"
_CAT = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer); sys.stdout.flush()"


@dataclass
class Stage:
    """One target, one app of its own, and what was said."""

    target: Target
    image: ImageRef
    app: AppName = field(default_factory=lambda: AppName.parse(f"t-{uuid4().hex[:8]}"))
    said: bytearray = field(default_factory=bytearray)
    volume: Callable[[AppName, str], AbstractContextManager[None]] = lambda _app, _name: nullcontext()
    """What the target needs beside itself to have a volume of the app."""

    @property
    def log(self) -> Voice:
        return Voice(self.said.extend)

    def release(
        self, number: int, web: str | None = SERVER, worker: str | None = None, **changes: Any
    ) -> Release:
        processes = tuple(
            ProcessType(name, ("python3", "-u", "-c", program))
            for name, program in (("web", web), ("worker", worker))
            if program is not None
        )
        release = Release(
            app=self.app,
            number=number,
            image=Image(self.image, processes, None, ("test@1",)),
            commit=CommitId("a" * 40),
            config={"GREETING": Secret("hello-canary")},
            user=UserName("ada"),
            description="Deploy aaaaaaa",
            created_at=datetime.now(UTC),
        )
        return replace(release, **changes)

    def roll_out(self, release: Release) -> None:
        self.target.roll_out(release, self.log, Cancellation())

    def fail(self, release: Release, previous: Release | None) -> RolloutError:
        """Roll out what must fail, put back, and give the error."""
        with pytest.raises(RolloutError) as error:
            self.roll_out(release)
        self.target.put_back(release, previous, self.log)
        return error.value

    def get(self) -> str:
        url = self.target.url(self.app)
        assert url is not None
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def get_eventually(self, expected: str) -> None:
        """A replaced release may finish what it was given in the moment of the switch."""
        end = time.monotonic() + 5
        while (got := self.get()) != expected:
            assert time.monotonic() < end, got
            time.sleep(0.05)

    def one_off(self, *command: str, terminal: Terminal | None = None, kept: bool = True) -> OneOff:
        return OneOff(new_name(), command, "line", UserName("ada"), 600, kept=kept, terminal=terminal)

    def attached(
        self, *command: str, terminal: Terminal | None = None, kept: bool = True
    ) -> AbstractContextManager[Attachment]:
        asked = self.one_off(*command, terminal=terminal, kept=kept)
        return self.target.attach(self.release(1), asked, self.log, Cancellation())

    @staticmethod
    def heard(process: Attachment) -> tuple[bytes, bytes]:
        """All of stdout and of stderr."""
        pieces = list(process.output())
        out, err = (b"".join(chunk for stream, chunk in pieces if stream == which) for which in (1, 2))
        return out, err

    @staticmethod
    def hears(output: Iterator[Output], text: bytes) -> None:
        """Read on until it comes."""
        seen = b""
        while text not in seen:
            seen += next(output)[1]

    def states(self) -> set[tuple[str, str, int]]:
        return {
            (status.process, status.state, status.release)
            for status in self.target.processes(self.app)
            if status.state != "stopping"
        }


def scaled(**counts: int) -> AppSettings:
    """By process type."""
    return AppSettings(formation=Formation(scale=counts))


@contextmanager
def pressing_enter(process: Attachment) -> Iterator[None]:
    """Again and again while inside: a target's own terminal may lose what is typed before it is joined."""
    enough = threading.Event()

    def press() -> None:
        while not enough.wait(1):
            process.write(b"\n")

    presser = threading.Thread(target=press)
    presser.start()
    try:
        yield
    finally:
        enough.set()
        presser.join()


class TargetContract(TargetRecord):
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
            _until(lambda: str(stage.target.volumes(stage.app)), lambda listed: listed == "()")
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

    def test_a_process_runs_once_with_config_output_and_exit_code(self, stage: Stage) -> None:
        program = "import os, sys; print('migrating', len(os.environ['GREETING'])); sys.exit(7)"
        process = ProcessType("release", ("python3", "-u", "-c", program))
        assert stage.target.run_once(stage.release(1), process, stage.log, Cancellation()) == 7
        assert b"migrating 12" in stage.said
        assert stage.target.running(stage.app) is None

    def test_a_cancel_stops_what_runs_once(self, stage: Stage) -> None:
        cancel = Cancellation()
        process = ProcessType("release", ("python3", "-u", "-c", TICKER))
        threading.Timer(4, cancel.request, ("enough",)).start()
        since = time.monotonic()
        with pytest.raises(CanceledError, match="enough"):
            stage.target.run_once(stage.release(1), process, stage.log, cancel)
        assert time.monotonic() - since < 9
        assert b"tick v1 0" in stage.said

    def test_who_is_attached_gets_all_output_and_the_exit_code(self, stage: Stage) -> None:
        program = "import os, sys; print(os.environ['GREETING']); print('no', file=sys.stderr); sys.exit(42)"
        with stage.attached("python3", "-u", "-c", program) as process:
            said = stage.heard(process)
            assert process.exit_code() == 42
        assert said == (b"hello-canary\n", b"no\n")
        assert stage.target.one_offs(stage.app) == ()

    def test_input_arrives_to_the_byte_and_ends(self, stage: Stage) -> None:
        content = bytes(range(256)) * 8192
        with stage.attached("python3", "-c", _CAT) as process:
            process.write(content)
            process.end_input()
            assert stage.heard(process) == (content, b"")
            assert process.exit_code() == 0

    def test_a_terminal_has_a_size_which_changes_and_ctrl_c(self, stage: Stage) -> None:
        size = "import os, time; print(*os.get_terminal_size()); input(); print(*os.get_terminal_size()); time.sleep(99)"
        with stage.attached("python3", "-c", size, terminal=Terminal("xterm", 90, 30)) as process:
            heard = process.output()
            stage.hears(heard, b"90 30")
            process.resize(50, 20)
            process.write(b"\n")
            stage.hears(heard, b"50 20")
            process.write(b"\x03")
            for _ in heard:
                pass
            assert process.exit_code() == 130

    def test_what_has_no_keeper_is_attached_to_as_well(self, stage: Stage) -> None:
        """Images from a Dockerfile: what is passed on are lines, and on a cluster both outputs come as one."""
        program = "import sys; print('up', flush=True); print(sys.stdin.read().upper()); sys.exit(5)"
        with stage.attached("python3", "-u", "-c", program, kept=False) as process:
            process.write(b"given\n" * 1000)
            process.end_input()
            out, _ = stage.heard(process)
            assert out.split() == [b"up", *[b"GIVEN"] * 1000]
            assert process.exit_code() == 5

    def test_a_terminal_without_a_keeper_is_the_target_s_own(self, stage: Stage) -> None:
        size = "import os, sys\nfor _ in sys.stdin: print(*os.get_terminal_size(), os.environ['TERM'])"
        terminal = Terminal("vt220", 90, 30)
        with stage.attached("python3", "-u", "-c", size, kept=False, terminal=terminal) as process:
            heard = process.output()
            with pressing_enter(process):
                stage.hears(heard, b"90 30 vt220")
                process.resize(50, 20)
                stage.hears(heard, b"50 20 vt220")
            process.write(b"\x04")
            assert process.exit_code() == 0

    def test_what_nobody_attends_any_more_is_gone(self, stage: Stage) -> None:
        with stage.attached(
            "python3", "-c", "import time; print('up', flush=True); time.sleep(600)"
        ) as process:
            stage.hears(process.output(), b"up")
            (status,) = stage.target.one_offs(stage.app)
            assert (status.state, status.detached, status.user, status.command) == (
                "up",
                False,
                "ada",
                "line",
            )
        assert all(status.state != "up" for status in stage.target.one_offs(stage.app))

    def test_one_left_to_itself_is_listed_until_it_is_removed(self, stage: Stage) -> None:
        asked = stage.one_off("python3", "-u", "-c", "print('alone'); raise SystemExit(3)")
        stage.target.detach(stage.release(1), asked, stage.log, Cancellation())
        ended = _until(lambda: stage.target.one_offs(stage.app)[0].state, lambda state: state == "failed")
        (status,) = stage.target.one_offs(stage.app)
        assert (ended, status.name, status.exit_code, status.detached) == ("failed", asked.name, 3, True)
        (line,) = stage.target.logs(stage.app, LogQuery(process="run"))
        assert (line.text, line.instance) == ("alone", asked.name)
        assert stage.target.remove_one_off(stage.app, asked.name)
        _until(lambda: str(stage.target.one_offs(stage.app)), lambda listed: listed == "()")
        assert not stage.target.remove_one_off(stage.app, asked.name)

    def test_a_command_runs_inside_a_process_and_its_port_is_reached(self, stage: Stage) -> None:
        stage.roll_out(stage.release(1))
        (web,) = stage.target.processes(stage.app)
        words = ("python3", "-c", _CAT + "; sys.exit(9)")
        with stage.target.enter(stage.app, web.instance, words, None, kept=True) as process:
            process.write(b"inside")
            process.end_input()
            assert stage.heard(process) == (b"inside", b"")
            assert process.exit_code() == 9
        with stage.target.connect(stage.app, web.instance, 8080) as pipe:
            pipe.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(pipe.read, b""))
        assert answer.endswith(b"v1 hello-canary")
        with (
            pytest.raises(NotFoundError),
            stage.target.enter(stage.app, "web.77", words, None, kept=True),
        ):
            pass

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
        seen = _until(lambda: next(followed).text, lambda text: text.startswith("tick v2"))
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


def _until(take: Callable[[], str], found: Callable[[str], bool], seconds: float = 60) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found(text := take()):
            return text
    raise AssertionError("it did not come")
