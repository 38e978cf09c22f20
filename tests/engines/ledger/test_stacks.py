"""Stacks: each version is kept."""

from dataclasses import replace

from gitreceive.ports import Ledger
from tests.engines.ledger.words import stack


def test_a_stack_is_read_as_it_was_recorded(empty: Ledger) -> None:
    assert empty.put_stack(stack()) == stack()
    assert (empty.stack("bookworm"), empty.stack("trixie")) == (stack(), None)
    without = replace(stack("old"), recipe=None)
    assert empty.put_stack(without) == without == empty.stack("old")


def test_one_of_the_same_name_is_the_next_version_and_the_earlier_ones_stay(empty: Ledger) -> None:
    first = empty.put_stack(stack())
    second = empty.put_stack(replace(stack(), run_bytes=29_000_000, version=7))
    other = empty.put_stack(stack("bullseye"))
    assert (first.version, second.version, other.version) == (1, 2, 1)
    assert second.label == "bookworm 2"
    assert empty.stack("bookworm") == second
    assert (empty.stack("bookworm", 1), empty.stack("bookworm", 3)) == (first, None)
    assert empty.stacks() == (second, other)
    assert empty.stack_versions() == (second, first, other)
    assert empty.stack_versions("bookworm") == (second, first)
    assert empty.stack_versions("trixie") == ()
