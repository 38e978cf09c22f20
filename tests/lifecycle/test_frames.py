import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.lifecycle import frames


def test_messages_and_streams_come_out_as_they_went_in() -> None:
    buffer = io.BytesIO()
    big = bytes(range(256)) * 8192
    frames.write_message(buffer.write, {"a": "ä"})
    frames.write_stream(buffer.write, [b"one", big, b""])
    frames.write_message(buffer.write, {"b": 2})
    buffer.seek(0)
    assert frames.read_message(buffer.read) == {"a": "ä"}
    assert b"".join(frames.read_stream(buffer.read)) == b"one" + big
    assert frames.read_message(buffer.read) == {"b": 2}


@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(1, 30), min_size=1))
def test_a_stream_is_a_file_whatever_is_read_at_once(chunks: list[bytes], sizes: list[int]) -> None:
    file = frames.StreamFile(iter([chunk for chunk in chunks if chunk]))
    parts = [file.read(size) for size in sizes]
    assert b"".join([*parts, file.read()]) == b"".join(chunks)
    for size, part in zip(sizes, parts, strict=True):
        assert len(part) <= size


def test_a_channel_that_ends_within_a_frame_is_an_error() -> None:
    buffer = io.BytesIO()
    frames.write_message(buffer.write, {"a": 1})
    cut = io.BytesIO(buffer.getvalue()[:-1])
    with pytest.raises(frames.ChannelError, match="1 bytes before the end"):
        frames.read_message(cut.read)


@pytest.mark.parametrize(
    "content", [b"C\0\0\0\1x", b"M\xff\xff\xff\xff", b"M\0\0\0\1[", b"M\0\0\0\2[]", b"garbage, no frame"]
)
def test_what_is_no_message_is_refused(content: bytes) -> None:
    with pytest.raises(frames.ChannelError):
        frames.read_message(io.BytesIO(content).read)


def test_a_chunk_above_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(frames.ChannelError):
        list(frames.read_stream(io.BytesIO(b"C\x7f\xff\xff\xff").read))
