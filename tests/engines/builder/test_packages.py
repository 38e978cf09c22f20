"""A build stands on the stack with the packages that its source asks for: buildpacks have them, and so has what the image is based on."""

from contextlib import closing
from pathlib import Path

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.config import process_environment
from gitreceive.engines.build_networks import GuardedNetworks
from gitreceive.engines.by_packages import BuilderWithPackages
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.engines.stacks import DerivedStacks
from gitreceive.model import Stack
from tests.engines.builder.case import WEB, HeardLog, Make, request, write_buildpack, write_order
from tests.engines.packages.settings import SETTINGS

pytestmark = [pytest.mark.docker, pytest.mark.registry]


def test_a_buildpack_finds_a_package_of_the_aptfile_and_the_image_is_based_on_it(
    make: Make, packs: Path, stack: Stack, tmp_path: Path
) -> None:
    write_buildpack(packs, "letters", detect="exit 0", build=f"figlet -f term letters > letters\n{WEB}")
    write_order(packs, ("letters",))
    files = {"Aptfile": b"figlet\n", "hello": b"hello\n"}
    registry = OciRegistry(
        stack.run.repository.partition("/")[0], insecure=False, environment=process_environment()
    )
    networks = GuardedNetworks(SETTINGS, tmp_path / "data")
    stacks = DerivedStacks(SETTINGS, tmp_path / "data", registry, networks)
    with closing(registry), closing(stacks):
        builder = BuilderWithPackages(make(), stacks.derive)

        with builder.build(request(files, stack), log := HeardLog(), Cancellation()) as build:
            assert build.run_image
            facts = registry.facts(build.run_image)

        assert (facts.stack_image, facts.packages) == (stack.run, ("figlet",))
        assert build.run_image.repository == stack.run.repository
        assert b"figlet: " not in log.output


def test_a_source_that_asks_for_nothing_has_nothing_of_it(
    make: Make, packs: Path, stack: Stack, tmp_path: Path
) -> None:
    write_buildpack(packs, "letters", build=f"if type figlet; then exit 9; fi\n{WEB}")
    write_order(packs, ("letters",))

    def never(*_: object) -> Stack:
        raise AssertionError

    builder = BuilderWithPackages(make(), never)
    with builder.build(request({"hello": b""}, stack), HeardLog(), Cancellation()) as build:
        assert build.run_image == stack.run
