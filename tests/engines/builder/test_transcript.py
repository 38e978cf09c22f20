"""What becomes of a build's output, without a build."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.engines.docker_builder.transcript import Transcript
from gitreceive.lifecycle.secrets import patterns
from gitreceive.lifecycle.talk import Talk
from tests.engines.builder.case import HeardLog

MARK = "5eed"


def _said() -> bytes:
    out = bytearray()
    talk = Talk(MARK, out.extend)
    talk.step("one")
    out.extend(b"half a line")
    talk.detail("two")
    out.extend(b"secret: s3cr3t-value\n")
    talk.end()
    return bytes(out)


@given(st.lists(st.integers(0, 200)))
def test_remarks_and_output_are_told_apart_however_they_are_cut(cuts: list[int]) -> None:
    said, log = _said(), HeardLog()
    transcript = Transcript(log, MARK, patterns([b"s3cr3t-value"]))
    places = sorted({0, len(said), *(cut % len(said) for cut in cuts)})
    for a, b in itertools.pairwise(places):
        transcript.feed(said[a:b])
    assert transcript.ended
    transcript.end()
    assert log.lines == ["-----> one", "two"]
    assert log.output == b"half a linesecret: ***\n"


def test_a_remark_with_another_mark_is_only_output() -> None:
    log, out = HeardLog(), bytearray()
    Talk("forged", out.extend).end()
    transcript = Transcript(log, MARK, ())
    transcript.feed(bytes(out))
    transcript.end()
    assert not transcript.ended
    assert log.output == bytes(out)


@pytest.mark.parametrize(
    ("output", "message", "hint"),
    [
        (b"", "", ""),
        (b"one\ntwo\n\n", "two", ""),
        (b"gcc: fatal error: no input\nmake: done\n", "gcc: fatal error: no input", ""),
        (b"ERROR: deep\nerror: packages failed\nhint: spell it\n", "packages failed", "spell it"),
        (b"\x1b[31mError: red\x1b[0m\nbye\n", "Error: red", ""),
    ],
)
def test_the_last_error_is_the_one_that_says_most(output: bytes, message: str, hint: str) -> None:
    transcript = Transcript(HeardLog(), MARK, ())
    transcript.feed(output)
    assert transcript.last_error() == (message, hint)


def test_errors_before_the_last_step_are_not_its_errors() -> None:
    out = bytearray(b"error: old\n")
    Talk(MARK, out.extend).step("next")
    transcript = Transcript(HeardLog(), MARK, ())
    transcript.feed(bytes(out) + b"new\n")
    assert transcript.last_error() == ("new", "")
