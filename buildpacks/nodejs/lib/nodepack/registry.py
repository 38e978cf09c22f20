"""The npm registry, as far as fetching Node.js and npm themselves needs it."""

import base64
import hashlib
import io
import json
import shutil
import ssl
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from nodepack.cnb import Context, Refusal
from nodepack.npms_own import default_registry

_TIMEOUT = 60  # seconds without a byte


@dataclass(frozen=True)
class Registry:
    """Where packages come from. ``token`` is sent to that place only and is in no output."""

    url: str
    ca_file: str | None
    token: str | None = field(default=None, repr=False)
    configured: bool = True  # False: nobody has set one, and it is npm's own

    def versions(self, package: str) -> dict[str, dict[str, Any]]:
        """Each version's abbreviated manifest. Raises Refusal when the registry does not answer as it should."""
        try:
            answer = json.loads(self._get(f"{self.url}{package}", "application/vnd.npm.install-v1+json"))
            return dict(answer["versions"])
        except (ValueError, KeyError, TypeError) as error:
            raise Refusal(f"the registry's answer about {package} is no package document", _HINT) from error

    def extract(self, manifest: Mapping[str, Any], place: Callable[[PurePosixPath], Path | None]) -> None:
        """Fetch a version's archive, check it against ``dist.integrity``, and unpack each file below the folder that
        ``place`` gives for its path; None leaves it out.
        """
        dist = manifest["dist"]
        url = self._here(dist["tarball"])
        content = self._get(url, "application/octet-stream")
        _verify(content, dist.get("integrity", ""), url.rpartition("/")[2])
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                inner = PurePosixPath(*PurePosixPath(member.name).parts[1:])  # below package/
                folder = place(inner) if member.isfile() else None
                if folder:
                    _unpack(archive, member, folder / inner)

    def _here(self, tarball: str) -> str:
        """A mirror often tells where the original's archives are: where one is set, they are asked of it."""
        if not self.configured or tarball.startswith(self.url):
            return tarball
        return self.url + urlsplit(tarball).path.lstrip("/")

    def _get(self, url: str, accept: str) -> bytes:
        headers = {"Accept": accept, "User-Agent": "gitreceive-nodejs"}
        if self.token and url.startswith(self.url):
            headers["Authorization"] = f"Bearer {self.token}"
        if not url.startswith(("https://", "http://")):
            raise Refusal("the npm registry's URL is neither http nor https", _HINT)
        context = ssl.create_default_context()
        try:
            if self.ca_file:
                context.load_verify_locations(self.ca_file)
            request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked above
            with urllib.request.urlopen(request, timeout=_TIMEOUT, context=context) as response:  # noqa: S310
                return bytes(response.read())
        except (urllib.error.URLError, OSError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                reason = f"HTTP {error.code} {error.reason}"
            raise Refusal(
                f"{url.rpartition('/')[2]} could not be fetched from the npm registry: {reason}", _HINT
            ) from error


_HINT = (
    "the operator sets NPM_CONFIG_REGISTRY and the proxy in build.env, and the CA bundle as build.ca_bundle; "
    "credentials belong in the build secret npmrc"
)


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if ".." in path.parts:
        raise Refusal(
            f"{member.name!r} in a package leads out of it", "the registry serves a hostile archive"
        )
    content = archive.extractfile(member)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(content or io.BytesIO(), file, 1 << 20)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)


def find_registry(context: Context) -> Registry:
    """The registry of the environment, else of the build secret ``npmrc``, else of the app's .npmrc, else npm's own."""
    names = ("NPM_CONFIG_REGISTRY", "npm_config_registry")
    url = next((context.env[name] for name in names if context.env.get(name)), None)
    secret = context.secret("npmrc")
    settings = _npmrc(secret) if secret else {}
    if not url:
        url = settings.get("registry") or _npmrc(context.app / ".npmrc").get("registry")
    configured = bool(url)
    url = (url or default_registry(context)).rstrip("/") + "/"
    token = settings.get(f"//{url.partition('://')[2]}:_authToken")
    ca_names = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
    ca_file = next((context.env[name] for name in ca_names if context.env.get(name)), None)
    return Registry(url, ca_file, token, configured)


def _npmrc(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = (line.partition("=") for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return {key.strip(): value.strip().strip("\"'") for key, equals, value in lines if equals}


def _verify(content: bytes, integrity: str, name: str) -> None:
    """Subresource integrity (W3C SRI): one of the sha512 digests has to fit."""
    expected = [part.partition("-")[2] for part in integrity.split() if part.startswith("sha512-")]
    if base64.b64encode(hashlib.sha512(content).digest()).decode() not in expected:
        raise Refusal(
            f"{name} is not what the registry's own sha512 says", "push again; if it stays, tell the operator"
        )
