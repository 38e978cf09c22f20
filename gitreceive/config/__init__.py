"""Settings: the one place where they are declared, and the only reader of the environment.

A setting comes from the environment, else from ``gitreceive.toml``, else from its default. Field ``memory`` of section
``build`` is ``memory`` in the table ``[build]`` and ``GITRECEIVE_BUILD_MEMORY`` in the environment; fields without a section
stand at the top. ``docs/configuration.md`` is generated from this file.
"""

import os
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from gitreceive.config.building import BuildSettings as BuildSettings
from gitreceive.config.declaring import setting as _setting
from gitreceive.config.limits import LimitSettings
from gitreceive.config.metrics import MetricsSettings
from gitreceive.config.supply_chain import SupplyChainSettings
from gitreceive.config.targets import DockerSettings as DockerSettings
from gitreceive.config.targets import KubernetesSettings as KubernetesSettings
from gitreceive.errors import ConfigError, UsageError
from gitreceive.model import AppName, Domain

_DOC = "doc"


@dataclass(frozen=True)
class PolicySettings:
    """What a push may be."""

    branch: str = _setting("main", "The branch whose push deploys, for apps that are created from now on.")
    create_on_push: bool = _setting(
        False, "A push to an app that does not exist creates it, owned by the pusher."
    )
    max_push_bytes: int = _setting(512 << 20, "The largest pack that is taken.")
    max_files: int = _setting(100_000, "The most files that a commit may hold.")
    max_source_bytes: int = _setting(2 << 30, "The most bytes that a commit's files may hold, together.")
    max_depth: int = _setting(64, "The deepest folder that a commit may hold.")


@dataclass(frozen=True)
class AccessSettings:
    """Who comes in."""

    token_days: int = _setting(90, "Days that a token is good for where nobody says otherwise.")
    max_token_days: int = _setting(366, "The most days that a token may be good for.")


@dataclass(frozen=True)
class HttpSettings:
    """The HTTP door: `git push https://HOST/APP` with a token."""

    certificate: str = _setting(
        "",
        "A PEM file with the server's certificate and those between it and the authority: speak HTTPS. It is read again when it changes.",
    )
    key: str = _setting("", "The PEM file of the certificate's private key; empty: in the same file.")
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        "Addresses and networks of the proxies in front of this door: `X-Forwarded-For` and `X-Forwarded-Proto` count from them alone. "
        "In the environment: words with spaces between them.",
    )
    plain: bool = _setting(
        False, "Take tokens over plain HTTP from other hosts too. On loopback addresses that is done anyway."
    )


@dataclass(frozen=True)
class DrainSettings:
    """Log drains."""

    private: tuple[str, ...] = _setting(
        (),
        "Networks, such as `10.2.0.0/16`, or `any`, that log drains may reach although they are not of the public Internet. In the "
        "environment: words with spaces between them.",
    )
    ca_bundle: str = _setting(
        "", "A PEM file with certificate authorities of receivers, beside those of the system."
    )
    spool_bytes: int = _setting(
        64 << 20, "The most that may wait on the server's disk for one receiver; past it, the oldest goes."
    )


@dataclass(frozen=True)
class RetentionSettings:
    """What is kept, and for how long; see `gc`."""

    releases: int = _setting(
        20, "The newest releases of each app that can be rolled back to: their images and config are kept."
    )
    log_days: int = _setting(90, "Days that the logs of builds are kept.")
    unused_days: int = _setting(
        30,
        "Days that buildpacks from elsewhere and images with system packages are kept when nothing is built with them.",
    )
    automatic: bool = _setting(True, "The server collects what is no longer kept by itself.")
    every_hours: int = _setting(24, "With `automatic`: the hours from one time to the next.")


