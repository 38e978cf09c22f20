"""Docker's API for all who ask it: one client, with patience for what passes.

A request whose answer is lost is asked again where that changes nothing, which is nearly all of them (Engine API): what is started,
stopped, tagged or gone is so the second time too. A container is created by a mark, so that one whose making was not confirmed is found
and not made twice. What a command in a container has begun is never begun again.
"""

import errno
import io
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env

from gitreceive.cancellation import Cancellation
from gitreceive.config import process_environment
from gitreceive.errors import EngineAwayError, RolloutError, cause
from gitreceive.patience import Patience, within

TIMEOUT = 60  # seconds between two bytes of an answer
WHOLE_SECONDS = 150.0  # for an answer that is no stream
LOST = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
PULL_HINT = "check that Docker reaches the registry, and the credentials in ~/.docker/config.json"
UP_HINT = "start Docker, and see DOCKER_HOST and `docker version`"
NO_ROOM_HINT = (
    "free room where Docker keeps its images, for example with `docker system prune`, then try again"
)

_FIRST_ATTEMPTS = 4
_MARK = "gitreceive.made"
_NOBODY = frozenset(map(os.strerror, (errno.ECONNREFUSED, errno.ENOENT)))
_REFUSED = frozenset({429, 502, 503, 504})  # nothing was done
_PASSING = _REFUSED | {500}
_NEVER_AGAIN = re.compile(r"/exec/[^/]+/start(\?|$)")
_NO_ROOM = re.compile(r"no space left on device|disk quota exceeded|read-only file system", re.IGNORECASE)
# words of an engine's own, about a registry that it asked
_PASSING_WORDS = re.compile(
    r"unexpected HTTP status: (429|5\d\d)|received unexpected status code 5\d\d|toomanyrequests|connection reset|broken pipe|"
    r"unexpected EOF|: EOF$|i/o timeout|TLS handshake timeout|Client.Timeout",
    re.IGNORECASE,
)
# words of an engine's own that are the same the next time
_FINAL = re.compile(
    r"denied|unauthorized|no basic auth|not found|manifest unknown|HTTP response to HTTPS|x509|no matching manifest|"
    rf"already allocated|address already in use|{_NO_ROOM.pattern}",
    re.IGNORECASE,
)


def connect(patience: Patience | None = None) -> "Client":
    """The engine that ``DOCKER_HOST`` and its companions name, in the newest version that both know. Raises DockerException."""
    return Client(patience or Patience(), **kwargs_from_env(environment=process_environment()))


def away(error: BaseException) -> EngineAwayError:
    """For what a client raises that is no answer of the engine's."""
    return EngineAwayError(f"Docker does not answer: {cause(error)}", hint=UP_HINT)


def no_room(text: object) -> bool:
    """Whether an engine says that its disk takes no more."""
    return bool(_NO_ROOM.search(str(text)))


def is_passing(text: object) -> bool:
    """Whether an engine says that a registry failed it in a way that may pass."""
    return bool(_PASSING_WORDS.search(str(text)))


def is_final(text: object) -> bool:
    """Whether an engine's words will be the same the next time."""
    return bool(_FINAL.search(str(text)))


