"""What a cluster's API answers that is no success, and what keeps it from answering, as errors of our own."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gitreceive.errors import EngineAwayError, GitreceiveError, RolloutError, UnavailableError


class ExpiredError(GitreceiveError):
    """A watch was asked to go on from a version that the cluster has forgotten: list again."""


class UnauthorizedError(UnavailableError):
    """The cluster does not know who is asking."""


class BusyError(UnavailableError):
    """Nothing was done, and the cluster says so. ``after``: seconds that it asks for."""

    def __init__(self, message: str, after: float) -> None:
        super().__init__(message, hint="see the cluster's own load, then try again")
        self.after = after


class MissingError(RolloutError):
    """There is no such object."""


class DeniedError(RolloutError):
    """The server may not do that in this cluster (RBAC)."""


class ThereAlreadyError(RolloutError):
    """There is one of that name."""


@contextmanager
def translated() -> Iterator[None]:
    from kubernetes.client.exceptions import ApiException
    from kubernetes.dynamic.exceptions import ResourceNotFoundError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ResourceNotFoundError as error:
        raise RolloutError(f"the cluster does not know this kind of object: {error}") from error
    except ApiException as error:
        raise refusal(error.status, error.body, error.headers) from error
    except (HTTPError, OSError) as error:
        raise EngineAwayError(
            f"the cluster does not answer: {' '.join(str(error).split())[:300]}",
            hint="see that it runs and that KUBECONFIG points to it",
        ) from error


def refusal(status: int, body: object, headers: Mapping[str, str] | None) -> GitreceiveError:
    """The API's own words (Kubernetes API conventions, type Status)."""
    try:
        answer = json.loads(body if isinstance(body, str | bytes) else "")
    except ValueError:
        answer = {}
    answer = answer if isinstance(answer, dict) else {}
    message = " ".join(str(answer.get("message") or body or f"HTTP {status}").split())
    causes = (answer.get("details") or {}).get("causes") or []
    conflicts = [cause for cause in causes if cause.get("reason") == "FieldManagerConflict"]
    if conflicts:
        return _conflict(answer, conflicts)
    known: dict[int, Callable[[], GitreceiveError]] = {
        401: lambda: UnauthorizedError(
            "the cluster does not accept the server's credentials", hint="see `gitreceive doctor`"
        ),
        404: lambda: MissingError(message),
        410: lambda: ExpiredError(message),
    }
    if status == 429 or (status == 503 and _retry_after(headers)):
        return BusyError(f"the cluster is too busy: {message[:300]}", _retry_after(headers))
    if status == 409 and answer.get("reason") == "AlreadyExists":
        return ThereAlreadyError(f"the cluster refused it: {message[:300]}")
    if status in known:
        return known[status]()
    if status >= 500 or status == 0:
        return UnavailableError(f"the cluster failed: {message[:300]}", hint="see the log of its API server")
    refused = DeniedError if _is_denial(status, message) else RolloutError
    return refused(f"the cluster refused it: {message[:300]}", hint=_refusal_hint(status, message))


def _retry_after(headers: Mapping[str, str] | None) -> float:
    text = next((v for name, v in (headers or {}).items() if name.lower() == "retry-after"), "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _is_denial(status: int, message: str) -> bool:
    """A matter of rights, and not of an admission: 'User "x" cannot get resource "pods" in API group ""'."""
    return status == 403 and " cannot " in message and ' resource "' in message


def _refusal_hint(status: int, message: str) -> str:
    if status != 403:
        return ""
    if "exceeded quota" in message:
        return "raise the namespace's ResourceQuota, or ask for less memory or fewer replicas"
    return "`gitreceive doctor` lists the permissions that the server needs"


def _conflict(answer: Mapping[str, Any], conflicts: "list[dict[str, str]]") -> RolloutError:
    details = answer.get("details") or {}
    owners = []
    for cause in conflicts:
        quoted = cause.get("message", "").split('"')
        owners.append(
            f"{cause.get('field', '?')} is owned by {quoted[1] if len(quoted) > 1 else 'another manager'}"
        )
    return RolloutError(
        f"{details.get('kind', 'object')}/{details.get('name', '?')}: {'; '.join(owners)}",
        hint="another manager set this field and gitreceive does not take it; remove it there, or leave it out of the template",
    )
