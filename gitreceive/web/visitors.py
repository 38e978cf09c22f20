"""Who comes in by HTTP: whoever shows a token as the password of HTTP's basic authentication (RFC 7617). The name beside it says nothing."""

import base64
import binascii
import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from gitreceive.acting import SERVER, Actor, acting
from gitreceive.addresses import network_of
from gitreceive.errors import ForbiddenError
from gitreceive.model import Grant, Secret

_AT_ONCE = 10  # wrong tokens that one address may show
_EACH = 6.0  # seconds in which it may show one more
_MOST_ADDRESSES = 10_000
_HOW = "the token is the password, and any name will do"
_LONGEST = 1 << 10  # bytes of a header that can be a token's


class TokenKeeper(Protocol):
    """Who knows the tokens."""

    def grant_of_token(self, token: Secret) -> Grant | None:
        """None where there is no such token, or where it has run out, was revoked, or its user may not come in. May block."""


class UnknownVisitorError(ForbiddenError):
    """Nobody that is known."""


class TooManyAttemptsError(ForbiddenError):
    """From this address, until ``seconds`` have passed."""

    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"too many wrong tokens came from this address; try again in {seconds} s",
            hint="git keeps passwords: see git help credential",
        )
        self.seconds = seconds


@dataclass(frozen=True)
class Visitors:
    tokens: TokenKeeper
    attempts: "Attempts"

    def actor(self, authorization: str | None, address: str) -> Actor:
        """Who shows this header, from this address. Raises UnknownVisitorError, TooManyAttemptsError."""
        if authorization is None:
            raise UnknownVisitorError("a token is needed", hint=_HOW)
        wait = self.attempts.wait(address)
        if wait:
            raise TooManyAttemptsError(wait)
        token = _token(authorization)
        with acting(
            replace(SERVER, address=address)
        ):  # should the token open nothing any more, this is where it came from
            grant = self.tokens.grant_of_token(token) if token else None
        if grant is None:
            self.attempts.failed(address)
            raise UnknownVisitorError(
                "this is no token of this server, or it has run out or was revoked", hint=_HOW
            )
        return Actor(grant.user.name, token=grant.token.id, address=address)


class Attempts:
    """Wrong tokens by address: some at once, then one each few seconds. An IPv6 network of 64 bits counts as one address, as anybody has a
    whole one. Of very many addresses the longest unseen are forgotten. Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._paid: OrderedDict[str, float] = (
            OrderedDict()
        )  # when an address has waited for all that it showed

    def wait(self, address: str) -> int:
        """Seconds until another may be shown; 0: now."""
        with self._lock:
            owed = self._paid.get(network_of(address), 0.0) - self._clock()
        return max(0, math.ceil(owed - (_AT_ONCE - 1) * _EACH))

    def failed(self, address: str) -> None:
        network = network_of(address)
        with self._lock:
            self._paid[network] = max(self._paid.pop(network, 0.0), self._clock()) + _EACH
            while len(self._paid) > _MOST_ADDRESSES:
                self._paid.popitem(last=False)


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _token(authorization: str) -> Secret | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > _LONGEST:
        return None
    try:
        _, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return Secret(password) if colon else None