class Client(docker.APIClient):
    """Raises what docker-py raises, once patience is at its end."""

    def __init__(
        self,
        patience: Patience,
        *,
        timeout: int = TIMEOUT,
        whole_seconds: float = WHOLE_SECONDS,
        **options: Any,
    ) -> None:
        """``timeout``: seconds between two bytes of an answer; ``whole_seconds``: for one that is no stream.

        ``absences`` counts how often nobody was there at all: an engine that came back since may have ended what ran.
        """
        self.absences = 0
        # whether anybody is there is told soon
        self._patience = replace(patience, attempts=min(patience.attempts, _FIRST_ATTEMPTS))
        self._whole_seconds = whole_seconds
        super().__init__(version="auto", timeout=timeout, **options)
        self._patience = patience

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        """As requests has it. A body is sent again from its beginning; one that cannot be rewound is sent once."""
        body = _Body.of(options.get("data"))
        once = body is None or _NEVER_AGAIN.search(str(url)) is not None
        paused, attempt = 0.0, 0
        while True:
            attempt += 1
            answer, error = self._ask(method, url, options)
            wished = 0.0
            if answer is not None:
                if answer.status_code not in _PASSING or (once and answer.status_code not in _REFUSED):
                    return answer
                wished = _retry_after(answer)
                if not wished and answer.status_code == 500 and is_final(_said(answer)):
                    return answer
            pause = self._patience.pause(attempt, paused, wished)
            if pause is None or body is None or (once and error is not None):
                if error is not None:
                    raise error
                assert answer is not None
                return answer
            if answer is not None:
                answer.close()
            time.sleep(pause)
            paused += pause
            body.rewind()

    def _ask(
        self, method: str, url: str, options: Mapping[str, Any]
    ) -> tuple[requests.Response | None, requests.RequestException | None]:
        try:
            answer = self._once(method, url, options)
            if _is_cut_in_head(method, answer):
                answer.close()
                return None, requests.ConnectionError("Docker broke off in the head of an answer")
            return answer, None
        except (
            requests.Timeout,
            requests.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            self.absences += cause(error) in _NOBODY
            return None, error

    def _once(self, method: str, url: str, options: Mapping[str, Any]) -> requests.Response:
        if options.get("stream") or options.get("timeout") is None:
            return super().request(method, url, **options)
        ask = super().request
        try:
            return within(self._whole_seconds, lambda: ask(method, url, **options))
        except TimeoutError as error:
            raise requests.Timeout(f"Docker: {error}") from error

    def create_container_from_config(
        self, config: dict[str, Any], name: str | None = None, platform: str | None = None
    ) -> dict[str, Any]:
        """As docker-py has it. Where Docker says that the name is taken, and it is by what this call has made, that is the answer."""
        mark = secrets.token_hex(8)
        marked = {**config, "Labels": {**(config.get("Labels") or {}), _MARK: mark}}
        try:
            made: dict[str, Any] = super().create_container_from_config(marked, name, platform)  # type: ignore[no-untyped-call]
        except APIError as error:
            if error.status_code != 409 or not name:
                raise
            found = self.inspect_container(name)
            if (found["Config"].get("Labels") or {}).get(_MARK) != mark:
                raise
            return {"Id": found["Id"], "Warnings": None}
        return made

    def name(self, container: str, name: str) -> None:
        """Rename it. No error where it has that name already."""
        try:
            self.rename(container, name)
        except APIError as error:
            if error.status_code not in {400, 409, 500}:
                raise
            if self.inspect_container(container)["Name"].lstrip("/") != name:
                raise

    def fetch(
        self, repository: str, tag: str, cancel: Cancellation, login: Mapping[str, str] | None = None
    ) -> None:
        """Pull an image to its end. Raises RolloutError with the engine's words, EngineAwayError where it breaks off, CanceledError."""
        paused, attempt = 0.0, 0
        while True:
            attempt += 1
            try:
                self._fetch(repository, tag, cancel, login)
            except (APIError, _PullError) as error:
                said: Exception = error
                final = is_final(error) or (
                    isinstance(error, APIError) and error.status_code in {400, 401, 403, 404}
                )
            except (DockerException, ValueError, *LOST) as error:
                said, final = error, False
            else:
                return
            pause = None if final else self._patience.pause(attempt, paused)
            if pause is None:
                raise _pull_failure(
                    f"{repository}@{tag}" if ":" in tag else f"{repository}:{tag}", said
                ) from said
            cancel.wait(pause)
            paused += pause

    def _fetch(
        self, repository: str, tag: str, cancel: Cancellation, login: Mapping[str, str] | None
    ) -> None:
        given = None if login is None else dict(login)  # None: what ``docker login`` left is looked up
        progress = self.pull(repository, tag=tag, stream=True, decode=True, auth_config=given)
        for entry in progress:
            cancel.raise_if_requested()
            if "error" in entry:
                raise _PullError(str(entry["error"]))

    def await_end(self, container: str) -> int:
        """The exit code of a container, however long it runs. Raises docker-py's NotFound where it is gone."""
        while True:
            try:
                return int(self.wait(container, timeout=TIMEOUT)["StatusCode"])
            except requests.RequestException:
                state = self.inspect_container(container)["State"]
                if state["Status"] in {"exited", "dead"}:
                    return int(state["ExitCode"])


class _PullError(Exception):
    """Words of the engine, from a pull that it had begun."""


def _pull_failure(image: str, error: Exception) -> Exception:
    if isinstance(error, APIError | _PullError):
        words = error.explanation or error if isinstance(error, APIError) else error
        hint = NO_ROOM_HINT if no_room(error) else PULL_HINT
        return RolloutError(f"cannot pull {image}: {words}", hint=hint)
    return EngineAwayError(f"Docker broke off the pull of {image}: {cause(error)}", hint=UP_HINT)


class _Body:
    """A request's body as it was when it was first sent."""

    def __init__(self, file: Any = None) -> None:
        self._file = file
        self._start = file.tell() if file is not None else 0

    @classmethod
    def of(cls, given: object) -> "_Body | None":
        """None for what can be read only once."""
        if given is None or isinstance(given, str | bytes | Mapping | list):
            return cls()
        try:
            return cls(given)
        except (AttributeError, OSError, io.UnsupportedOperation):
            return None

    def rewind(self) -> None:
        if self._file is not None:
            self._file.seek(self._start)


def _is_cut_in_head(method: str, answer: requests.Response) -> bool:
    """Python's http.client takes what there is of a head for all of it. An engine says of each answer how it ends, unless it is a stream
    of a container's.
    """
    if method.upper() == "HEAD" or answer.status_code in {101, 204, 304}:
        return False
    framed = {"content-length", "transfer-encoding"} & {name.lower() for name in answer.headers}
    return not framed and not answer.headers.get("Content-Type", "").startswith("application/vnd.docker.")


def _said(answer: requests.Response) -> str:
    try:
        return str(answer.json().get("message", ""))
    except (ValueError, AttributeError, *LOST):
        return ""


def _retry_after(answer: requests.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0
