"""The OCI runtime that builds run in, where the settings name one."""

from collections.abc import Iterator
from contextlib import contextmanager

import docker
from docker.errors import APIError

from gitreceive.errors import ConfigError
from gitreceive.model import Check


def check_runtime(client: docker.APIClient, name: str) -> Check:
    """Whether Docker has it; its errors pass."""
    known = sorted(client.info().get("Runtimes") or {})
    if name in known:
        return Check("build.runtime", ok=True, seen=name)
    error = _unknown(name, known)
    return Check("build.runtime", ok=False, seen=error.message, fix=error.hint)


@contextmanager
def runtime_named(client: docker.APIClient, name: str) -> Iterator[None]:
    """Raises ConfigError where Docker refuses a container because it does not know the runtime; its other errors pass."""
    try:
        yield
    except APIError as error:
        known = sorted(client.info().get("Runtimes") or {})
        if name and name not in known:
            raise _unknown(name, known) from error
        raise


def _unknown(name: str, known: list[str]) -> ConfigError:
    return ConfigError(
        f"build.runtime: Docker knows no runtime {name!r}",
        hint=f"add it to `runtimes` in Docker's daemon.json, or use one of: {', '.join(known)}",
    )
