"""No bytes do more to a parser than be refused. In a run of all tests each is tried for a moment; ``scripts/fuzz`` goes on for longer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.parsers import PARSERS, Parser


def grammar(parser: Parser) -> st.SearchStrategy[bytes]:
    """Bytes, the parser's own words in any order, and what it takes with some of it replaced."""
    word = st.sampled_from((*parser.words, *parser.seeds)) | st.binary(max_size=8)
    whole = st.sampled_from(parser.seeds)
    at, length = st.integers(0, 2000), st.integers(0, 30)
    damaged = st.tuples(whole, at, length, st.lists(word, max_size=3).map(b"".join))
    return st.one_of(
        st.binary(max_size=200),
        st.lists(word, max_size=30).map(b"".join),
        damaged.map(lambda d: d[0][: d[1] % len(d[0])] + d[3] + d[0][d[1] % len(d[0]) + d[2] :]),
    )


@pytest.mark.parametrize("name", PARSERS)
def test_no_bytes_do_more_than_be_refused(name: str) -> None:
    parser = PARSERS[name]

    @settings(max_examples=max(40, settings().max_examples // 2))
    @given(grammar(parser))
    def tried(content: bytes) -> None:
        parser.run(content)

    tried()


@pytest.mark.parametrize("name", PARSERS)
def test_what_it_is_tried_with_at_first_is_taken(name: str) -> None:
    """Else nothing behind the first check would be tried."""
    for seed in PARSERS[name].seeds:
        PARSERS[name].parse(seed)
