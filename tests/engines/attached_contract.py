"""What every Target keeps about processes that run once: their input, output, terminal and end."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.errors import CanceledError, NotFoundError
from gitreceive.model import (
    LogQuery,
    ProcessType,
    Terminal,
)
from gitreceive.ports import Attachment
from tests.engines.stage import TICKER, Stage, until

_CAT = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer); sys.stdout.flush()"


class AttachedContract:
    """Needs a fixture ``stage`` as in ``target_contract``."""

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
        ended = until(lambda: stage.target.one_offs(stage.app)[0].state, lambda state: state == "failed")
        (status,) = stage.target.one_offs(stage.app)
        assert (ended, status.name, status.exit_code, status.detached) == ("failed", asked.name, 3, True)
        (line,) = stage.target.logs(stage.app, LogQuery(process="run"))
        assert (line.text, line.instance) == ("alone", asked.name)
        assert stage.target.remove_one_off(stage.app, asked.name)
        until(lambda: str(stage.target.one_offs(stage.app)), lambda listed: listed == "()")
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
