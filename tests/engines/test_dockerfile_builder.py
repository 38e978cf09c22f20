"""Dockerfile builds on a real engine."""

import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.config import BuildSettings, Settings
from gitreceive.engines.dockerfile_builder import DockerfileBuilder
from gitreceive.errors import BuildError, BuildLimitError, CanceledError, DetectError
from gitreceive.model import AppName, CommitId, ImageRef, JobId, ProcessType, PushOptions, Source, SourceEntry
from gitreceive.ports import BuildRequest
from gitreceive.voice import Voice
from tests.engines.images import client, python_image

pytestmark = pytest.mark.docker

CANARY = "canary-5f3a81"


@pytest.fixture(scope="module")
def base() -> Iterator[ImageRef]:
    with python_image() as ref:
        yield ref


@pytest.fixture
def engine() -> Iterator[Any]:
    found = client()
    yield found
    found.close()


class Site:
    def __init__(self, base: ImageRef, data_dir: Path, **build: Any) -> None:
        build.setdefault("egress", "none")
        self.base = base
        self.app = AppName.parse(f"dock-{uuid4().hex[:8]}")
        self.builder = DockerfileBuilder(Settings(data_dir=data_dir, build=BuildSettings(**build)))
        self.said = bytearray()
        self.log = Voice(self.said.extend)
        self.cancel = Cancellation()
        self._jobs = 0

    def build(self, dockerfile: str | None, *, nocache: bool = False, **files: str) -> Any:
        contents = {name.replace("__", "."): text for name, text in files.items()}
        if dockerfile is not None:
            contents["Dockerfile"] = f"FROM {self.base}\n{dockerfile}\n"
        self._jobs += 1
        request = BuildRequest(
            job=JobId(self._jobs),
            source=Source(self.app, CommitId("b" * 40)),
            options=PushOptions(nocache=nocache),
            stack=None,
            previous={},
            archive=nullcontext(_tar(contents)),
            root=tuple(SourceEntry(name, "file", len(text)) for name, text in sorted(contents.items())),
            tree=lambda: iter(()),
        )
        return self.builder.build(request, self.log, self.cancel)


