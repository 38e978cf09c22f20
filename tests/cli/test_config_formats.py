"""Config as text: what is written is read to the byte, and what others write is read as they mean it."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.cli.config_formats import parse, write
from gitreceive.errors import UsageError
from gitreceive.model import Secret

_NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)
_ROUGH = st.text(st.sampled_from("'\"\\$#= \n\r\t{}`a\u2028\ufeff\x85"), max_size=12)
_TEXTS = st.one_of(_ROUGH, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
_CONFIGS = st.dictionaries(_NAMES, _TEXTS.map(Secret), max_size=5)


@given(_CONFIGS)
def test_what_is_written_is_read_to_the_byte(config: dict[str, Secret]) -> None:
    for form in ("json", "dotenv"):
        assert parse(write(config, form).encode(), form) == config
        assert parse(write(config, form).encode(), None) == config


@given(_CONFIGS)
def test_a_shell_reads_what_is_written_for_it_to_the_byte(config: dict[str, Secret]) -> None:
    words = shlex.split(write(config, "shell"))
    assert words[::2] == ["export"] * len(config)
    assert dict(word.split("=", 1) for word in words[1::2]) == {n: v.reveal() for n, v in config.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\nB=two words # three\n", {"A": "1", "B": "two words"}),
        ("# nothing\n\nexport A=1\n", {"A": "1"}),
        ("A=\nB=''\nC=\"\"", {"A": "", "B": "", "C": ""}),
        ('A="one\ntwo"\nB=3', {"A": "one\ntwo", "B": "3"}),
        ('A="one\\ntwo \\"x\\""', {"A": 'one\ntwo "x"'}),
        ('A=$HOME ${B:-x}\nB="$A"', {"A": "$HOME ${B:-x}", "B": "$A"}),
        ("A='it\\'s #1'", {"A": "it's #1"}),
        ("A=1\r\nB='2\r\n3'\r\n", {"A": "1", "B": "2\r\n3"}),
        ("\ufeffA=1", {"A": "1"}),
        ("", {}),
        (' {"A": "1"}', {"A": "1"}),
    ],
)
def test_what_others_write_is_read_as_they_mean_it(text: str, expected: dict[str, str]) -> None:
    assert {name: value.reveal() for name, value in parse(text.encode(), None).items()} == expected


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        parse(b"A=\xff", "dotenv")
