import contextlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import docker
import docker.utils
import pytest

from gitreceive import cli as command_line
from gitreceive import config, data_folder
from gitreceive.config import BuildSettings
from gitreceive.engines.docker_builder import DockerBuilder
from gitreceive.engines.file_logbook import FileLogBook
from gitreceive.engines.sql_ledger import SqlLedger, open_ledger
from gitreceive.jobs import JobRunner
from gitreceive.model import Stack
from gitreceive.ports import Ledger, Platform
from tests.cli.people import owns
from tests.cli.place import PatientLedger, Place
from tests.engines.scripted_registry import serving
from tests.fake_registry import FakeRegistry
from tests.fake_source_store import FakeSourceStore
from tests.fakes import FakeBuilder, FakeRunImages

_DOCKER_HOST = config.process_environment().get("DOCKER_HOST")


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    def ok(self) -> "Said":
        assert self.code == 0, self.out + self.err
        return self

    def failed(self, code: int, *texts: str) -> "Said":
        """It ended with this code and printed nothing but these texts, among others, on stderr."""
        assert (self.code, self.out) == (code, ""), self.out + self.err
        for text in texts:
            assert text in self.err, self.err
        return self

    def json(self) -> Any:
        return json.loads(self.out)


class Cli:
    """The command line in this process, on a data folder of its own."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[bytes]
    ) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capture = capture

    def __call__(self, *words: str, stdin: str | bytes = "", acting: str | None = None) -> Said:
        """``acting``: as the SSH door runs it for this user; else on the server's own host."""
        code, out, err = self._run(words, stdin.encode() if isinstance(stdin, str) else stdin, acting)
        return Said(code, out.decode(), err.decode())

    def binary(self, *words: str) -> bytes:
        """What a command printed that went well, and that is no text."""
        code, out, err = self._run(words, b"", None)
        assert code == 0, err
        return out

    def _run(self, words: tuple[str, ...], stdin: bytes, acting: str | None) -> tuple[int, bytes, bytes]:
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["gitreceive", *words])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            if acting is not None:
                patch.setenv("GITRECEIVE_ACTING_USER", acting)
            with pytest.raises(SystemExit) as ended:
                command_line.main()
        said = self._capture.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    for name in config.process_environment():
        if name.startswith("GITRECEIVE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GITRECEIVE_DATA_DIR", str(tmp_path / "server"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///there/is/no/docker.sock")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return Cli(tmp_path / "server", monkeypatch, capsysbinary)


@pytest.fixture
def ledger(cli: Cli) -> Iterator[SqlLedger]:
    """The ledger of the data folder, as the server would have it open."""
    ledger = open_ledger(config.load())
    yield ledger
    ledger.close()


@pytest.fixture
def logbook(cli: Cli) -> FileLogBook:
    settings = config.load()
    return FileLogBook(settings.data_dir / "logs", settings.log_limit)


@pytest.fixture
def place(
    cli: Cli,
    ledger: SqlLedger,
    logbook: FileLogBook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    with serving() as server:
        monkeypatch.setenv("GITRECEIVE_REGISTRY", server.address)
        monkeypatch.setenv("GITRECEIVE_TARGET", "docker")
        place = Place(server, ledger, logbook, tmp_path)
        base = f"{place.address}:current"
        cli("stack", "create", "--build-image", base, "--run-image", base).ok()
        owns(ledger, "alice", "shop")
        with contextlib.closing(place.registry):
            yield place


@pytest.fixture
def runner(place: Place) -> Iterator[JobRunner]:
    """A server, but for its doors."""
    platform = Platform(
        FakeSourceStore(),
        FakeBuilder(),
        place.registry,
        place.target,
        cast(Ledger, PatientLedger(place)),
        place.logbook,
        "bookworm",
        FakeRunImages(FakeRegistry()),
    )
    with data_folder.held_by(config.load(), "runner"):
        runner = JobRunner(platform, 2, "runner")
        runner.start()
        yield runner
        runner.stop()


@pytest.fixture
def docker_cli(stack: Stack, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    """The command line with a Docker engine and a stack."""
    monkeypatch.delenv("DOCKER_HOST")
    if _DOCKER_HOST is not None:
        monkeypatch.setenv("DOCKER_HOST", _DOCKER_HOST)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GITRECEIVE_BUILD_NETWORK", "none")
    ledger = open_ledger(config.load())
    ledger.put_stack(stack)
    ledger.close()
    yield cli
    _remove_images(config.cache_dir() / "buildpack-test")


def _remove_images(data_dir: Path) -> None:
    owner = DockerBuilder(BuildSettings(), data_dir).owner
    options = docker.utils.kwargs_from_env(environment=config.process_environment())
    with contextlib.closing(docker.APIClient(version="auto", **options)) as client:
        for image in client.images(filters={"label": f"gitreceive.builder={owner}"}):
            client.remove_image(image["Id"], force=True)
