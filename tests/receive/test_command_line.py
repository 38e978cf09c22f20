"""Commands that are children of a fork server, and what is promised of them whichever way they are started."""

import ast
import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gitreceive import __version__
from gitreceive.config import Settings
from gitreceive.errors import UnavailableError
from gitreceive.receive.forked import CommandLine
from gitreceive.receive.programs import running
from tests.receive.conftest import FORKING, PROGRAM, Outcome
from tests.receive.pushes import until

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C.UTF-8"}
_BRIEF = (
    "import sys; from gitreceive.receive.forkserver import serve; from tests.receive.cli_of_tests import main;"
    "serve(int(sys.argv[1]), main, idle_seconds=0.05)"
)
_SERVER = """\
import asyncio, sys
from gitreceive.receive.forked import CommandLine
from tests.receive.conftest import FORKING, PROGRAM

async def serve():
    line = CommandLine(PROGRAM, FORKING)
    async with line.start(["cat"], {}, asyncio.subprocess.PIPE) as child:
        print(line._forks._process.pid, child.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(serve())
"""


class Shop:
    """A command line, and the loop that it works in."""

    def __init__(self, runner: asyncio.Runner, line: CommandLine) -> None:
        self._runner = runner
        self.line = line

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    @property
    def fork_server(self) -> int:
        process = self.line._forks._process
        assert process
        return process.pid

    async def said(self, *words: str, stdin: bytes = b"", **environment: str) -> Outcome:
        given = ENVIRONMENT | environment
        async with running(words, given, start=self.line.start) as child:
            assert child.stdin
            assert child.stdout
            assert child.stderr
            child.stdin.write(stdin)
            child.stdin.close()
            out, err = await asyncio.gather(child.stdout.read(), child.stderr.read())
            return Outcome(await child.wait(), out.decode(), err.decode())

    def ask(self, *words: str, stdin: bytes = b"", **environment: str) -> Outcome:
        said: Outcome = self.run(self.said(*words, stdin=stdin, **environment))
        return said


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def shop(runner: asyncio.Runner) -> Iterator[Shop]:
    shop = Shop(runner, CommandLine(PROGRAM, FORKING))
    yield shop
    runner.run(shop.line.close())


def test_a_command_has_its_own_environment_and_nothing_of_the_one_before(shop: Shop) -> None:
    first = json.loads(shop.ask("process", GITRECEIVE_ACTING_USER="alice", SECRET="x").out)
    second = json.loads(shop.ask("process", GITRECEIVE_ACTING_USER="bob", TZ="Asia/Tokyo").out)
    assert first["environment"] == ENVIRONMENT | {"GITRECEIVE_ACTING_USER": "alice", "SECRET": "x"}
    assert second["environment"] == ENVIRONMENT | {"GITRECEIVE_ACTING_USER": "bob", "TZ": "Asia/Tokyo"}
    assert second["below"] == second["environment"]


def test_a_command_is_a_process_as_if_it_had_been_started_alone(shop: Shop) -> None:
    async def both() -> list[Outcome]:
        async with running(["sleep"], ENVIRONMENT, start=shop.line.start):
            return list(await asyncio.gather(shop.said("process"), shop.said("process")))

    seen = [json.loads(said.out) for said in shop.run(both())]
    for one in seen:
        kinds = sorted((int(number), target.partition(":")[0]) for number, target in one["files"].items())
        assert kinds[:3] == [(0, "pipe"), (1, "pipe"), (2, "pipe")]
        assert [kind for _, kind in kinds[3:]] == ["socket"], "on which it says how it ends"
        assert (one["leads"], one["wakes"], one["children"]) == (True, -1, "")
        assert all(one["signals"])
        assert one["encodings"] == ["utf-8"] * 3
    assert seen[0]["random"] != seen[1]["random"]


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("0", 0, ""),
        ("3", 3, ""),
        ("259", 3, ""),
        ("words", 1, "words\n"),
        ("error", 1, "LookupError: a fault\n"),
        ("SIGTERM", -signal.SIGTERM, ""),
    ],
)
def test_how_a_command_ends_is_told(shop: Shop, how: str, code: int, said: str) -> None:
    seen = shop.ask("exit", how)
    assert (seen.code, seen.err[-len(said) :]) == (code, said)


def test_a_command_s_threads_and_what_it_does_at_its_exit_are_waited_for(shop: Shop) -> None:
    assert shop.ask("late") == Outcome(0, "thread, exit", "")


def test_much_goes_in_and_comes_out_whole(shop: Shop) -> None:
    text = b"0123456789abcde\n" * 100_000
    assert shop.ask("cat", stdin=text).out.encode() == text


def test_a_command_ends_with_the_context_and_leaves_no_zombie(shop: Shop) -> None:
    async def leave() -> int:
        async with running(["sleep"], ENVIRONMENT, start=shop.line.start) as child:
            assert child.stdout
            assert int(await child.stdout.readline()) == child.pid
            return child.pid

    assert not Path(f"/proc/{shop.run(leave())}").exists()


def test_thirty_commands_at_once_are_each_given_what_is_theirs(shop: Shop) -> None:
    async def all_of_them() -> list[Outcome]:
        numbers = [str(number) for number in range(30)]
        return await asyncio.gather(*(shop.said("cat", stdin=number.encode()) for number in numbers))

    before = shop.ask("cat").code
    assert [(said.code, said.out) for said in shop.run(all_of_them())] == [
        (before, str(n)) for n in range(30)
    ]


