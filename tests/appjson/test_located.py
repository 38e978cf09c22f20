import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.appjson.located import MalformedError, Node, Place, parse

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(-1e9, 1e9) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
_LAYOUTS = st.sampled_from([None, 2, "\t"])


def plain(node: Node) -> object:
    if node.members is not None:
        return {key: plain(inner) for key, inner in node.members.items()}
    return [plain(inner) for inner in node.items] if node.items is not None else node.value


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for inner in (*(node.members or {}).values(), *(node.items or ())):
        yield from nodes(inner)


@given(_VALUES, _LAYOUTS, st.booleans())
def test_every_value_is_read_as_the_standard_library_reads_it(
    value: object, indent: str | int | None, escaped: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)
    assert plain(parse(text)) == json.loads(text)


@given(_VALUES, _LAYOUTS)
def test_every_value_stands_where_it_is_said_to(value: object, indent: str | int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    lines = text.split("\n")
    for node in nodes(parse(text)):
        before = sum(len(line) + 1 for line in lines[: node.place.line - 1]) + node.place.column - 1
        assert json.JSONDecoder().raw_decode(text, before)[0] == plain(node)


@given(st.text('{}[]",:\\/ \n\t0123456789.-+eEtruefalsnA\u00fc\ud83d\udc00', max_size=30))
def test_what_is_no_json_is_refused_and_what_is_is_not(text: str) -> None:
    try:
        node = parse(text)
    except MalformedError as error:
        assert 1 <= error.place.line <= text.count("\n") + 1
        assert error.place.column >= 1
        return
    assert plain(node) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "what", "place", "path"),
    [
        ("", "a value was expected, not the end of the file", Place(1, 1), ""),
        ('{"a": 1,\n}', "a comma stands behind the last one", Place(1, 8), ""),
        ('{"a":\n  {"b" 1}}', "':' was expected, not '1'", Place(2, 8), "a.b"),
        ('{"a": [1,\n 2 3]}', "',' or ']' was expected, not '3'", Place(2, 4), "a"),
        ('{\n// why\n"a": 1}', "not a comment: JSON has none", Place(2, 1), ""),
        ("{'a': 1}", "the name of a member was expected, in quotes", Place(1, 2), ""),
        ('{"a": "b}', "the text has no closing quote", Place(1, 7), "a"),
        ('{"a": "\\q"}', 'the text holds a "\\" that begins nothing', Place(1, 8), "a"),
        ('{"a": "b\nc"}', "a text goes over a line's end", Place(1, 9), "a"),
        ('{"a": 1, "b": 2,\n "a": 3}', "is there twice", Place(2, 2), "a"),
        ('{"a b": [true, nil]}', "a value was expected, not 'n'", Place(1, 16), '"a b"[1]'),
        ("{} {}", "something follows the end", Place(1, 4), ""),
        ("[" * 100, "values are nested too deeply", Place(1, 52), "[0]" * 51),
        ('"\\ud800"', "half a surrogate pair is no character", Place(1, 1), ""),
        ("[" + "1" * 5000 + "]", "the number is too long", Place(1, 2), "[0]"),
    ],
)
def test_an_error_says_what_and_where(text: str, what: str, place: Place, path: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse(text)
    assert what in caught.value.what
    assert (caught.value.place, caught.value.path) == (place, path)
