"""Where a build happens, and the environment that every phase of it has."""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def environment(
    place: Place, base: Mapping[str, str], env: Mapping[str, str], target: Mapping[str, Any], *, ca: bool
) -> dict[str, str]:
    """What each phase's programs see, before layers change it: the image's PATH, the operator's settings, CNB_*."""
    values = {name: base[name] for name in ("PATH", "HOME", "HOSTNAME") if name in base}
    values |= {"LANG": "C.UTF-8", "SOURCE_DATE_EPOCH": _SOURCE_DATE_EPOCH, "CNB_EXEC_ENV": "production"}
    values |= {f"CNB_TARGET_{name.upper()}": str(value) for name, value in {**target, **_distro()}.items()}
    if ca:
        values |= dict.fromkeys(_CA_VARIABLES, str(ca_file(place)))
    values |= env
    for name, value in env.items():
        if name.lower() in _PROXY_VARIABLES:
            values.setdefault(name.lower(), value)
            values.setdefault(name.upper(), value)
    return values


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
