"""Logging in to registries: Docker's own login, and the token flow of the Docker registry token specification."""

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from gitreceive.errors import ConfigError, RegistryError
from gitreceive.model import Secret

if TYPE_CHECKING:
    from gitreceive.cancellation import Cancellation

_TOKEN_SECONDS = 60.0  # where the token service says nothing
_PARAMETER = re.compile(r'([A-Za-z_]+)="([^"]*)"|([A-Za-z_]+)=([^\s,"]+)')


@dataclass(frozen=True)
class Login:
    """What ``docker login`` left for a registry: a name and a password, or an identity token."""

    username: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    identity_token: Secret | None = None

    @property
    def basic(self) -> str:
        pair = f"{self.username}:{self.password.reveal()}".encode()
        return "Basic " + base64.b64encode(pair).decode()


# method, URL, headers, body → JSON; raises RegistryError
Ask = Callable[[str, str, Mapping[str, str], bytes | None, "Cancellation"], bytes]


class Authorizer:
    """Answers the challenges of registries and keeps the tokens until shortly before they run out. Thread-safe."""

    def __init__(
        self, ask: Ask, login: Callable[[str], Login | None], allow_plain: Callable[[str], bool]
    ) -> None:
        self._ask = ask
        self._login = login
        self._allow_plain = allow_plain
        self._lock = threading.Lock()
        self._headers: dict[tuple[str, tuple[str, ...]], tuple[Secret, float]] = {}

    def header(self, host: str, scopes: tuple[str, ...]) -> str | None:
        """The Authorization header that worked last; None where none is known or it is about to run out."""
        with self._lock:
            secret, expires = self._headers.get((host, scopes), (None, 0.0))
        return secret.reveal() if secret and time.monotonic() < expires else None

    def answer(self, host: str, scopes: tuple[str, ...], challenge: str, cancel: "Cancellation") -> str:
        """The header that answers ``challenge`` (RFC 9110, WWW-Authenticate). Raises RegistryError where there is no answer."""
        scheme, _, rest = challenge.strip().partition(" ")
        login = self._login(host)
        if scheme.lower() == "basic" and login and login.username:
            header, seconds = login.basic, float("inf")
        elif scheme.lower() == "bearer":
            header, seconds = self._token(host, scopes, _parameters(rest), login, cancel)
        else:
            raise RegistryError(f"the registry {host} asks for a login", hint=login_hint(host))
        with self._lock:
            self._headers[host, scopes] = Secret(header), time.monotonic() + seconds
        return header

    def _token(
        self,
        host: str,
        scopes: tuple[str, ...],
        challenge: Mapping[str, str],
        login: Login | None,
        cancel: "Cancellation",
    ) -> tuple[str, float]:
        realm = challenge.get("realm", "")
        if urlsplit(realm).scheme != "https" and not (realm.startswith("http:") and self._allow_plain(host)):
            raise RegistryError(
                f"the registry {host} sends logins to {realm[:120]!r}, which is not HTTPS",
                hint="give the registry's token service TLS, or set registry_insecure if the network is trusted",
            )
        fields = [("service", challenge.get("service", "")), *(("scope", scope) for scope in scopes)]
        if login and login.identity_token:
            form = [("grant_type", "refresh_token"), ("refresh_token", login.identity_token.reveal())]
            form += [("client_id", "gitreceive"), fields[0], ("scope", " ".join(scopes))]
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            raw = self._ask("POST", realm, headers, urlencode(form).encode(), cancel)
        else:
            headers = {"Authorization": login.basic} if login else {}
            joint = "&" if "?" in realm else "?"
            raw = self._ask("GET", realm + joint + urlencode(fields), headers, None, cancel)
        return _parse_token(host, raw)


def docker_login(host: str) -> Login | None:
    """What Docker's configuration and its credential helpers know of ``host``; None where that is nothing. Raises ConfigError."""
    import docker.auth
    from docker.errors import DockerException

    try:
        entry = docker.auth.load_config().resolve_authconfig(host)
    except (DockerException, ValueError, OSError):
        # the cause may quote what the helper printed
        raise ConfigError(
            f"Docker's login for {host} cannot be read", hint=f"repair it with: docker login {host}"
        ) from None
    if not entry:
        return None
    known = {key.lower(): value for key, value in entry.items() if value}
    if "identitytoken" in known:
        return Login(identity_token=Secret(known["identitytoken"]))
    if "username" not in known:
        return None
    return Login(known["username"], Secret(known.get("password", "")))


def login_hint(host: str) -> str:
    """What to do where a login is missing."""
    return f"as the user that runs the server: docker login {host}"


def _parameters(text: str) -> dict[str, str]:
    return {(m[1] or m[3]).lower(): m[2] if m[1] else m[4] for m in _PARAMETER.finditer(text)}


def _parse_token(host: str, raw: bytes) -> tuple[str, float]:
    try:
        answer = json.loads(raw)
        token = answer.get("token") or answer["access_token"]
        seconds = float(answer.get("expires_in") or _TOKEN_SECONDS)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RegistryError(f"the token service of {host} gave no token", hint=login_hint(host)) from None
    # a token that ends while a large layer is under way costs only another question
    return f"Bearer {token}", seconds * 0.8
