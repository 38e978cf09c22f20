"""The pages for who comes from elsewhere name commands that there are."""

import re
from pathlib import Path

import click
import pytest

from gitreceive.cli import tree

DOCS = Path(__file__).resolve().parent.parent / "docs"


def _named(page: str) -> list[list[str]]:
    """What the second column of the table of commands has in backticks, by words."""
    text = (DOCS / page).read_text().split("## Commands")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return [command.split() for row in rows[1:] for command in re.findall(r"`([^`]+)`", row[1])]


@pytest.mark.parametrize("page", ["coming-from-heroku.md", "coming-from-dokku.md"])
def test_each_command_that_is_named_is_there(page: str) -> None:
    named = [words for words in _named(page) if words[0] != "git"]
    assert len(named) > 25
    context = click.Context(tree)
    for words in named:
        noun = tree.get_command(context, words[0])
        assert noun, words
        if isinstance(noun, click.Group) and words[1:] and not words[1].startswith("-"):
            assert noun.get_command(context, words[1]), words
