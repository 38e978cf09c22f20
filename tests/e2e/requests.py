"""Requests all along: two clients, one with a new connection each time, one that keeps its connection."""

import http.client
import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Self
from urllib.parse import urlsplit


class Requests:
    """While inside, asks the URL again and again, of ``host`` where it is another. ``failures`` has every answer that was not 200, and every error."""

    def __init__(self, url: str, host: str = "") -> None:
        self._url = urlsplit(url)
        self._headers = {"Host": host} if host else {}
        self._stop = threading.Event()
        self._bodies: set[str] = set()
        self.failures: list[str] = []
        self.count = 0
        self._threads = [threading.Thread(target=self._ask, args=(keep,)) for keep in (False, True)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def until(self, seen: Callable[[AbstractSet[str]], bool], seconds: float = 15) -> None:
        """Go on until the answers are as expected."""
        end = time.monotonic() + seconds
        while not seen(frozenset(self._bodies)):
            assert time.monotonic() < end, f"only seen: {sorted(self._bodies)}"
            time.sleep(0.05)

    def _ask(self, keep: bool) -> None:
        connection = self._connect()
        fresh = True
        while not self._stop.is_set():
            try:
                self._one(connection)
                fresh = False
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # a kept connection may be closed between two requests (RFC 9112, 9.3.1): clients then ask once more
                if fresh or not _closed_while_idle(error):
                    self.failures.append(repr(error))
                fresh = True
            if not keep:
                connection.close()
                fresh = True
            time.sleep(0.01)
        connection.close()

    def _one(self, connection: http.client.HTTPConnection) -> None:
        connection.request("GET", self._url.path or "/", headers=self._headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        self.count += 1
        self._bodies.add(body)
        if answer.status != http.client.OK:
            self.failures.append(f"{answer.status} {body[:80]}")

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=10)


def _closed_while_idle(error: Exception) -> bool:
    return isinstance(error, http.client.RemoteDisconnected | BrokenPipeError | ConnectionResetError)
