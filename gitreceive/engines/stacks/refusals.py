"""Why system packages could not be installed, in the words of who asked for them."""

from collections.abc import Mapping, Sequence
from typing import Any

from gitreceive.buildpacks.system_packages import SystemPackage
from gitreceive.config import BuildSettings
from gitreceive.errors import (
    BuildError,
    BuildLimitError,
    ConfigError,
    GitreceiveError,
    SourceError,
    UnavailableError,
)

_MOST = 3


def refusal(
    facts: Mapping[str, Any], packages: Sequence[SystemPackage], settings: BuildSettings
) -> GitreceiveError:
    """The error that the ``problem`` in ``facts`` (see inside.py) stands for."""
    match facts["problem"]:
        case "unknown":
            return _unknown(facts, packages)
        case "too large":
            return BuildLimitError(
                f"the system packages and what they need take {_megabytes(facts['disk'])} on disk; at most"
                f" {_megabytes(settings.system_packages_bytes)} are installed",
                hint="ask for fewer, or ask the operator to raise build.system_packages_bytes",
            )
        case "no apt":
            return ConfigError(
                "the stack has no apt-get, so system packages cannot be installed",
                hint="make the stack of Debian packages (gitreceive stack create), or put them into its images",
            )
        case _:
            return _failed(facts, packages)


def _unknown(facts: Mapping[str, Any], packages: Sequence[SystemPackage]) -> SourceError:
    unknown = facts["unknown"]
    missing = [package for package in packages if str(package) in unknown]
    said = [_missing(package, facts) for package in missing[:_MOST]]
    if len(missing) > _MOST:
        said.append(f"and {len(missing) - _MOST} more")
    near = [name for package in missing for name in unknown[str(package)]]
    hint = (
        f"there is {', '.join(near[: 2 * _MOST])}" if near else "search for its name: apt-cache search WORD"
    )
    return SourceError("; ".join(said), hint=hint)


def _missing(package: SystemPackage, facts: Mapping[str, Any]) -> str:
    if package.version and facts["unknown"][str(package)]:
        return (
            f'{package.where}: "{package.name}" has no version {package.version} in {facts["distribution"]}'
        )
    return f'{package.where}: there is no package "{package.name}" in {facts["distribution"]}'


def _failed(facts: Mapping[str, Any], packages: Sequence[SystemPackage]) -> GitreceiveError:
    said = " ".join(facts.get("said", ())) or "it said nothing"
    if facts.get("doing") in {"update", "download"}:
        what = "read the package lists" if facts["doing"] == "update" else "download the packages"
        return UnavailableError(
            f"apt cannot {what}: {said}",
            hint="packages come from the mirrors in the stack's /etc/apt; build.network, build.ca_bundle and the proxies in "
            "build.env say how they are reached",
        )
    names = ", ".join(map(str, packages))
    return BuildError(f"apt cannot install {names}: {said}", hint="what it said is above")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
