"""The hook program as git runs it, and its refusals."""

import os
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from gitreceive.config import Settings
from gitreceive.errors import ConfigError
from gitreceive.receive.git_process import check_git, hooks_path, install_hooks
from gitreceive.receive.hook import frame
from gitreceive.receive.hook_socket import HookConnection, HookSocket

LINE = b"0" * 40 + b" " + b"a" * 40 + b" refs/heads/main\n"


def _packets(*lines: bytes) -> bytes:
    return b"".join(b"%04x" % (len(line) + 4) + line for line in lines) + b"0000"


PROC = _packets(b"version=1\0push-options atomic") + _packets(LINE.rstrip()) + _packets(b"nocache")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path)
    install_hooks(settings)
    return settings


def _run(
    settings: Settings, hook: str, stdin: bytes, **environment: str
) -> "subprocess.CompletedProcess[bytes]":
    path = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(
        [hooks_path(settings) / hook], input=stdin, env=path, capture_output=True, timeout=20, check=False
    )


@pytest.mark.parametrize("given", [{}, {"GITRECEIVE_SESSION": "x"}, {"GITRECEIVE_HOOK_SOCKET": "/x"}])
def test_a_push_around_the_server_is_refused(settings: Settings, given: dict[str, str]) -> None:
    done = _run(settings, "pre-receive", LINE, **given)
    assert done.returncode == 1
    assert b"takes pushes through the gitreceive server only; nothing was changed" in done.stderr


def test_a_server_that_does_not_run_is_said_for_each_ref(settings: Settings) -> None:
    done = _run(
        settings, "proc-receive", PROC, GITRECEIVE_HOOK_SOCKET=str(settings.socket), GITRECEIVE_SESSION="x"
    )
    reason = b"the server is not running; nothing was changed; try again"
    assert done.stdout == _packets(b"version=1\0atomic push-options\n") + _packets(
        b"ng refs/heads/main " + reason + b"\n"
    )


@pytest.mark.parametrize(
    "stdin",
    [
        b"x\n",
        b"a" * (65 << 10) + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_malformed_input_to_pre_receive_is_refused(settings: Settings, stdin: bytes) -> None:
    assert _run(settings, "pre-receive", stdin).returncode == 1


@pytest.mark.parametrize("stdin", [b"", b"0000", PROC[:30], _packets(b"version=2\0"), b"zzzz", b"0002"])
def test_malformed_input_to_proc_receive_is_refused(settings: Settings, stdin: bytes) -> None:
    done = _run(settings, "proc-receive", stdin)
    assert done.returncode == 1
    assert b"ok " not in done.stdout


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"r",
        struct.pack(">cI", b"r", 100) + b"ok",
        struct.pack(">cI", b"r", 1 << 31),
        frame(b"x", b"ok"),
        frame(b"r", b"ok\nok"),
        frame(b"r", b"\n"),
    ],
)
def test_a_server_that_breaks_off_or_answers_nonsense_accepts_nothing(
    settings: Settings, reply: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(settings.socket))
        listener.listen()

        def answer() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as asked:
                    while frame(b"e", b"") not in asked.peek():
                        asked.read(1)
                    connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        given = {"GITRECEIVE_HOOK_SOCKET": str(settings.socket), "GITRECEIVE_SESSION": "x"}
        assert _run(settings, "pre-receive", LINE, **given).returncode == 1
        done = _run(settings, "proc-receive", PROC, **given)
        thread.join()
    assert b"ng refs/heads/main the server stopped" in done.stdout
    assert b"ok " not in done.stdout


def test_the_server_is_asked_what_git_says_and_its_answer_is_given(settings: Settings) -> None:
    asked: list[object] = []

    def answer(hook: HookConnection) -> dict[str, object]:
        asked.append(hook.read_request())
        hook.say(b"-----> hello\n")
        return {"refs": [["ok", ""]]}

    hooks = HookSocket(settings, answer)
    hooks.start()
    try:
        done = _run(
            settings, "proc-receive", PROC, GITRECEIVE_HOOK_SOCKET=str(hooks.path), GITRECEIVE_SESSION="token"
        )
    finally:
        hooks.close()
    assert done.stderr == b"-----> hello\n"
    assert done.stdout.endswith(_packets(b"ok refs/heads/main\n"))
    assert asked == [
        {
            "hook": "proc-receive",
            "session": "token",
            "updates": [["refs/heads/main", "0" * 40, "a" * 40]],
            "options": ["nocache"],
            "atomic": True,
        }
    ]
    assert not hooks.path.exists()


