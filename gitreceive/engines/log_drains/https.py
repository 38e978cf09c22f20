"""Lines of JSON in a POST (application/x-ndjson); what is answered by 2xx has arrived."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from gitreceive import __version__
from gitreceive.errors import UnavailableError, cause

_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_TOO_LARGE = 413
_BEGINNING = 1000  # characters
_LONGEST_WAIT = 300.0  # seconds of Retry-After that are heeded


class HttpsReceiver:
    """A ``Receiver``. Redirects are not followed: the address was chosen by somebody who may choose it."""

    settle_seconds = 0.0

    def __init__(
        self,
        url: str,
        shown: str,
        headers: Mapping[str, str],
        login: tuple[str, str] | None,
        transport: httpx.BaseTransport,
        probe: Callable[[], object] = lambda: None,
    ) -> None:
        """``transport`` decides what may be reached; ``probe`` looks, and raises, before anything is sent."""
        self._url = url
        self._shown = shown
        own = {"User-Agent": f"gitreceive/{__version__}", "Content-Type": "application/x-ndjson"}
        self._probe = probe
        self._client = httpx.Client(
            transport=transport,
            headers={**own, **headers},
            auth=login,
            timeout=_TIMEOUT,
            follow_redirects=False,
            trust_env=False,
        )
        self._not_before = 0.0
        self._most = 1 << 16  # entries at once, fewer where the receiver finds them too many

    def send(self, entries: Sequence[Mapping[str, Any]]) -> int:
        if time.monotonic() < self._not_before:
            raise UnavailableError(f"the log drain {self._shown} asks for patience")
        chosen = entries[: self._most]
        answer = self._post(chosen)
        while answer.status_code == _TOO_LARGE and len(chosen) > 1:
            chosen = chosen[: len(chosen) // 2]
            self._most = len(chosen)
            answer = self._post(chosen)
        if (
            answer.status_code == _TOO_LARGE
        ):  # of one line, its beginning is better than nothing, and nothing behind it
            answer = self._post([{**chosen[0], "text": f"{chosen[0]['text'][:_BEGINNING]} [cut]"}])
        if answer.is_success:
            self._most = min(1 << 16, self._most * 2)
            return len(chosen)
        self._heed(answer)
        raise UnavailableError(
            f"the log drain {self._shown} answers {answer.status_code} {answer.reason_phrase}",
            hint="see that its URL and token are right: log-drains test",
        )

    def _post(self, entries: Sequence[Mapping[str, Any]]) -> httpx.Response:
        lines = (json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") for entry in entries)
        try:
            return self._client.post(self._url, content=b"".join(line + b"\n" for line in lines))
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"the log drain {self._shown} cannot be reached: {_why(error)}",
                hint="see that the receiver runs; drains.ca_bundle adds certificate authorities",
            ) from error

    def check(self) -> bool:
        """Each request has its own connection."""
        return True

    def probe(self) -> None:
        self._probe()

    def close(self) -> None:
        """Nothing is held between two requests."""

    def _heed(self, answer: httpx.Response) -> None:
        asked = answer.headers.get("Retry-After", "")
        if asked.isascii() and asked.isdigit() and len(asked) < 9:
            self._not_before = time.monotonic() + min(_LONGEST_WAIT, int(asked))


def _why(error: httpx.HTTPError) -> str:
    return cause(error) or type(error).__name__
