"""What people are told about containers and about the engine."""

from collections.abc import Iterator, Mapping
from typing import Any

from gitreceive.config import DockerSettings
from gitreceive.engines.docker_target.containers import Container, Stage, memory_bytes
from gitreceive.engines.docker_target.engine import Engine
from gitreceive.engines.docker_target.findings import Finding
from gitreceive.engines.docker_target.health import how_it_ended
from gitreceive.errors import ConfigError, GitreceiveError
from gitreceive.model import Check, ProcessStatus

_GONE: Mapping[str, Any] = {"State": {"Error": "somebody removed its container"}}
_NOT_THERE = "start Docker, and see DOCKER_HOST and `docker version`"


def status(
    container: Container, seen: Mapping[str, Any] | None, now: float, finding: Finding
) -> ProcessStatus:
    """``seen`` is the engine's answer to an inspection; None where the container has gone meanwhile. ``finding``: what it said when asked."""
    state = seen["State"] if seen else {}
    running = bool(state.get("Running")) and not state.get("Restarting")
    word = _word(container.stage, running)
    return ProcessStatus(
        process=container.place.process,
        instance=container.instance,
        release=container.place.release,
        state=word,
        ready=word == "up" and not finding.unready,
        restarts=(int(seen["RestartCount"]) if seen else 0) + finding.restarts,
        age_seconds=max(0.0, now - container.created),
        last_exit=finding.last or (_last_exit(seen) if running else ""),
        reason=finding.unready if running or word == "stopping" else how_it_ended(seen or _GONE),
    )


def _last_exit(seen: Mapping[str, Any] | None) -> str:
    """When it ended last, of one that was started again: what it ended with, the engine forgets."""
    if not seen or not seen["RestartCount"]:
        return ""
    return f"ended at {str(seen['State'].get('FinishedAt', ''))[:19]} UTC"


def check(engine: Engine, settings: DockerSettings) -> Iterator[Check]:
    try:
        version = engine.version()
        info = engine.info()
    except GitreceiveError as error:
        yield Check("docker", False, error.message, _NOT_THERE)
        return
    yield Check("docker", True, f"{version['Version']}, API {version['ApiVersion']}")
    yield Check(
        "docker on this host",
        engine.local,
        "yes" if engine.local else "DOCKER_HOST names another host",
        "" if engine.local else "run the server where Docker is: the forwarder reaches containers directly",
    )
    yield _memory(info, settings)
    if settings.runtime:
        yield _runtime(info, settings.runtime)


def _memory(info: Mapping[str, Any], settings: DockerSettings) -> Check:
    try:
        size = memory_bytes(settings)
    except ConfigError as error:
        return Check("docker.memory", False, error.message, error.hint)
    limited = bool(info.get("MemoryLimit"))
    fix = "" if limited else "boot the host with cgroup_enable=memory"
    return Check("docker.memory", limited, f"{size} bytes" if limited else "Docker cannot limit memory", fix)


def _runtime(info: Mapping[str, Any], name: str) -> Check:
    known = sorted(info.get("Runtimes") or {})
    if name in known:
        return Check("docker.runtime", True, name)
    fix = f"add it to `runtimes` in Docker's daemon.json, or use one of: {', '.join(known)}"
    return Check("docker.runtime", False, f"Docker knows no runtime {name!r}", fix)


def _word(stage: Stage, running: bool) -> str:
    if stage is Stage.RETIRING:
        return "stopping"
    if not running:
        return "crashed"
    return "up" if stage is Stage.LIVE else "starting"