@pytest.mark.parametrize("said", ["git version 2.28.9", "git version 1.9", "svn, version 2.30", ""])
def test_a_git_without_proc_receive_is_refused(said: str) -> None:
    with pytest.raises(ConfigError, match="cannot deploy"):
        check_git(said)


def test_a_git_with_proc_receive_is_taken() -> None:
    check_git("git version 2.32.0.rc1")
    check_git("git version 3.0.0 (Apple Git-1)")
    check_git()


def test_a_data_folder_with_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / ("long" * 30))
    hooks = HookSocket(settings, lambda hook: {})
    hooks.start()
    assert len(str(hooks.path)) < 100
    assert hooks.path.stat().st_mode & 0o777 == 0o600
    hooks.close()


def test_two_servers_on_one_data_folder_are_refused_and_a_dead_ones_socket_is_not(settings: Settings) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(settings.socket))
    first = HookSocket(settings, lambda hook: {})
    first.start()
    second = HookSocket(settings, lambda hook: {})
    with pytest.raises(ConfigError, match="running already"):
        second.start()
    assert first.path.exists()
    first.close()


def test_a_request_that_is_too_long_or_malformed_or_of_no_push_under_way_is_refused(
    settings: Settings,
) -> None:
    from gitreceive.engines.git_store import GitStore
    from gitreceive.receive.hook_answers import HookAnswers
    from gitreceive.receive.sessions import Sessions
    from tests.fake_ledger import FakeLedger
    from tests.fake_logbook import FakeLogBook

    stores = (FakeLedger(), GitStore(settings), FakeLogBook())
    answers = HookAnswers(settings.policy, Sessions(), *stores, lambda _app, _log: None)
    hooks = HookSocket(settings, answers)
    hooks.start()
    end, session = frame(b"e", b""), frame(b"s", b"guess")
    replies = [
        _ask(hooks.path, request)
        for request in (
            frame(b"u", b"x" * (1 << 20)) + end,
            end,
            frame(b"h", b"post-receive") + session + end,
            frame(b"h", b"pre-receive") + frame(b"?", b"") + end,
            frame(b"h", b"pre-receive") + b"s\0",
            frame(b"h", b"pre-receive") + session + end,
        )
    ]
    update = b"refs/heads/main " + b"0" * 40 + b" " + b"a" * 40
    unknown = _ask(hooks.path, frame(b"h", b"proc-receive") + session + frame(b"u", update) + end)
    hooks.close()
    assert replies == [b"ng"] * 6
    assert unknown == b"ng this push is not known to the server"


def test_nothing_but_the_word_itself_lets_a_push_pass(settings: Settings) -> None:
    codes = []
    for answer in (
        {"ok": True},
        {"ok": False},
        {"ok": 1},
        {},
        {"refs": [("ok", "")]},
        {"ok": True, "refs": [("ng", "no")]},
    ):
        hooks = HookSocket(settings, lambda hook, answer=answer: hook.read_request() and answer)  # type: ignore[misc]
        hooks.start()
        given = {"GITRECEIVE_HOOK_SOCKET": str(hooks.path), "GITRECEIVE_SESSION": "x"}
        codes.append(_run(settings, "pre-receive", LINE, **given).returncode)
        hooks.close()
    assert codes == [0, 1, 1, 1, 1, 1]


def _ask(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(str(path))
        server.sendall(request)
        server.shutdown(socket.SHUT_WR)
        stream = server.makefile("rb")
        while True:
            kind, length = struct.unpack(">cI", stream.read(5))
            content = stream.read(length)
            if kind == b"r":
                return content
