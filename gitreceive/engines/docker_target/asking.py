"""A health check, asked once."""

import http.client
import socket
import ssl
from collections.abc import Callable

from gitreceive.engines.docker_target.connection import Address
from gitreceive.model import HealthCheck

Run = Callable[[tuple[str, ...], float], tuple[int, str]]  # in the container: exit code and last words

_LEAST_BAD = 400  # as Kubernetes has it: 200 to 399 passes
_WORDS = 120


def ask(check: HealthCheck, address: Address, run: Run) -> str:
    """Empty where it passes, else what was answered, in a few words. ``address``: the container's, with the port that it is given. A command is run as it stands."""
    if check.command:
        code, words = run(check.command, check.timeout)
        return f"exit {code}{f' ({words[:_WORDS]})' if words else ''}" if code else ""
    place = (address[0], check.port or address[1])
    return _get(check, place) if check.path else _listens(check, place)


def _get(check: HealthCheck, place: Address) -> str:
    connection = _connection(check, place)
    try:
        headers = {"Host": "localhost", "User-Agent": "gitreceive-health", "Connection": "close"}
        connection.request("GET", check.path, headers={**headers, **dict(check.headers)})
        answer = connection.getresponse()
        words = " ".join(answer.read(_WORDS).decode("utf-8", "replace").split())
    except TimeoutError:
        return f"GET {check.path} was not answered within {check.timeout} s"
    except (OSError, http.client.HTTPException) as error:
        return f"GET {check.path}: {getattr(error, 'strerror', None) or error}"
    finally:
        connection.close()
    if answer.status < _LEAST_BAD:
        return ""
    return f"GET {check.path} was answered {answer.status}{f': {words}' if words else ''}"


def _connection(check: HealthCheck, place: Address) -> http.client.HTTPConnection:
    if check.scheme == "http":
        return http.client.HTTPConnection(*place, timeout=check.timeout)
    unverified = ssl.create_default_context()
    # nobody has a certificate for the address of a container
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(*place, timeout=check.timeout, context=unverified)


def _listens(check: HealthCheck, place: Address) -> str:
    try:
        with socket.create_connection(place, timeout=check.timeout):
            return ""
    except OSError as error:
        return f"port {place[1]}: {error.strerror or error}"
