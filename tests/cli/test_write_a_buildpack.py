"""Follows docs/write-a-buildpack.md: its files are written and its commands run, in order, and must say what it shows."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitreceive import config
from gitreceive.buildpacks.order import read_folder
from tests.cli.conftest import Cli

PAGE = Path(__file__).parents[2] / "docs" / "write-a-buildpack.md"
_BLOCK = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """``file`` is empty for what is typed: ``text`` then has a line ``$ COMMAND`` and below it what must be printed."""

    language: str
    file: str
    text: str

    @property
    def commands(self) -> Iterator[tuple[list[str], list[str]]]:
        for part in self.text.removeprefix("$ ").split("\n$ "):
            typed, *printed = part.splitlines()
            yield shlex.split(typed), printed


BLOCKS = [Block(*found) for found in _BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


def _follow(cli: Cli, *, docker: bool) -> int:
    """How many commands were run."""
    count = 0
    for block in BLOCKS:
        if block.file:
            path = Path(block.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
            continue
        if block.language == "toml":  # an example of what is no part of the story
            continue
        assert block.language == "console"
        for (program, *words), printed in block.commands:
            assert program == "gitreceive"
            if words[:2] == ["buildpack", "test"] and not docker:
                continue
            count += 1
            said = cli(*words)
            for line in printed:
                assert line in said.out + said.err, said.out + said.err
            assert (said.code != 0) == any(line.startswith(" !") for line in printed)
    return count


def test_the_page_can_be_followed_up_to_where_it_needs_docker(cli: Cli) -> None:
    assert _follow(cli, docker=False) == 4
    Path("perl").rename("buildpacks/perl")
    assert list(read_folder(Path("buildpacks")).buildpacks) == ["acme/perl"]


@pytest.mark.docker
def test_the_page_can_be_followed_to_its_end(docker_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _follow(docker_cli, docker=True) == 6
    Path("perl").rename("buildpacks/perl")
    monkeypatch.setenv("GITRECEIVE_BUILD_BUILDPACKS", str(Path("buildpacks").resolve()))
    plan = docker_cli("plan", "buildpacks/perl/test/app", "--app", "shop", "--json").ok().json()
    assert plan["buildpacks"] == ["acme/perl@0.1.0"]
    assert config.load().build.buildpacks
