"""A source that asks for packages is built on the stack that has them, and every other source on the stack as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gitreceive.buildpacks.system_packages import SystemPackage
from gitreceive.cancellation import Cancellation
from gitreceive.engines.by_packages import BuilderWithPackages
from gitreceive.errors import SourceError
from gitreceive.model import AppName, ImageRef, SourceEntry, Stack
from gitreceive.ports import BuildRequest, Log
from tests.engines.builder.case import HeardLog, request
from tests.fakes import FakeBuilder

PLAIN = ImageRef.parse(f"registry.test/stacks/plain@sha256:{'1' * 64}")
STACK = Stack("plain", PLAIN, PLAIN, 1, 1, {}, datetime(2026, 1, 1, tzinfo=UTC))


class Bench:
    def __init__(self) -> None:
        self.inner = FakeBuilder()
        self.asked: list[list[str]] = []

    def build(self, files: Mapping[str, bytes], asked: BuildRequest | None = None) -> Stack | None:
        """The stack that the build stood on."""
        builder = BuilderWithPackages(self.inner, self._derive)
        with builder.build(asked or request(files, STACK), HeardLog(), Cancellation()):
            assert self.inner.open_builds == 1
        return self.inner.requests[-1].stack

    def _derive(
        self, stack: Stack, packages: Sequence[SystemPackage], log: Log, cancel: Cancellation
    ) -> Stack:
        self.asked.append([str(package) for package in packages])
        return replace(stack, name=f"{stack.name}+packages")


def test_a_source_without_packages_is_built_on_the_stack_as_it_is() -> None:
    bench = Bench()

    assert bench.build({"app.py": b"", "project.toml": b"[_]\nschema-version = '0.2'\n"}) == STACK
    assert bench.build({"Aptfile": b"# none yet\n"}) == STACK
    assert bench.asked == []


def test_an_aptfile_changes_the_stack_that_the_build_stands_on() -> None:
    bench = Bench()

    stack = bench.build({"Aptfile": b"tree\nfiglet\n"})

    assert stack
    assert stack.name == "plain+packages"
    assert bench.asked == [["figlet", "tree"]]


def test_packages_of_project_toml_are_added_to_those_of_the_aptfile() -> None:
    bench = Bench()

    bench.build(
        {"Aptfile": b"tree\n", "project.toml": b'[com.gitreceive.system]\npackages = ["jq", "tree"]\n'}
    )

    assert bench.asked == [["jq", "tree"]]


@pytest.mark.parametrize("content", [b"tree figlet\n", b"x" * (2 << 20)])
def test_an_aptfile_that_is_not_understood_fails_before_anything_is_built(content: bytes) -> None:
    bench = Bench()

    with pytest.raises(SourceError, match="Aptfile"):
        bench.build({"Aptfile": content})
    assert bench.inner.requests == []


def test_an_aptfile_that_is_a_link_is_refused() -> None:
    bench = Bench()
    linked = replace(request({}, STACK), root=(SourceEntry("Aptfile", "symlink"),))

    with pytest.raises(SourceError, match="Aptfile is not a file"):
        bench.build({}, linked)


def test_without_a_stack_the_builder_itself_says_so() -> None:
    bench = Bench()

    assert bench.build({"Aptfile": b"tree\n"}, replace(request({"Aptfile": b""}, STACK), stack=None)) is None


def test_what_is_kept_of_an_app_is_the_builders_own_affair() -> None:
    builder = BuilderWithPackages(FakeBuilder(), lambda stack, _packages, _log, _cancel: stack)

    builder.forget(AppName("shop"))
    builder.sweep()
    assert list(builder.check()) == list(FakeBuilder().check())
