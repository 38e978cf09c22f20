"""What of a Dockerfile build needs no engine."""

import io
import tarfile
from contextlib import nullcontext

import pytest

from gitreceive.buildpacks.procfile import parse_procfile
from gitreceive.cancellation import Cancellation
from gitreceive.engines.dockerfile_builder.arguments import build_arguments
from gitreceive.engines.dockerfile_builder.context import spooled
from gitreceive.engines.dockerfile_builder.transcript import Transcript
from gitreceive.errors import BuildError, BuildLimitError
from gitreceive.model import ProcessType
from gitreceive.voice import Voice


def test_a_procfile_names_its_processes_in_order() -> None:
    content = "# what runs\n\nweb: gunicorn app:app -b :$PORT\nsend-mail:\tpython mail.py --every 5:00\r\n"
    assert parse_procfile(content.encode()) == (
        ProcessType("web", ("/bin/sh", "-c", "gunicorn app:app -b :$PORT")),
        ProcessType("send-mail", ("/bin/sh", "-c", "python mail.py --every 5:00")),
    )


def test_an_empty_procfile_names_none() -> None:
    assert parse_procfile(b"") == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"web python app.py\n", "line 1 is not understood"),
        (b"web:\n", "line 1 is not understood"),
        (b"\n: python\n", "line 2 is not understood"),
        (b"web: a\nweb: b\n", "line 2 names web a second time"),
        (b"Web: a\n", "line 1: 'Web' is not a process type"),
        (b"a b: c\n", "line 1: 'a b' is not a process type"),
        (b"web: \xff\n", "not UTF-8"),
    ],
)
def test_a_malformed_procfile_is_refused_with_its_line(content: bytes, reason: str) -> None:
    with pytest.raises(BuildError, match=reason):
        parse_procfile(content)


def test_proxies_are_given_always_and_the_rest_where_declared() -> None:
    env = {
        "HTTPS_PROXY": "http://u:p@proxy",
        "https_proxy": "x",
        "PIP_INDEX_URL": "https://index",
        "UNUSED": "1",
    }
    dockerfile = "FROM x\n  arg PIP_INDEX_URL=none OTHER\nRUN echo ARG UNUSED\n"
    assert build_arguments(env, None, dockerfile, Voice(lambda _: None)) == {
        "HTTPS_PROXY": "http://u:p@proxy",
        "https_proxy": "x",
        "PIP_INDEX_URL": "https://index",
    }


def test_a_url_with_a_password_is_held_back_and_said() -> None:
    said = bytearray()
    env = {"PIP_EXTRA_INDEX_URL": "https://one https://u:s3cret@two"}
    assert build_arguments(env, None, "ARG PIP_EXTRA_INDEX_URL", Voice(said.extend)) == {}
    assert b"ARG PIP_EXTRA_INDEX_URL is not set" in said
    assert b"s3cret" not in said


def _sent(files: dict[str, str]) -> list[str]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    buffer.seek(0)
    with (
        spooled(nullcontext(buffer), Cancellation()) as context,
        tarfile.open(fileobj=context.archive) as tar,
    ):
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            assert content.read().decode() == files[member.name]
        return tar.getnames()


def test_what_dockerignore_names_is_not_sent() -> None:
    files = {
        ".dockerignore": "# secrets\n*.pem\nnode_modules/\n**/*.log\n!keep.pem\nDockerfile\n",
        "Dockerfile": "FROM x",
        "a.pem": "1",
        "keep.pem": "2",
        "node_modules/x/y.js": "3",
        "deep/er/z.log": "4",
        "deep/er/z.py": "5",
    }
    assert _sent(files) == [".dockerignore", "Dockerfile", "keep.pem", "deep/er/z.py"]


def test_a_broken_archive_is_an_error_of_ours() -> None:
    with (
        pytest.raises(BuildError, match="cannot be read"),
        spooled(nullcontext(io.BytesIO(b"x" * 2000)), Cancellation()),
    ):
        pass


def _follow(*entries: dict[str, object]) -> tuple[str | None, str]:
    said = bytearray()
    image = Transcript(Voice(said.extend), "2g").follow(entries)
    return image, said.decode()


def test_the_account_is_told_without_dockers_ids() -> None:
    image, said = _follow(
        {"status": "Pulling from library/x", "id": "1"},
        {"status": "Downloading", "progressDetail": {"current": 1}},
        {"stream": "Step 1/2 : RUN echo hi"},
        {"stream": "\n"},
        {"stream": " ---> Running in 1234\n"},
        {"stream": "h"},
        {"stream": "i\n"},
        {"stream": "\n"},
        {"stream": "Removing intermediate container 1234\n"},
        {"aux": {"ID": "sha256:abc"}},
        {"stream": "Successfully built abc\n"},
    )
    assert image == "sha256:abc"
    assert said == "       Pulling from library/x\n       Step 1/2 : RUN echo hi\n       hi\n\n"


def test_an_account_that_breaks_off_has_no_image() -> None:
    assert _follow({"stream": "Step 1/2 : RUN x"})[0] is None


def test_a_killed_step_is_a_limit() -> None:
    with pytest.raises(BuildLimitError, match=r"step 1/1 \(RUN x\) was killed"):
        _follow(
            {"stream": "Step 1/1 : RUN x\n"}, {"error": "…", "errorDetail": {"code": 137, "message": "…"}}
        )