def _tar(contents: dict[str, str]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    buffer.seek(0)
    return buffer


@pytest.fixture
def make(base: ImageRef, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def site(**build: Any) -> Site:
        made.append(Site(base, tmp_path, **build))
        return made[-1]

    yield site
    for each in made:
        each.builder.forget(each.app)


@pytest.fixture
def site(make: Callable[..., Site]) -> Site:
    return make()


def test_a_dockerfile_becomes_an_image_with_web_and_the_procfiles_processes(site: Site, engine: Any) -> None:
    dockerfile = 'COPY . /app\nRUN echo building\nUSER 1000\nEXPOSE 5005\nCMD ["python3", "/app/app.py"]'
    with site.build(dockerfile, app__py="print(1)", Procfile="worker: python3 app.py --work\n") as build:
        worker = ProcessType("worker", ("/bin/sh", "-c", "python3 app.py --work"))
        assert build.processes == (ProcessType("web"), worker)
        assert build.port == 5005
        assert build.buildpacks == ("dockerfile",)
        assert build.config["User"] == "1000"
        assert build.config["Cmd"] == ["python3", "/app/app.py"]
        assert engine.inspect_image(build.engine_image)["Id"] == build.engine_image
        assert build.bases == (site.base,)
    assert b"       building\n" in site.said
    assert b"Step 3/6 : RUN echo building" in site.said


def test_a_second_build_uses_what_the_first_one_made(site: Site) -> None:
    dockerfile = 'RUN python3 -c \'import uuid; print(uuid.uuid4())\' > /tmp/id\nCMD ["cat", "/tmp/id"]'
    images = []
    for nocache in (False, False, True):
        with site.build(dockerfile, nocache=nocache) as build:
            images.append(build.engine_image)
    assert images[0] == images[1] != images[2]


def test_a_failed_step_is_named(site: Site, engine: Any) -> None:
    with pytest.raises(BuildError, match=r"^Dockerfile step 2/3 \(RUN echo no compiler .*\) failed: exit 9$"):
        site.build('RUN echo no compiler && exit 9\nCMD ["x"]').__enter__()
    assert b"no compiler\n" in site.said
    assert engine.images(name=f"gitreceive.*/{site.app}") == []


def test_a_malformed_dockerfile_is_said_in_dockers_words(site: Site) -> None:
    with pytest.raises(BuildError, match="unknown instruction: INSTAL"):
        site.build("INSTAL everything").__enter__()


def test_a_base_image_that_is_not_there_is_named(site: Site) -> None:
    site.base = ImageRef(f"{site.base.repository}-missing", site.base.digest)
    with pytest.raises(BuildError, match="-missing"):
        site.build('CMD ["x"]').__enter__()


def test_a_cancel_stops_the_build_and_its_container(site: Site, engine: Any) -> None:
    threading.Timer(2, site.cancel.request, ("enough",)).start()
    began = time.monotonic()
    with pytest.raises(CanceledError):
        site.build('RUN sleep 98.7654\nCMD ["x"]').__enter__()
    assert time.monotonic() - began < 7
    end = time.monotonic() + 5
    while any("98.7654" in container["Command"] for container in engine.containers()):
        assert time.monotonic() < end, "the build's container goes on"
        time.sleep(0.1)


def test_a_build_that_takes_too_long_is_stopped(make: Callable[..., Site]) -> None:
    site = make(timeout=2)
    began = time.monotonic()
    with pytest.raises(BuildLimitError, match="longer than 2 s"):
        site.build('RUN sleep 60\nCMD ["x"]').__enter__()
    assert time.monotonic() - began < 7


def test_a_build_that_takes_too_much_memory_is_stopped(make: Callable[..., Site]) -> None:
    site = make(memory="48m")
    with pytest.raises(BuildLimitError, match="memory limit of 48m"):
        site.build('RUN python3 -c "x = b\'x\' * (400 << 20)"\nCMD ["x"]').__enter__()


def test_dockerignore_is_honoured(site: Site) -> None:
    with site.build('COPY . /app\nRUN ls -a /app\nCMD ["x"]', __dockerignore="secret.txt\n", secret__txt="x"):
        pass
    assert b"secret.txt" not in site.said
    assert b"Dockerfile" in site.said


def test_build_secrets_reach_neither_build_nor_image(
    make: Callable[..., Site], tmp_path: Path, engine: Any
) -> None:
    secret = tmp_path / "token"
    secret.write_text(CANARY)
    env = {
        "PIP_INDEX_URL": f"https://user:{CANARY}@index.example/simple",
        "HTTP_PROXY": f"http://u:{CANARY}@proxy",
    }
    site = make(secrets={"token": str(secret)}, env=env)
    look = "RUN find / -xdev -type f -path '*secrets*' -exec cat {} +"
    with site.build(f'ARG PIP_INDEX_URL\nRUN echo "[$PIP_INDEX_URL]"\n{look}\nCMD ["x"]') as build:
        saved = b"".join(engine.get_image(build.engine_image))
        history = str(engine.history(build.engine_image))
    assert CANARY.encode() not in saved
    assert CANARY not in history
    assert CANARY.encode() not in site.said
    assert b"ARG PIP_INDEX_URL is not set" in site.said


def test_a_declared_argument_gets_its_value(make: Callable[..., Site]) -> None:
    site = make(env={"PIP_INDEX_URL": "https://index.example/simple", "OTHER": "x"})
    with site.build('ARG PIP_INDEX_URL\nRUN echo "from $PIP_INDEX_URL"\nCMD ["x"]'):
        pass
    assert b"from https://index.example/simple\n" in site.said
    assert b"not consumed" not in site.said


def test_an_image_without_a_command_is_refused(site: Site, engine: Any) -> None:
    with pytest.raises(BuildError, match="nothing of what to run"):
        site.build("RUN true").__enter__()


def test_a_source_without_a_dockerfile_is_not_taken(site: Site) -> None:
    with pytest.raises(DetectError, match="no Dockerfile"):
        site.build(None, README="x").__enter__()


def test_forgetting_an_app_removes_its_images(site: Site, engine: Any) -> None:
    with site.build('RUN true\nCMD ["x"]') as build:
        image = build.engine_image
    assert engine.inspect_image(image)["RepoTags"]
    site.builder.forget(site.app)
    site.builder.forget(site.app)
    with pytest.raises(docker.errors.ImageNotFound):
        engine.inspect_image(image)


def test_the_engine_passes_its_checks(site: Site) -> None:
    assert [check.name for check in site.builder.check() if not check.ok] == []