def test_a_command_outlives_its_fork_server_and_the_next_one_has_another(shop: Shop) -> None:
    async def killed() -> tuple[int, bytes]:
        async with running(["cat"], ENVIRONMENT, start=shop.line.start) as child:
            assert child.stdin
            assert child.stdout
            os.kill(shop.fork_server, signal.SIGKILL)
            child.stdin.write(b"still there")
            child.stdin.close()
            return await child.wait(), await child.stdout.read()

    before = [shop.ask("cat").code, shop.fork_server]
    assert shop.run(killed()) == (0, b"still there")
    assert shop.ask("cat", stdin=b"here").out == "here"
    assert [0, shop.fork_server] != before


def test_a_command_that_is_killed_when_its_fork_server_is_gone_has_ended_by_a_signal(shop: Shop) -> None:
    async def killed() -> int:
        async with running(["sleep"], ENVIRONMENT, start=shop.line.start) as child:
            os.kill(shop.fork_server, signal.SIGKILL)
            os.kill(child.pid, signal.SIGKILL)
            return await child.wait()

    assert shop.run(killed()) == -signal.SIGKILL


def test_a_fork_server_passes_over_what_comes_without_a_socket(shop: Shop) -> None:
    """As it does where it can open no more files."""
    assert shop.ask("cat").code == 0
    before, control = shop.fork_server, shop.line._forks._control
    assert control
    control.send(b"f")
    assert shop.ask("cat", stdin=b"all the same").out == "all the same"
    assert shop.fork_server == before


def test_a_command_that_cannot_be_given_what_it_asks_for_is_an_error(shop: Shop) -> None:
    with pytest.raises(UnavailableError, match="NUL"):
        shop.ask("cat", "a\0b")


@pytest.mark.parametrize(
    "forking",
    [("/nowhere/python",), (sys.executable, "-c", "pass"), (sys.executable, "-c", "raise SystemExit(3)")],
    ids=["not there", "ends", "fails"],
)
def test_without_a_fork_server_a_command_is_a_program_of_its_own(
    runner: asyncio.Runner, forking: Sequence[str]
) -> None:
    alone = Shop(runner, CommandLine(PROGRAM, forking))
    assert alone.ask("cat", stdin=b"all the same") == Outcome(0, "all the same", "")


def test_a_fork_server_that_nobody_asks_ends_and_is_there_again_when_somebody_does(
    runner: asyncio.Runner,
) -> None:
    brief = Shop(runner, CommandLine(PROGRAM, (sys.executable, "-c", _BRIEF)))
    assert brief.ask("cat", stdin=b"one").out == "one"
    process = brief.line._forks._process
    assert process
    assert runner.run(asyncio.wait_for(process.wait(), 20)) == 0
    assert brief.ask("cat", stdin=b"two").out == "two"
    runner.run(brief.line.close())


def test_a_fork_server_ends_with_its_server_and_commands_that_wait_for_it_too() -> None:
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE) as server:
        assert server.stdout
        pids = server.stdout.readline().split()
        assert len(pids) == 2
        server.kill()
    until(lambda: not any(_lives(int(pid)) for pid in pids), 20)


def test_the_fork_server_of_the_command_line_holds_no_key_no_thread_and_no_connection(
    runner: asyncio.Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITRECEIVE_LEDGER_KEY", "k3y")
    real = Shop(runner, CommandLine.of(Settings(data_dir=tmp_path)))
    assert real.ask("version", GITRECEIVE_ACTING_USER="alice").out == f"gitreceive {__version__}\n"
    folder = Path("/proc", str(real.fork_server))
    assert b"GITRECEIVE" not in (folder / "environ").read_bytes()
    assert len(list((folder / "task").iterdir())) == 1
    until(
        lambda: len(list((folder / "fd").iterdir())) == 6
    )  # the command's own socket is closed once its end was told
    kinds = [str(entry.readlink()).partition(":")[0] for entry in (folder / "fd").iterdir()]
    assert (kinds.count("socket"), kinds.count("pipe"), kinds.count("/dev/null")) == (1, 2, 2)
    runner.run(real.line.close())


@pytest.mark.parametrize("target", ["docker", "kubernetes"])
def test_what_commands_import_when_they_run_has_been_imported_before_they_are_forked(target: str) -> None:
    """So no command is of two versions, whatever becomes of the files."""
    program = (
        "import sys; from importlib import import_module; from gitreceive import cli, wiring;"
        f"[import_module(name) for name in (*cli.modules(), *wiring.modules({target!r}))];"
        "print(*(name for name in sys.modules if name.startswith('gitreceive')))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    there = set(said.split())
    later = {name for module in there for name in _imported_later(module)} - there
    other = {"docker": "kubernetes", "kubernetes": "docker"}[target]
    assert {name for name in later if not name.startswith(f"gitreceive.engines.{other}_target")} == {
        "gitreceive.engines.prometheus_metrics",  # the server's alone
        "gitreceive.engines.sql_ledger.migrations",  # the server has opened the ledger before
    }


def _imported_later(module: str) -> Iterator[str]:
    """Modules of gitreceive that functions import."""
    found = find_spec(module)
    assert found
    assert found.origin
    tree = ast.parse(Path(found.origin).read_text("utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        for node in ast.walk(function):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gitreceive"):
                yield from _modules(str(node.module), [alias.name for alias in node.names])


def _modules(package: str, names: Sequence[str]) -> Iterator[str]:
    yield package
    for name in names:
        with suppress(ModuleNotFoundError):
            if find_spec(f"{package}.{name}"):
                yield f"{package}.{name}"


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
