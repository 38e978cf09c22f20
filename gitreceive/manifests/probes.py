"""Health checks as the probes of a container (Kubernetes: Pod, ``startupProbe`` and its companions, from 1.18 on). Pure."""

from collections.abc import Mapping
from typing import Any

from gitreceive.model import WEB_PROCESS, CheckKind, HealthCheck, Image, Release, as_run

_Probe = dict[str, Any]


def probes(release: Release, process: str, port: int) -> Mapping[str, _Probe | None]:
    """By the names of CheckKind; None where nothing is asked. ``port`` is what $PORT says.

    Nobody is led to a ``web`` that does not listen, also where nothing else is asked of it.
    """
    checks = release.checks(process)
    found = {
        kind.value: _probe(checks[kind], release.image, port) if kind in checks else None
        for kind in CheckKind
    }
    if process == WEB_PROCESS and found["readiness"] is None:
        found["readiness"] = _listens(port)
    return found


def _listens(port: int) -> _Probe:
    return {
        "tcpSocket": {"port": port},
        "periodSeconds": 1,
        "timeoutSeconds": 1,
        # Quick to become ready, slow to lose it: where all are taken out at once, nobody answers.
        "failureThreshold": 10,
    }


def _probe(check: HealthCheck, image: Image, port: int) -> _Probe:
    return {
        **_action(check, image, check.port or port),
        "initialDelaySeconds": check.initial_delay,
        "periodSeconds": check.wait,
        "timeoutSeconds": check.timeout,
        "failureThreshold": check.attempts,
    }


def _action(check: HealthCheck, image: Image, port: int) -> _Probe:
    if check.command:
        # like every command: the kubelet would expand $(NAME)
        words = [word.replace("$", "$$") for word in as_run(check, image).command]
        return {"exec": {"command": words}}
    if not check.path:
        return {"tcpSocket": {"port": port}}
    headers = [{"name": name, "value": value} for name, value in check.headers]
    asked = {"path": check.path, "port": port, "scheme": check.scheme.upper()}
    return {"httpGet": {**asked, "httpHeaders": headers} if headers else asked}
