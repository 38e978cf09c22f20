"""Which Dockerfiles would have the Docker engine fetch what a build may not."""

import pytest

from gitreceive.engines.dockerfile_builder.reaching_out import images_named, refuse_reaching_out
from gitreceive.errors import SourceError
from gitreceive.model import AppName

REGISTRY, APP = "registry.example:5000/team", AppName("shop")


@pytest.mark.parametrize(
    "dockerfile",
    [
        "ADD http://169.254.169.254/latest/meta-data/ /x",
        "FROM example\n  add --chown=1 https://example.com/x /x",
        "ARG A=http\nADD ${A}://example.com/x /x",
        "ADD \\\n  # why\n  http://example.com/x \\\n /x",
        'ADD ["http://example.com/x", "/x"]',
        "ONBUILD ADD http://example.com/x /x",
        "ADD git://example.com/x /x",
        "ADD \\\n\nhttp://example.com/x /x",
        "\ufeffADD http://example.com/x /x",
    ],
)
def test_what_the_engine_would_fetch_itself_is_refused(dockerfile: str) -> None:
    with pytest.raises(SourceError, match="would fetch what the Dockerfile names") as caught:
        refuse_reaching_out(dockerfile, REGISTRY, APP)
    assert "COPY" in caught.value.hint


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FROM registry.example:5000/team/blog",
        "FROM registry.example:5000/team/blog@sha256:" + "a" * 64,
        "FROM registry.example:5000/team/shop-secret:1",
        "FROM a\nCOPY --from=registry.example:5000/team/blog /x /x",
        "ARG I=registry.example:5000/team/blog\nFROM $I",
        "FROM ${I:-registry.example:5000/team/blog}",
        "FROM gitreceive.0123456789ab/blog:last",
        "FROM docker.io/library/gitreceive/builder:1",
        "FROM 3699d19e15b9",
        "ARG GITRECEIVE_RUN_IMAGE=registry.example:5000/team/blog\nFROM $GITRECEIVE_RUN_IMAGE",
        "FROM sha256:" + "0" * 64,
        "FROM $NOBODY",
        "FROM ${I:+x}",
        "FROM --platform=linux/amd64 registry.example:5000/team/blog AS x",
        "ONBUILD COPY --from=registry.example:5000/team/blog /x /x",
    ],
)
def test_another_apps_image_is_no_base(dockerfile: str) -> None:
    with pytest.raises(SourceError, match="another app's"):
        refuse_reaching_out(dockerfile, REGISTRY, APP)


@pytest.mark.parametrize(
    "dockerfile",
    [
        "ARG GITRECEIVE_RUN_IMAGE\nFROM ${GITRECEIVE_RUN_IMAGE}\nCOPY . /app\nADD a.tar /b",
        "FROM $GITRECEIVE_BUILD_IMAGE AS build\nRUN make\nFROM scratch\nCOPY --from=build /a /a\nCOPY --from=0 /b /b",
        "ARG V=3.12\nFROM python:${V}-slim",
        "FROM registry.example:5000/team/shop:v1",
        "FROM registry.example:5000/team/stacks/bookworm-run@sha256:" + "a" * 64,
        "FROM example.com/base\n# ADD http://example.com/x /x\nRUN curl http://example.com/x",
    ],
)
def test_what_an_app_needs_is_let_through(dockerfile: str) -> None:
    refuse_reaching_out(dockerfile, REGISTRY, APP)


@pytest.mark.parametrize(
    "dockerfile",
    [
        "# escape=`\nFROM example",
        "RUN true \\\\\nADD http://example.com/x /x",
        "FROM example\n" + "#" * (1 << 20),
    ],
    ids=["escape", "two backslashes", "long"],
)
def test_lines_that_cannot_be_told_apart_are_refused(dockerfile: str) -> None:
    with pytest.raises(SourceError, match="cannot be told apart"):
        refuse_reaching_out(dockerfile, REGISTRY, APP)


@pytest.mark.parametrize(
    ("dockerfile", "given", "named"),
    [
        pytest.param("FROM python:3.12", {}, ("python:3.12",), id="one"),
        pytest.param(
            "FROM --platform=linux/amd64 golang:1.22 AS build\nFROM build AS test\nFROM scratch\n"
            "COPY --from=build /x /x\nCOPY --from=0 /x /x\nCOPY --from=busybox:1 /y /y",
            {},
            ("golang:1.22", "busybox:1"),
            id="stages are none",
        ),
        pytest.param("ARG V=3.11\nFROM python:$V\nFROM python:3.11", {}, ("python:3.11",), id="a default"),
        pytest.param("ARG V=3.11\nFROM python:${V}", {"V": "3.12"}, ("python:3.12",), id="an argument"),
        pytest.param("FROM python:${V:-3.13}", {"V": "3.12"}, ("python:3.13",), id="not declared"),
        pytest.param(
            "ARG GITRECEIVE_RUN_IMAGE\nFROM ${GITRECEIVE_RUN_IMAGE}",
            {"GITRECEIVE_RUN_IMAGE": "r/run@sha256:" + "a" * 64},
            ("r/run@sha256:" + "a" * 64,),
            id="the stack's",
        ),
    ],
)
def test_the_images_that_a_dockerfile_names_are_known(
    dockerfile: str, given: dict[str, str], named: tuple[str, ...]
) -> None:
    assert images_named(dockerfile, given) == named
