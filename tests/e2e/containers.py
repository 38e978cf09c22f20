"""What the Docker engine itself says was started, whatever has been removed since."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from tests.engines.images import client


@contextmanager
def containers_started(labels: Mapping[str, str | None]) -> Iterator[list[str]]:
    """The ids, once the context is left, of containers with these labels (any value: None) that were started inside."""
    found: list[str] = []
    wanted = [name if value is None else f"{name}={value}" for name, value in labels.items()]
    began = time.time_ns()
    yield found
    with closing(client()) as engine:
        events = engine.events(
            since=began // 10**9,
            until=int(time.time()) + 1,
            filters={"type": "container", "event": "start", "label": wanted},
            decode=True,
        )
        started = (event for event in events if event["timeNano"] >= began)
        # what looks at a long build's disk is no build
        found += [one["id"] for one in started if "gitreceive.watches" not in one["Actor"]["Attributes"]]
