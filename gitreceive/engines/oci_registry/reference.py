"""How registries, repositories in them and images are named."""

import ipaddress
import platform
import re
from dataclasses import dataclass
from typing import Self

from gitreceive.errors import UsageError

_DOCKER_HUB = "docker.io"
_DOCKER_HUB_API = "registry-1.docker.io"
_HOST = re.compile(
    r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?", re.ASCII
)
# OCI distribution spec, "Pulling manifests": what <name> and <reference> may be
_NAME = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII
)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Repository:
    """A repository in a registry. ``host`` is HOST[:PORT] as people write it, ``name`` what stands behind it."""

    host: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError unless ``text`` names a repository. Without a host it is Docker Hub's, as Docker reads it."""
        host, slash, name = text.partition("/")
        if not slash or not (set(host) & {".", ":"} or host == "localhost"):
            host, name = _DOCKER_HUB, text if slash else f"library/{text}"
        if not _HOST.fullmatch(host) or not _NAME.fullmatch(name) or len(text) > 255:
            raise UsageError(
                f"{text[:120]!r} is not an image repository", hint="write [HOST[:PORT]/]NAME in lower case"
            )
        return cls(host, name)

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    @property
    def pull(self) -> str:
        """The token scope for reading (Docker registry token specification)."""
        return f"repository:{self.name}:pull"

    @property
    def delete(self) -> str:
        """The token scope for deleting (Docker registry token specification, "delete")."""
        return f"repository:{self.name}:delete"

    @property
    def push(self) -> str:
        """The token scope for reading and writing."""
        return f"repository:{self.name}:pull,push"


def parse_reference(text: str) -> tuple[Repository, str]:
    """The repository, and the digest or tag; ``latest`` where there is none. Raises UsageError."""
    repository, at, digest = text.partition("@")
    if at:
        if not _DIGEST.fullmatch(digest):
            raise UsageError(f"{text[:160]!r} does not end in a sha256 digest", hint="write NAME@sha256:…")
        return Repository.parse(_without_tag(repository)[0]), digest
    repository, tag = _without_tag(text)
    return Repository.parse(repository), tag or "latest"


def is_loopback(host: str) -> bool:
    """Whether HOST[:PORT] is this machine itself."""
    name = host[1 : host.index("]")] if host.startswith("[") else host.rpartition(":")[0] or host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def api_host(host: str) -> str:
    """Where the API of a registry answers: Docker Hub's is at another name."""
    return _DOCKER_HUB_API if host == _DOCKER_HUB else host


def architecture() -> str:
    """What this machine has, as OCI images call it."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(machine, machine)


def _without_tag(text: str) -> tuple[str, str]:
    head, slash, last = text.rpartition("/")
    name, _, tag = last.partition(":")
    if tag and not _TAG.fullmatch(tag):
        raise UsageError(f"{text[:160]!r} has no valid tag", hint="write NAME:TAG or NAME@sha256:…")
    return f"{head}{slash}{name}", tag
