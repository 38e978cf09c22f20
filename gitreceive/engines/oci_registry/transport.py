"""HTTP to registries: one pool of connections, logins, time limits, and patience with what passes."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from random import SystemRandom
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from gitreceive.cancellation import Cancellation
from gitreceive.engines.oci_registry.auth import Authorizer, Login, login_hint
from gitreceive.engines.oci_registry.reference import api_host, is_loopback
from gitreceive.errors import RegistryError

T = TypeVar("T")

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_DOCUMENT = 16 << 20
_PIECE = 1 << 20
_TIMEOUT = httpx.Timeout(60.0, connect=5.0, pool=60.0)
_LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=90.0)
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

_BROKEN = (
    "something fails inside the registry: see that its disk is not full, and its own log; then push again"
)


class PassingError(RegistryError):
    """It may work the next time. ``after``: seconds that the registry asked for."""

    def __init__(self, message: str, *, hint: str = "", after: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.after = after


class Errand(Cancellation):
    """What calls are made for: it can be stopped, and is told why it takes longer."""

    def __init__(self, warn: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self._warn = warn

    def say(self, text: str) -> None:
        if self._warn:
            self._warn(text)


@dataclass(frozen=True)
class Patience:
    """How long to go on trying: at most ``attempts``, and ``seconds`` of pauses between them."""

    attempts: int = 6
    seconds: float = 60.0
    first: float = 0.2

    def retry(self, action: Callable[[], T], errand: Errand) -> T:
        """Call ``action`` until it does not raise PassingError, with growing, jittered pauses. Raises RegistryError."""
        paused = 0.0
        for attempt in range(1, self.attempts + 1):
            errand.raise_if_requested()
            try:
                return action()
            except PassingError as error:
                pause = max(error.after, SystemRandom().uniform(0.5, 1.0) * self.first * 2**attempt)
                paused += pause
                if attempt == self.attempts or paused > self.seconds:
                    raise RegistryError(
                        f"{error.message} (tried {attempt} time{'s' if attempt > 1 else ''})",
                        hint=error.hint or "see that the registry is up, then push again",
                    ) from error
                errand.say(f"{error.message}; trying again in {pause:.1f} s")
            errand.wait(pause)
        raise RegistryError("the registry was not asked", hint="allow at least one attempt")


@dataclass(frozen=True)
class Body:
    """What is sent: ``open`` begins it anew for each attempt; ``length`` in bytes."""

    open: Callable[[], Iterator[bytes]]
    length: int

    @classmethod
    def of(cls, content: bytes) -> "Body":
        return cls(lambda: iter((content,)), len(content))


@dataclass(frozen=True)
class Call:
    """One request to the registry ``host``. ``path`` is a path, or a URL that the registry gave. ``accept``: statuses that are an
    answer; any other raises. ``save``: a file for the answer's body, which is otherwise held in memory; it takes ``most`` bytes.
    """

    method: str
    host: str
    path: str
    scopes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    accept: frozenset[int] = frozenset({200})
    save: Path | None = None
    most: int | None = None


@dataclass(frozen=True)
class Answer:
    status: int
    headers: httpx.Headers
    content: bytes


class Transport:
    """Thread-safe. Plain HTTP is spoken to loopback addresses and to ``insecure`` hosts only; proxies never see loopback."""

    def __init__(
        self,
        insecure: frozenset[str],
        environment: Mapping[str, str],
        login: Callable[[str], Login | None],
        patience: Patience,
        way: httpx.BaseTransport | None = None,
    ) -> None:
        """``way`` is what all requests go through, in place of a direct connection or the environment's proxy."""
        self.patience = patience
        self._way = way
        self._insecure = insecure
        self._environment = environment
        self._authorizer = Authorizer(self._ask, login, self.is_plain)
        self._lock = threading.Lock()
        self._clients: dict[bool, httpx.Client] = {}
        self._under_way, self._closed = 0, False

    def is_plain(self, host: str) -> bool:
        return host in self._insecure or is_loopback(host)

    def close(self) -> None:
        """No call begins any more; with the last that is under way in another thread its connection goes, too."""
        with self._lock:
            self._closed = True
        self._close_unused()

    def _close_unused(self) -> None:
        with self._lock:
            clients = tuple(self._clients.values()) if self._closed and not self._under_way else ()
        for client in clients:
            client.close()

    def send(self, call: Call, errand: Errand) -> Answer:
        """The answer, after as many attempts as patience allows. Raises RegistryError, CanceledError."""
        return self.patience.retry(lambda: self.once(call, errand), errand)

    def once(self, call: Call, errand: Errand) -> Answer:
        """One attempt. Raises PassingError where another may succeed, RegistryError, CanceledError."""
        url = self._url(call)
        # an upload may be sent on to another host: it gets no login of this one
        own = _origin(url) == _origin(self._base(call.host))
        header = self._authorizer.header(call.host, call.scopes) if own else None
        answer = self._exchange(call, url, header, errand)
        if answer.status == 401 and own:
            challenge = answer.headers.get("www-authenticate", "")
            header = self._authorizer.answer(call.host, call.scopes, challenge, errand)
            answer = self._exchange(call, url, header, errand)
        if answer.status in call.accept:
            return answer
        raise refusal(call, answer)

    def _base(self, host: str) -> str:
        return f"{'http' if self.is_plain(host) else 'https'}://{api_host(host)}"

    def _url(self, call: Call) -> str:
        if "://" not in call.path:
            return self._base(call.host) + call.path
        if not call.path.startswith("https:") and not self.is_plain(call.host):
            raise RegistryError(
                f"the registry {call.host} sends uploads to plain HTTP",
                hint="tell the registry its public address (for docker-registry: http.host), or forward X-Forwarded-Proto to it",
            )
        return call.path

    def _exchange(self, call: Call, url: str, authorization: str | None, errand: Errand) -> Answer:
        headers = {"User-Agent": "gitreceive", "Accept-Encoding": "identity", **call.headers}
        if authorization:
            headers["Authorization"] = authorization
        if call.body:
            headers["Content-Length"] = str(call.body.length)
        content = _watched(call.body.open(), errand) if call.body else None
        follow = call.method in {"GET", "HEAD"}
        try:
            with self._client(url) as client:
                request = client.build_request(call.method, url, headers=headers, content=content)
                response = client.send(request, stream=True, follow_redirects=follow)
                try:
                    return Answer(response.status_code, response.headers, _read(response, call, errand))
                finally:
                    response.close()
        except (
            httpx.LocalProtocolError,
            httpx.InvalidURL,
            httpx.UnsupportedProtocol,
            httpx.TooManyRedirects,
        ) as error:
            raise RegistryError(f"the registry {call.host} cannot be spoken to: {error}") from error
        except httpx.HTTPError as error:
            raise _unreachable(call, error) from error
        except OSError as error:
            raise RegistryError(
                f"a layer's file cannot be used: {error}", hint="see that the server's disk is not full"
            ) from error

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, errand: Errand
    ) -> bytes:
        host = urlsplit(url).netloc
        call = Call(method, host, url, headers=headers, body=Body.of(body) if body is not None else None)
        answer = self._exchange(call, url, None, errand)
        if answer.status == 200:
            return answer.content
        if answer.status in _PASSING:
            raise refusal(call, answer)
        raise RegistryError(
            f"the token service {host} refuses the login: {_words(answer)}",
            hint="as the user that runs the server: docker login",
        )

    @contextmanager
    def _client(self, url: str) -> Iterator[httpx.Client]:
        """It stays open while it is used. Raises RegistryError once the transport is closed."""
        near = is_loopback(urlsplit(url).netloc)
        with self._lock:
            if self._closed:
                raise RegistryError("the registry is not asked any more")
            if near not in self._clients:
                self._clients[near] = self._new_client(near=near)
            client = self._clients[near]
            self._under_way += 1
        try:
            yield client
        finally:
            with self._lock:
                self._under_way -= 1
            self._close_unused()

    def _new_client(self, *, near: bool) -> httpx.Client:
        if self._way:
            return httpx.Client(transport=self._way, trust_env=False, timeout=_TIMEOUT)
        verify = ssl.create_default_context(cafile=self._ca_file())
        return httpx.Client(verify=verify, trust_env=not near, timeout=_TIMEOUT, limits=_LIMITS)

    def _ca_file(self) -> str | None:
        named = (self._environment.get(name) for name in _CA_VARIABLES)
        return next((path for path in named if path and Path(path).is_file()), None)


