"""Where a build happens, and the environment that every phase of it has."""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitreceive.lifecycle.env import BUILD_PATHS, put_before

EXEC_ENV = "production"

_CA_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_CAFILE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
)
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy")
# 1980-01-01T00:00:01Z: compiled Python is then hash-checked, and archives get the date that the layers have
_SOURCE_DATE_EPOCH = "315532801"


@dataclass(frozen=True)
class Place:
    layers: Path
    app: Path
    platform: Path
    buildpacks: Path
    launcher: Path  # the folder with the program that starts processes in app images


IN_CONTAINER = Place(
    Path("/layers"), Path("/workspace"), Path("/platform"), Path("/cnb/buildpacks"), Path("/cnb/lifecycle")
)


def prepare_platform(
    place: Place, env: Mapping[str, str], secrets: Mapping[str, str], ca_bundle: str
) -> dict[str, bytes]:
    """Write ``env/``, ``secrets/`` (from base64) and the CA bundle; the secret values by name."""
    for name in ("env", "secrets"):
        (place.platform / name).mkdir(exist_ok=True)
    for name, value in env.items():
        (place.platform / "env" / name).write_text(value, encoding="utf-8")
    values = {name: base64.b64decode(value) for name, value in secrets.items()}
    for name, content in values.items():
        with open(place.platform / "secrets" / name, "wb", opener=_private) as file:
            file.write(content)
    if ca_bundle:
        ca_file(place).parent.mkdir(exist_ok=True)
        ca_file(place).write_text(ca_bundle, encoding="utf-8")
    return values


@dataclass(frozen=True)
class Variables:
    """What programs of the build see. ``given`` is the platform's; ``user`` the build variables that somebody set for apps."""

    given: Mapping[str, str]
    user: Mapping[str, str] = field(default_factory=dict)

    def seen(self, clear_env: bool, current: Mapping[str, str] | None = None) -> dict[str, str]:
        """With ``current``, which layers have changed, in place of ``given``. The user's values win over layers' and come
        before those in path variables; with ``clear-env`` they are left out (Buildpack API, "Provided by the Platform").
        """
        values = dict(self.given if current is None else current)
        for name, value in {} if clear_env else self.user.items():
            if name in _PATHS:
                put_before(values, name, value, os.pathsep)
            else:
                values[name] = value
        return values


_PATHS = {variable for _, variables in BUILD_PATHS for variable in variables}


def environment(
    place: Place, base: Mapping[str, str], user: Mapping[str, str], target: Mapping[str, Any], *, ca: bool
) -> Variables:
    """The image's PATH, CNB_*, certificates and proxies as given; ``user`` beside them."""
    values = {name: base[name] for name in ("PATH", "HOME", "HOSTNAME") if name in base}
    values |= {"LANG": "C.UTF-8", "SOURCE_DATE_EPOCH": _SOURCE_DATE_EPOCH, "CNB_EXEC_ENV": EXEC_ENV}
    facts = {**_machine(), **_distro(), **target}
    values |= {f"CNB_TARGET_{name.upper()}": str(value) for name, value in facts.items() if value}
    if ca:
        values |= dict.fromkeys(_CA_VARIABLES, str(ca_file(place)))
    for name, value in user.items():
        if name.lower() in _PROXY_VARIABLES:
            values |= {name.lower(): value, name.upper(): value}
    return Variables(values, dict(user))


def _machine() -> dict[str, str]:
    """Architecture and variant as the OCI image spec names them."""
    machine = os.uname().machine
    arch, variant = _ARCHITECTURES.get(machine, (machine, ""))
    return {"arch": arch, "arch_variant": variant}


_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
}


def _distro() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    facts = {name: value.strip("\"'") for name, _, value in (line.partition("=") for line in lines)}
    return {"distro_name": facts.get("ID", ""), "distro_version": facts.get("VERSION_ID", "")}


def ca_file(place: Place) -> Path:
    return place.platform / "ca" / "ca-bundle.pem"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o400)