@dataclass(frozen=True)
class Settings:
    """All settings, with defaults that work."""

    data_dir: Path = _setting(Path("~/.local/share/gitreceive"), "Repositories, ledger, logs, host key.")
    ssh_listen: str = _setting("127.0.0.1:2222", "HOST:PORT of the SSH door.")
    http_listen: str = _setting("127.0.0.1:8222", "HOST:PORT of the HTTP door and of health checks.")
    public_host: str = _setting(
        "", "The host name in commands that users are shown; empty: the SSH door's own."
    )
    public_url: str = _setting(
        "",
        "The HTTP door's URL as users reach it, such as `https://git.example.com`; empty: as the request names it.",
    )
    registry: str = _setting("127.0.0.1:5000", "HOST[:PORT][/PREFIX] where images are kept.")
    registry_insecure: bool = _setting(
        False, "Speak plain HTTP to the registry. On loopback addresses that is done anyway, as Docker does."
    )
    domain: str = _setting(
        "",
        "An app answers at APP.DOMAIN, where hosts are routed: on Kubernetes unless it is exposed by node ports, on Docker with "
        "`docker.http_listen`. The DNS has to lead all names below it there.",
    )
    target: str = _setting("docker", "What runs releases.", choices=("kubernetes", "docker"))
    stack: str = _setting("bookworm", "The stack that apps are built on.")
    database: str = _setting("", "SQLAlchemy URL of the ledger; empty: SQLite in the data folder.")
    ledger_key: str = _setting(
        "",
        "Keys that secrets in the ledger are sealed with, the newest first; empty: those in `ledger_key_file`.",
    )
    ledger_key_file: str = _setting(
        "", "The file with these keys, made with the ledger; empty: `ledger.key` in the data folder."
    )
    templates: str = _setting("", "A folder whose files replace templates of the same name, by target.")
    reserved_bytes: int = _setting(
        256 << 20, "Bytes of the data folder's disk that stay free: with less, pushes are refused."
    )
    log_limit: int = _setting(16 << 20, "Bytes that a build's log may have; past it the middle is left out.")
    policy: PolicySettings = field(default_factory=PolicySettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    build: BuildSettings = field(default_factory=BuildSettings)
    kubernetes: KubernetesSettings = field(default_factory=KubernetesSettings)
    docker: DockerSettings = field(default_factory=DockerSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    drains: DrainSettings = field(default_factory=DrainSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    supply_chain: SupplyChainSettings = field(default_factory=SupplyChainSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)

    @property
    def repositories(self) -> Path:
        return self.data_dir / "repos"

    @property
    def socket(self) -> Path:
        """Where hooks find the server."""
        return self.data_dir / "server.sock"

    @property
    def session_socket(self) -> Path:
        """Where sessions that OpenSSH's sshd lets in find the server."""
        return self.data_dir / "sessions.sock"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force. Raises ConfigError, naming file, key and what is expected, on any that is unknown or malformed."""
    environ = os.environ if environ is None else environ
    path = _settings_file(environ)
    table = _read(path) if path else {}
    settings = _section(Settings, table, environ, "", str(path or "gitreceive.toml"))
    return typing.cast("Settings", settings)


def process_environment() -> dict[str, str]:
    """A copy of this process's environment, for the programs that it starts."""
    return dict(os.environ)


def replace_environment(environment: Mapping[str, str]) -> None:
    """Have ``environment`` in place of all that this process was given."""
    os.environ.clear()
    os.environ.update(environment)


def acting_user() -> str | None:
    """The user on whose behalf a command over SSH runs; None on the server's own host: an administrator."""
    return os.environ.get("GITRECEIVE_ACTING_USER")


def acting_by() -> dict[str, str]:
    """By which key or token they came, and from where: ``key``, ``token``, ``address``, each empty where that is not known."""
    names = ("key", "token", "address")
    return {name: os.environ.get(f"GITRECEIVE_ACTING_{name.upper()}", "") for name in names}


def passphrase() -> str | None:
    """What seals and opens files of apps, where somebody has put it into the environment."""
    return os.environ.get("GITRECEIVE_PASSPHRASE")


def terminal_takes_colour() -> bool:
    """Unless ``NO_COLOR`` is set (no-color.org), or the terminal is a dumb one."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def bundled(name: str) -> Path:
    """The folder ``buildpacks`` or ``templates`` as it came with gitreceive, installed or from a clone."""
    here = Path(__file__).resolve().parents[1]
    installed = here / "_bundled" / name
    return installed if installed.is_dir() else here.parent / name


def buildpacks_folder(settings: BuildSettings) -> Path:
    """Where the server's own buildpacks are: the operator's folder, or those that came with gitreceive."""
    return Path(settings.buildpacks) if settings.buildpacks else bundled("buildpacks")


def cache_dir() -> Path:
    """What may be removed at any time: ``$XDG_CACHE_HOME/gitreceive``."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "gitreceive"


def reference() -> str:
    """``docs/configuration.md``, from the declarations above."""
    lines = [
        "# Configuration",
        "",
        "A setting comes from the environment, else from `gitreceive.toml`, else from its default. The file is looked for at",
        "`$GITRECEIVE_CONFIG`, then as `gitreceive.toml` in the data folder, then in `/etc/gitreceive/`. An unknown key is an error.",
        "This page is generated from `gitreceive/config/` by `scripts/docs`.",
    ]
    sections: list[tuple[str, Any]] = [("", Settings)]
    sections += [(f.name, f.type) for f in fields(Settings) if is_dataclass(f.type)]
    for section, kind in sections:
        lines += ["", f"## {f'[{section}]' if section else 'Top level'}", "", kind.__doc__ or "", ""]
        lines += ["| key | environment | default | what |", "|---|---|---|---|"]
        for f in fields(kind):
            if not is_dataclass(f.type):
                lines.append(_reference_row(section, f))
    return "\n".join(lines) + "\n"


def _reference_row(section: str, f: Any) -> str:
    default = f.default if f.default is not MISSING else f.default_factory()
    if isinstance(default, tuple):
        default = " ".join(default)
    choices = f.metadata["choices"]
    doc = f.metadata[_DOC] + (f" One of {', '.join(f'`{c}`' for c in choices)}." if choices else "")
    shown = (
        "empty"
        if default in ("", {})
        else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    )
    return f"| `{f.name}` | `{_variable(section, f.name)}` | {shown} | {doc} |"


def _settings_file(environ: Mapping[str, str]) -> Path | None:
    named = environ.get("GITRECEIVE_CONFIG")
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigError(
                f"GITRECEIVE_CONFIG names {path}, which is not there", hint="create it or unset the variable"
            )
        return path
    data_dir = Path(environ.get("GITRECEIVE_DATA_DIR") or str(Settings().data_dir)).expanduser()
    candidates = (data_dir / "gitreceive.toml", Path("/etc/gitreceive/gitreceive.toml"))
    return next((path for path in candidates if path.is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint="it must be TOML in UTF-8") from error


def _section(
    kind: Any, table: Mapping[str, Any], environ: Mapping[str, str], section: str, where: str
) -> Any:
    known = {f.name for f in fields(kind)}
    place = f"[{section}] in {where}" if section else where
    for key in table:
        if key not in known:
            raise ConfigError(f"{place}: unknown key {key!r}", hint=f"known keys: {', '.join(sorted(known))}")
    values: dict[str, Any] = {}
    for f in fields(kind):
        if is_dataclass(f.type):
            inner = table.get(f.name, {})
            if not isinstance(inner, dict):
                raise ConfigError(
                    f"{place}: {f.name} must be a table", hint=f"write [{f.name}] on a line of its own"
                )
            values[f.name] = _section(f.type, inner, environ, f.name, where)
        else:
            values[f.name] = _value(f, table, environ, section, place)
    return kind(**values)


def _value(f: Any, table: Mapping[str, Any], environ: Mapping[str, str], section: str, place: str) -> Any:
    variable = _variable(section, f.name)
    if variable in environ:
        return _convert(f, environ[variable], variable, text=True)
    if f.name in table:
        return _convert(f, table[f.name], f"{place}: {f.name}", text=False)
    default = f.default if f.default is not MISSING else f.default_factory()
    return default.expanduser() if isinstance(default, Path) else default


def _variable(section: str, name: str) -> str:
    return "_".join(("GITRECEIVE", *((section,) if section else ()), name)).upper()


def _convert(f: Any, value: Any, where: str, *, text: bool) -> Any:
    kind = f.type.__origin__ if isinstance(f.type, types.GenericAlias) else f.type
    try:
        converted = _from_text(kind, value) if text else _from_toml(kind, value)
    except ValueError as error:
        raise ConfigError(f"{where} is {value!r}, but {error}", hint=f.metadata[_DOC]) from None
    choices = f.metadata["choices"]
    if choices and converted not in choices:
        raise ConfigError(f"{where} is {value!r}", hint=f"use one of: {', '.join(choices)}")
    if f.name.endswith("_listen") and (converted or f.default):
        parse_listen(converted, where)
    if f.name == "domain" and converted:
        _check_domain(converted, where)
    if f.name == "branch":
        _check_branch(converted, where)
    return converted


def _from_text(kind: Any, value: str) -> Any:
    if kind is bool:
        truth = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if value.lower() not in truth:
            raise ValueError("true or false is expected")
        return truth[value.lower()]
    if kind is dict:
        pairs = [line.partition("=") for line in value.splitlines() if line.strip()]
        if any(not name.strip() or not equals for name, equals, _ in pairs):
            raise ValueError("lines of NAME=VALUE are expected")
        return {name.strip(): content for name, _, content in pairs}
    if kind in (int, float):
        return _number(kind, value)
    if kind is tuple:
        return tuple(value.split())
    return Path(value).expanduser() if kind is Path else value


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError("an array of strings is expected")
    return tuple(value)


def _from_toml(kind: Any, value: Any) -> Any:
    if kind is dict:
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise ValueError("a table of strings is expected")
        return value
    if kind is tuple:
        return _words(value)
    if kind is bool and not isinstance(value, bool):
        raise ValueError("true or false is expected")
    if kind in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("a number is expected")
        return _number(kind, value)
    if kind in (str, Path) and not isinstance(value, str):
        raise ValueError("a string is expected")
    return Path(value).expanduser() if kind is Path else value


def _number(kind: Any, value: Any) -> Any:
    try:
        number = kind(value)
    except ValueError:
        raise ValueError("a number is expected") from None
    if number <= 0:
        raise ValueError("a number above 0 is expected")
    return number


def parse_listen(text: str, where: str = "the address") -> tuple[str, int]:
    """HOST:PORT, an IPv6 host in brackets; port 0 takes a free one. Raises ConfigError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{where} is {text!r}", hint="write HOST:PORT, such as 127.0.0.1:2222 or [::]:2222")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _check_branch(text: str, where: str) -> None:
    if not text or text.startswith("-") or any(c in text for c in " ~^:?*[\\") or ".." in text:
        raise ConfigError(f"{where} is {text!r}", hint="write a branch name without refs/heads/")


def _check_domain(text: str, where: str) -> None:
    try:
        domain = Domain.parse(text)
    except UsageError as error:
        raise ConfigError(f"{where} is {text!r}", hint=error.hint) from None
    if domain != text or domain.wildcard:
        raise ConfigError(f"{where} is {text!r}", hint=f"write {domain.removeprefix('*.')}")


def repository_path(settings: Settings, app: AppName) -> Path:
    """Where an app's bare repository lies."""
    return settings.repositories / f"{app}.git"