def refusal(call: Call, answer: Answer) -> RegistryError:
    """The registry's answer as an error, in its own words."""
    said = f"the registry {call.host} answered {_words(answer)}"
    if answer.status in _PASSING:
        hint = _BROKEN if answer.status == 500 else ""
        return PassingError(said, hint=hint, after=_retry_after(answer.headers.get("retry-after", "")))
    hints = {
        401: login_hint(call.host),
        403: "let the server's registry user read and write this repository",
        404: "see that the registry's address and the repository's name are right",
        413: "raise the limit on request bodies of the proxy before the registry",
    }
    return RegistryError(said, hint=hints.get(answer.status, "see the registry's own log"))


def error_codes(answer: Answer) -> frozenset[str]:
    """The codes of an error answer (OCI distribution spec, "Error Codes")."""
    return frozenset(str(entry.get("code", "")) for entry in _errors(answer))


def _words(answer: Answer) -> str:
    said = "; ".join(
        f"{entry.get('code', '')} {entry.get('message', '')}".strip() for entry in _errors(answer)
    )
    return f"{answer.status}: {said[:300]}" if said else str(answer.status)


def _errors(answer: Answer) -> list[dict[str, object]]:
    try:
        entries = json.loads(answer.content)["errors"]
    except (ValueError, KeyError, TypeError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _retry_after(text: str) -> float:
    """Seconds of a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _unreachable(call: Call, error: httpx.HTTPError) -> RegistryError:
    kind = "does not answer in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
    hint = f"see that a registry listens at {call.host}"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return RegistryError(
            f"the registry {call.host} has a certificate that is not trusted",
            hint="put its authority into the file that SSL_CERT_FILE names, for the server's process",
        )
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        kind = "broke off"
    return PassingError(f"the registry {call.host} {kind}: {error or type(error).__name__}", hint=hint)


def _read(response: httpx.Response, call: Call, errand: Errand) -> bytes:
    if call.save and response.status_code in call.accept:
        with call.save.open("wb") as file:
            for piece in response.iter_raw(_PIECE):
                errand.raise_if_requested()
                file.write(piece)
                if call.most is not None and file.tell() > call.most:
                    raise RegistryError(
                        f"the registry {call.host} sent more than the {call.most} bytes it said"
                    )
        return b""
    content = bytearray()
    for piece in response.iter_bytes():
        errand.raise_if_requested()
        content += piece
        if len(content) > _MAX_DOCUMENT:
            raise RegistryError(
                f"the registry {call.host} sent a document of more than {_MAX_DOCUMENT >> 20} MiB"
            )
    return bytes(content)


def _watched(pieces: Iterator[bytes], errand: Errand) -> Iterator[bytes]:
    for piece in pieces:
        errand.raise_if_requested()
        yield piece


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
