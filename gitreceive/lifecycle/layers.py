"""What a buildpack left in its layers folder: layers with their flags, what it leaves to others (Buildpack API, "Data Format")."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitreceive.lifecycle import toml
from gitreceive.lifecycle.folder import Buildpack, is_inputs

NOT_LAYERS = ("launch", "build", "store")
IGNORED = ".ignore"

_FLAGS = ("launch", "build", "cache")


class ContractError(Exception):
    """A buildpack wrote something that the contract does not know."""


@dataclass(frozen=True)
class LayerFolder:
    """``path`` need not exist: a launch layer without content stands for the one of the previous image."""

    buildpack: str  # its id
    name: str
    path: Path
    launch: bool
    build: bool
    cache: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exec_env(self) -> tuple[str, ...]:
        """The execution environments that it is for; none: all."""
        names = self.metadata.get("exec-env", ())
        return tuple(map(str, names)) if isinstance(names, list) else ()

    @property
    def only_cache(self) -> bool:
        """Downloads and the like: of use to its buildpack alone, which must bear whatever state it is in."""
        return self.cache and not (self.launch or self.build)

    @property
    def title(self) -> str:
        return f"{self.buildpack}:{self.name}"


def read_layers(buildpack: Buildpack, folder: Path) -> tuple[LayerFolder, ...]:
    """The layers by name. Folders without a flag are set aside as ``NAME.ignore``. Raises ContractError."""
    for name in NOT_LAYERS:
        if (folder / name).is_dir():
            raise ContractError(f"{name}/ cannot be a layer: {name}.toml means something else")
    layers = tuple(
        layer for layer in declared_layers(buildpack, folder) if layer.launch or layer.build or layer.cache
    )
    names = {layer.name for layer in layers}
    for path in list(folder.iterdir()):
        if path.is_dir() and not path.is_symlink() and path.name not in names and path.suffix != IGNORED:
            path.rename(path.with_name(f"{path.name}{IGNORED}"))
    return layers


def declared_layers(buildpack: Buildpack, folder: Path) -> tuple[LayerFolder, ...]:
    """Every layer that has metadata, by name, whatever its flags; nothing is changed. Raises ContractError."""
    found: list[LayerFolder] = []
    for file in sorted(folder.glob("*.toml"), key=lambda file: file.stem):
        if file.stem not in NOT_LAYERS:
            document = read_toml(file)
            types = table(document, "types", file)
            wrong = [name for name in _FLAGS if not isinstance(types.get(name, False), bool)]
            if wrong:
                raise ContractError(f"{file.name}: types.{wrong[0]} must be true or false")
            flags = {name: types.get(name, False) for name in _FLAGS}
            metadata = table(document, "metadata", file)
            found.append(LayerFolder(buildpack.id, file.stem, folder / file.stem, **flags, metadata=metadata))
    return tuple(found)


def drop_types(file: Path) -> None:
    """A restored layer's metadata stay, its flags go: a buildpack that wants it again says so again."""
    document = read_toml(file)
    document.pop("types", None)
    file.write_text(toml.dumps(document), encoding="utf-8")


def store_stamp(folder: Path) -> tuple[int, ...]:
    """Changes with each writing of ``store.toml``."""
    try:
        seen = (folder / "store.toml").lstat()
    except FileNotFoundError:
        return ()
    return (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def read_inputs(buildpack: Buildpack, folder: Path, stamp: tuple[int, ...]) -> tuple[str, ...] | None:
    """Globs of what this build's result depends on: those in ``store.toml``, else the buildpack's own; None: nobody says.

    ``stamp`` is the file's from before the build. A list that was there then speaks of another build, and counts as none.
    Raises ContractError.
    """
    file = folder / "store.toml"
    if not file.is_file():
        return buildpack.inputs
    ours = table(table(read_toml(file), "metadata", file), "gitreceive", file)
    if "inputs" not in ours:
        return buildpack.inputs
    if not is_inputs(ours["inputs"]):
        raise ContractError(f"{file.name}: metadata.gitreceive.inputs must be an array of globs")
    return None if store_stamp(folder) == stamp else tuple(ours["inputs"])


def read_unmet(folder: Path, given: Collection[str]) -> frozenset[str]:
    """Names of plan entries that the buildpack, in ``build.toml``, leaves to a later one. ``given`` are those it was asked for.

    Raises ContractError.
    """
    file = folder / "build.toml"
    if not file.is_file():
        return frozenset()
    names = frozenset(str(entry.get("name", "")) for entry in tables(read_toml(file), "unmet", file))
    strange = sorted(names - set(given))
    if strange:
        raise ContractError(f"{file.name}: unmet names {strange[0]!r}, which the buildpack was not asked for")
    return names


def table(document: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    """Empty where there is none. Raises ContractError."""
    found = document.get(name, {})
    if not isinstance(found, Mapping):
        raise ContractError(f"{file.name}: {name} must be a table")
    return found


def tables(document: Mapping[str, Any], name: str, file: Path) -> list[Mapping[str, Any]]:
    """An array of tables. Raises ContractError."""
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        raise ContractError(f"{file.name}: {name} must be an array of tables, [[{name}]]")
    return found


def read_toml(file: Path) -> dict[str, Any]:
    """Raises ContractError."""
    try:
        return toml.read(file)
    except toml.UnreadableError as error:
        raise ContractError(f"{file.name} cannot be read: {error}") from error
