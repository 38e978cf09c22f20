import base64
import itertools
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.lifecycle.secrets import Finder, Redactor, patterns

SECRET = b"p@ss word/with+all&sorts"


def _pieces(content: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    return [content[a:b] for a, b in itertools.pairwise(places)]


@given(st.lists(st.integers(0, 10_000)), st.binary(max_size=40), st.binary(max_size=40))
def test_a_secret_is_struck_out_however_the_output_is_cut(
    cuts: list[int], before: bytes, after: bytes
) -> None:
    redactor = Redactor(patterns([SECRET]))
    out = b"".join(redactor.feed(piece) for piece in _pieces(before + SECRET + after, cuts)) + redactor.end()
    assert out == before + b"***" + after


@given(st.lists(st.integers(0, 10_000)), st.binary(max_size=200))
def test_other_output_passes_unchanged(cuts: list[int], content: bytes) -> None:
    redactor = Redactor(patterns([SECRET]))
    out = b"".join(redactor.feed(piece) for piece in _pieces(content, cuts)) + redactor.end()
    assert out == content


def test_output_that_cannot_begin_a_secret_is_not_held_back() -> None:
    redactor = Redactor(patterns([b"topsecret"]))
    assert redactor.feed(b"progress 10%") == b"progress 10%"
    assert redactor.feed(b" tops") == b" "
    assert redactor.feed(b"y-turvy") == b"topsy-turvy"


@pytest.mark.parametrize("user", [b"", b"u:", b"us:", b"user:"])
def test_base64_is_found_at_every_alignment(user: bytes) -> None:
    encoded = base64.b64encode(user + SECRET + b"@tail")
    assert Finder(patterns([SECRET])).feed(b"Authorization: Basic " + encoded) is not None


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        base64.urlsafe_b64encode(SECRET),
        urllib.parse.quote(SECRET, safe="").encode(),
        urllib.parse.quote_plus(SECRET).encode(),
    ],
)
def test_every_way_of_writing_it_is_found(written: bytes) -> None:
    assert Finder(patterns([SECRET])).feed(b"x" * 9 + written + b"y") is not None


@given(st.lists(st.integers(0, 10_000)), st.binary(max_size=60))
def test_a_finder_tells_where_it_begins_also_across_chunks(cuts: list[int], before: bytes) -> None:
    finder = Finder(patterns([SECRET]))
    found = [finder.feed(piece) for piece in _pieces(before + SECRET + b"rest", cuts)]
    assert [at for at in found if at is not None][0] == len(before)  # noqa: RUF015


@pytest.mark.parametrize(
    "file",
    [
        b"machine index.example login ci password hunter2-hunter2",
        b"machine a\n  login ci\n  password hunter2-hunter2\nmachine b login x password y",
        b"https://ci:hunter2-hunter2@index.example/simple",
    ],
)
def test_the_password_in_a_netrc_or_a_url_is_found_on_its_own(file: bytes) -> None:
    assert Finder(patterns([file])).feed(b"token: hunter2-hunter2") is not None
    assert Finder(patterns([file])).feed(b"https://index.example/simple login") is None


def test_without_secrets_nothing_is_looked_for() -> None:
    assert patterns([b""]) == ()
    assert Finder(()).feed(b"anything") is None
    assert Redactor(()).feed(b"anything") == b"anything"
