from pathlib import Path

import pytest
from procfilepack import building, detection
from procfilepack.cnb import Refusal


def test_each_line_is_a_process_type_in_order() -> None:
    text = b"# comment\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\n\nworker : python work.py\r\n"
    assert list(building.parse(text).items()) == [
        ("web", "gunicorn app:app --bind 0.0.0.0:$PORT"),
        ("worker", "python work.py"),
    ]


def test_a_byte_order_mark_is_no_part_of_a_name() -> None:
    assert list(building.parse(b"\xef\xbb\xbfweb: serve")) == ["web"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"web: a\nworker b\n", ["line 2", "colon", "worker b"]),
        (b"web: a\nweb: b\n", ["line 2", "web", "line 1"]),
        (b"web:\n", ["line 1", "no command"]),
        (b"Web: a\n", ["line 1", "'Web'"]),
        (b"-x: a\n", ["line 1", "'-x'"]),
        (b"a" * 31 + b": b\n", ["line 1", "cannot name"]),
        (b"web: a\0b\n", ["line 1", "NUL"]),
        (b"# nothing\n", ["no process type"]),
        (b"web: \xff\n", ["UTF-8", "byte 5"]),
    ],
)
def test_a_malformed_line_is_refused_with_its_number(text: bytes, words: list[str]) -> None:
    with pytest.raises(Refusal) as refusal:
        building.parse(text)
    assert all(word in str(refusal.value) for word in words)
    assert refusal.value.hint


def test_a_name_of_other_case_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "procfile").write_text("web: a\n")
    verdict = detection.decide(tmp_path)
    assert not verdict.passed
    assert "rename it to Procfile" in verdict.reason
