"""What a build container may say: its events, and the shape that each must have.

A program of a buildpack that gets hold of the channel can say anything on it; the worst that may come of it is a failed build.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gitreceive.lifecycle import frames


@dataclass(frozen=True)
class Each:
    """An object with any keys, and values of one shape."""

    shape: object


# A type; None; a tuple of shapes, any of which will do; a list of things of one shape; an object with at least these keys.
_VERDICT = {"id": str, "version": str, "verdict": str, "code": int, "output": str, "reason": str}
_CONTENT = {"key": str, "version": str, "layers": Each(Each(object))}
_EVENTS: Mapping[object, object] = {
    "layer": {"title": str},
    "reuse": {"title": str, "diff_id": str},
    "done": {
        "buildpacks": [str],
        "processes": [str],
        "default": str,
        "labels": Each(str),
        "contents": [_CONTENT],
        "tried": [str],
        "inputs": (None, Each([str])),
        "observed": Each(object),
    },
    "failed": {"kind": str},
}
_FAILURES: Mapping[object, object] = {
    "detect": {"verdicts": [_VERDICT], "reasons": [str]},
    "buildpack": {"buildpack": str, "code": (int, None), "reason": str, "out_of_memory": bool},
    "leak": {"layer": str, "secret": str, "file": str},
}


def read_event(read: Callable[[int], bytes]) -> dict[str, Any]:
    """The next event; ``read(n)`` gives at most n bytes. Raises ChannelError for what is none, or has not the shape of its kind."""
    event = frames.read_message(read)
    kind = event.get("event")
    if not isinstance(kind, str) or kind not in _EVENTS:
        raise frames.ChannelError(f"an event {str(kind)[:60]!r} came")
    failure = str(event.get("kind")) if kind == "failed" else ""
    if not _fits(event, _EVENTS[kind]) or not _fits(event, _FAILURES.get(failure, {})):
        raise frames.ChannelError(
            f"an event {f'{kind} {failure}'.strip()[:60]!r} has not the shape that it must have"
        )
    return event


def require_layers(done: Mapping[str, Any], titles: Collection[str]) -> None:
    """Raises ChannelError where ``done`` tells of layers that did not come."""
    told = (f"{content['key']}:{name}" for content in done["contents"] for name in content["layers"])
    missing = next((title for title in told if title not in titles), None)
    if missing:
        raise frames.ChannelError(f"the layer {missing[:100]!r} did not come")


def _fits(value: object, shape: object) -> bool:
    match shape:
        case type():
            return isinstance(value, shape) and not (shape is int and isinstance(value, bool))
        case tuple():
            return any(_fits(value, one) for one in shape)
        case list():
            return isinstance(value, list) and all(_fits(item, shape[0]) for item in value)
        case Each():
            return isinstance(value, dict) and all(_fits(item, shape.shape) for item in value.values())
        case dict():
            return isinstance(value, dict) and all(
                key in value and _fits(value[key], part) for key, part in shape.items()
            )
        case _:
            return value is shape
