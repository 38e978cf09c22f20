"""What an app's containers print."""

import time
from collections.abc import Callable, Iterable, Sequence

from gitreceive.engines.docker_target.containers import Container
from gitreceive.engines.docker_target.engine import Engine, Output
from gitreceive.model import RELEASE_PROCESS, LogSource
from gitreceive.tailing import Run
from gitreceive.tailing.lines import SECOND

_LOOK_SECONDS = 0.5


class ContainerRuns:
    """``Runs``: each container, whose log goes on when Docker starts it again."""

    late_seconds = 0.0

    def __init__(self, engine: Engine, containers: Callable[[], Iterable[Container]]) -> None:
        self._engine = engine
        self._containers = containers

    def there(self) -> Sequence[Run]:
        return [_run(container) for container in self._containers() if not container.place.reserved]

    def wait(self, seconds: float) -> None:
        """Nothing tells of changes here: look often."""
        time.sleep(min(seconds, _LOOK_SECONDS))

    def open(self, run: Run, *, since: int | None, tail: int | None, follow: bool) -> Output:
        whole = since // SECOND if since is not None else None
        return self._engine.log(run.log, tail=tail, since=whole, follow=follow, timestamps=True)


def _run(container: Container) -> Run:
    ended = container.state not in {"created", "running", "restarting", "paused"}
    return Run(container.id, container.instance, container.place.process, _source(container), ended)


def _source(container: Container) -> LogSource:
    if not container.once:
        return LogSource.APP
    usual = LogSource.RELEASE if container.place.process == RELEASE_PROCESS else LogSource.RUN
    return LogSource(container.source or usual)
