"""An archive from the web, checked against its digest."""

import hashlib
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import httpx

from gitreceive.cancellation import Cancellation
from gitreceive.engines.buildpackages.unpack import UnsafeError
from gitreceive.errors import UnavailableError, cause
from gitreceive.model import Digest

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_ATTEMPTS = 3
_PAUSE = 1.0
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_MOST_REDIRECTS = 5
_PIECE = 1 << 18


class Downloads:
    """Over ``way``. Nothing of the server's logins or cookies is sent. Thread-safe."""

    def __init__(self, way: httpx.BaseTransport) -> None:
        self._client = httpx.Client(
            transport=way,
            trust_env=False,
            timeout=_TIMEOUT,
            follow_redirects=True,
            max_redirects=_MOST_REDIRECTS,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": "gitreceive", "Accept": "*/*", "Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        self._client.close()

    def fetch(self, url: str, digest: Digest, path: Path, limit: int, cancel: Cancellation) -> None:
        """Write to ``path`` what ``url`` answers with. Raises UnsafeError for more than ``limit`` bytes or another digest,
        UnavailableError, ForbiddenError, CanceledError.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                seen = self._once(url, path, limit, cancel)
                break
            except _PassingError as error:
                if attempt == _ATTEMPTS:
                    raise UnavailableError(error.message, hint=error.hint) from error
                cancel.wait(_PAUSE * attempt)
        if seen != digest:
            raise UnsafeError(
                f"its sha256 is {seen.removeprefix('sha256:')}",
                hint="the archive is another one than was named: see what has changed, then name its sha256",
            )

    def _once(self, url: str, path: Path, limit: int, cancel: Cancellation) -> str:
        try:
            with self._client.stream("GET", url) as response:
                _check(response)
                return _save(response, path, limit, cancel)
        except httpx.TooManyRedirects as error:
            raise UnavailableError(f"{url} is redirected more than {_MOST_REDIRECTS} times") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise UnavailableError(f"{url} cannot be asked for: {error}") from error
        except httpx.HTTPError as error:
            raise _failure(url, error) from error


class _PassingError(UnavailableError):
    """It may work the next time."""


def _check(response: httpx.Response) -> None:
    if response.status_code == 200:
        return
    kind = _PassingError if response.status_code in _PASSING else UnavailableError
    raise kind(
        f"{response.url.host} answered {response.status_code} for {response.url.path[:160]}",
        hint="see that the address is right, and can be read without a login",
    )


def _save(response: httpx.Response, path: Path, limit: int, cancel: Cancellation) -> str:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in response.iter_raw(_PIECE):
            cancel.raise_if_requested()
            size += len(piece)
            if size > limit:
                raise UnsafeError(
                    f"it is larger than {limit >> 20} MiB", hint="leave out what builds do not need"
                )
            digest.update(piece)
            file.write(piece)
    return f"sha256:{digest.hexdigest()}"


def _failure(url: str, error: httpx.HTTPError) -> UnavailableError:
    host = httpx.URL(url).host
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return UnavailableError(
            f"{host} has a certificate that is not trusted",
            hint="put its authority into the file that build.ca_bundle names",
        )
    why = (
        "does not answer in time"
        if isinstance(error, httpx.TimeoutException)
        else f"cannot be reached: {cause(error)}"
    )
    return _PassingError(f"{host} {why}", hint="see that the server can reach it, or set a proxy")
