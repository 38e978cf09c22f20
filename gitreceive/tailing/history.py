"""What there is of all logs, by time."""

import heapq
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from gitreceive.errors import RolloutError
from gitreceive.model import LogLine, LogQuery
from gitreceive.tailing.lines import Seen, line_of, nanoseconds, stamped
from gitreceive.tailing.runs import Run, Runs, wanted

_AT_ONCE = 8


def read(runs: Runs, query: LogQuery, seen: dict[str, Seen] | None = None) -> list[LogLine]:
    """The last ``query.lines`` of all logs together, by time. ``seen`` is told what of each log is known afterwards, shown or not.

    Raises UnavailableError, and what ``Runs.there`` raises.
    """
    chosen = [run for run in runs.there() if wanted(run, query)]
    newest = _Newest(query.lines)
    known = {run.log: Seen() for run in chosen}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done in [pool.submit(_take, runs, run, query, known[run.log], newest) for run in chosen]:
            done.result()
    if seen is not None:
        seen.update(known)
    return newest.by_time()


class _Newest:
    """Keeps so many lines as are wanted, whatever there is."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._heap: list[tuple[int, int, LogLine]] = []
        self._count = 0

    def add(self, lines: Iterable[LogLine]) -> None:
        with self._lock:
            for line in lines:
                self._count += 1  # of one log, in its order; times of different logs are seldom the same
                entry = (line.nanoseconds, self._count, line)
                if self._most is None or len(self._heap) < self._most:
                    heapq.heappush(self._heap, entry)
                elif self._most:
                    heapq.heappushpop(self._heap, entry)

    def by_time(self) -> list[LogLine]:
        return [line for _, _, line in sorted(self._heap, key=lambda entry: entry[:2])]


def _take(runs: Runs, run: Run, query: LogQuery, seen: Seen, newest: _Newest) -> None:
    since = nanoseconds(query.since) if query.since else None
    until = nanoseconds(query.until) + 999 if query.until else None  # that whole microsecond
    # without one line nothing would be known of where the log ends
    tail = None if query.lines is None or until is not None else max(1, query.lines)
    if since is not None:
        seen.skip_before(since)
    try:
        log = runs.open(run, since=since, tail=tail, follow=False)
    except RolloutError:
        return  # it has not begun, or is gone
    first, batch = True, []
    try:
        for time, text in stamped(log):
            if first and tail is not None:
                seen.skip_before(time)
            first = False
            if seen.is_new(time, text) and (until is None or time <= until):
                batch.append(line_of(run, time, text))
                if len(batch) >= 1000:
                    newest.add(batch)
                    batch = []
    finally:
        log.close()
        newest.add(batch)
