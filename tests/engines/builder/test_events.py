"""What comes on a build's channel has the shape that it must have, or it is refused. Needs no Docker."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.engines.docker_builder.events import read_event, require_layers
from gitreceive.lifecycle import frames

DONE: dict[str, Any] = {
    "event": "done",
    "buildpacks": ["acme/lua@1.0"],
    "processes": ["web"],
    "default": "web",
    "labels": {"io.buildpacks.build.metadata": "{}"},
    "contents": [{"key": "acme/lua", "version": "1.0", "layers": {"lua": {"launch": True}}}],
    "tried": ["acme/lua@1.0"],
    "inputs": {"acme/lua": ["*.lua"]},
    "seconds": {"build": 0.1},
    "observed": {},
}
VERDICT = {"id": "acme/lua", "version": "1.0", "verdict": "fail", "code": 100, "output": "", "reason": ""}
EVENTS: list[dict[str, Any]] = [
    {"event": "layer", "title": "app"},
    {"event": "reuse", "title": "acme/lua:lua", "diff_id": f"sha256:{'0' * 64}"},
    DONE,
    {"event": "failed", "kind": "detect", "verdicts": [VERDICT], "reasons": ["no group fits"]},
    {"event": "failed", "kind": "leak", "layer": "app", "secret": "TOKEN", "file": "app.py"},
    {"event": "failed", "kind": "machine", "reason": "OSError: no space"},
    {
        "event": "failed",
        "kind": "buildpack",
        "buildpack": "acme/lua",
        "code": None,
        "reason": "",
        "out_of_memory": False,
    },
]
_TEXTS = st.sampled_from(["", "web", "acme/lua", "é\n", "x" * 300])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)


def sent(event: object) -> Callable[[int], bytes]:
    stream = BytesIO()
    frames.write_message(stream.write, event)  # type: ignore[arg-type]
    stream.seek(0)
    return stream.read


@pytest.mark.parametrize(
    "event", EVENTS, ids=lambda event: f"{event['event']} {event.get('kind', '')}".strip()
)
def test_what_the_lifecycle_says_is_read_as_it_is(event: dict[str, Any]) -> None:
    assert read_event(sent(event)) == event


@pytest.mark.parametrize(
    ("event", "key"),
    [(event, key) for event in EVENTS if event.get("kind") != "machine" for key in event if key != "seconds"],
)
def test_an_event_without_one_of_its_parts_is_refused(event: dict[str, Any], key: str) -> None:
    with pytest.raises(frames.ChannelError):
        read_event(sent({name: value for name, value in event.items() if name != key} | {"more": 1}))


@pytest.mark.parametrize(
    "change",
    [
        {"processes": "web"},
        {"processes": [["web"]]},
        {"labels": {"a": 1}},
        {"contents": [{"key": "a", "version": "1", "layers": []}]},
        {"contents": {}},
        {"inputs": []},
        {"inputs": {"acme/lua": None}},
        {"buildpacks": [None]},
        {"event": ["done"]},
        {"event": "gone"},
    ],
    ids=str,
)
def test_a_part_of_another_type_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(frames.ChannelError):
        read_event(sent(DONE | change))


@given(st.sampled_from(EVENTS), st.dictionaries(st.sampled_from([*DONE, "kind", "verdicts", "code"]), JSON))
def test_whatever_is_said_is_an_event_or_refused(event: dict[str, Any], change: dict[str, Any]) -> None:
    try:
        assert read_event(sent(event | change))["event"] in {"layer", "reuse", "done", "failed"}
    except frames.ChannelError as error:
        assert len(str(error)) < 200


def test_a_layer_that_is_told_of_has_come() -> None:
    require_layers(DONE, {"acme/lua:lua", "app"})
    with pytest.raises(frames.ChannelError, match="the layer 'acme/lua:lua' did not come"):
        require_layers(DONE, {"app"})
