"""What a buildpack says it is made for, and whether this is it (Buildpack API, "Targets"; ``stacks`` of older ones). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Target:
    """An empty field fits everything; ``distros`` are names with versions."""

    os: str = "linux"
    arch: str = ""
    variant: str = ""
    distros: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        base = "/".join(part for part in (self.os or "any", self.arch, self.variant) if part)
        names = " or ".join(f"{name} {version}".strip() for name, version in self.distros)
        return f"{base} {names}".strip()


# the one stack whose name the specification itself translates
_BIONIC = "io.buildpacks.stacks.bionic"
_BIONIC_TARGET = Target("linux", "amd64", "", (("ubuntu", "18.04"),))


def read_targets(document: Mapping[str, Any], file: Path) -> tuple[Target, ...]:
    """Of a ``buildpack.toml``. None means Linux, whatever the rest, where there is a ``bin/build``."""
    declared = tuple(_target(entry) for entry in document.get("targets", ()))
    if declared:
        return declared
    stacks = [str(stack.get("id", "")) for stack in document.get("stacks", ())]
    if stacks and set(stacks) == {_BIONIC}:
        return (_BIONIC_TARGET,)
    windows = any((file.parent / "bin" / name).is_file() for name in ("build.bat", "build.exe"))
    return (Target("windows"),) if windows and not (file.parent / "bin" / "build").is_file() else ()


def fits(targets: Sequence[Target], env: Mapping[str, str]) -> bool:
    """``env`` has ``CNB_TARGET_*``; what it does not tell is not held against a buildpack."""
    return any(_fits(target, env) for target in targets or (Target(),))


def described(env: Mapping[str, str]) -> str:
    facts = [env.get(f"CNB_TARGET_{name}", "") for name in ("OS", "ARCH", "ARCH_VARIANT")]
    distro = (env.get("CNB_TARGET_DISTRO_NAME", ""), env.get("CNB_TARGET_DISTRO_VERSION", ""))
    return str(Target(facts[0] or "linux", facts[1], facts[2], (distro,)))


def _target(entry: Mapping[str, Any]) -> Target:
    distros = tuple(
        (str(distro.get("name", "")), str(distro.get("version", ""))) for distro in entry.get("distros", ())
    )
    return Target(
        str(entry.get("os", "")), str(entry.get("arch", "")), str(entry.get("variant", "")), distros
    )


def _fits(target: Target, env: Mapping[str, str]) -> bool:
    pairs = [(target.os, "OS"), (target.arch, "ARCH"), (target.variant, "ARCH_VARIANT")]
    if not all(_same(wanted, env.get(f"CNB_TARGET_{name}", "")) for wanted, name in pairs):
        return False
    name, version = env.get("CNB_TARGET_DISTRO_NAME", ""), env.get("CNB_TARGET_DISTRO_VERSION", "")
    return not target.distros or any(_same(d[0], name) and _same(d[1], version) for d in target.distros)


def _same(wanted: str, there: str) -> bool:
    return not wanted or not there or wanted == there
