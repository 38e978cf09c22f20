"""Software Bills of Materials that buildpacks leave (Buildpack API and Platform API, "Software-Bill-of-Materials")."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from gitreceive.lifecycle.folder import Buildpack
from gitreceive.lifecycle.layers import ContractError, LayerFolder

EXTENSIONS = ("cdx.json", "spdx.json", "syft.json")

_MARK = ".sbom."


def check(folder: Path) -> None:
    """Raise ContractError for a file in a format that the contract does not know."""
    for path in folder.glob(f"*{_MARK}*"):
        if path.is_file() and path.name.partition(_MARK)[2] not in EXTENSIONS:
            raise ContractError(f"{path.name}: known are {', '.join(_MARK + name for name in EXTENSIONS)}")


def files_of(layer: Path) -> list[Path]:
    """Those of one layer; with ``launch`` or ``build`` as the layer, those of the buildpack itself."""
    paths = [layer.with_name(f"{layer.name}{_MARK}{extension}") for extension in EXTENSIONS]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def for_image(
    group: Sequence[Buildpack], layers: Iterable[LayerFolder], root: Path
) -> dict[str, tuple[Path, ...]]:
    """What the image holds, by folder below ``sbom/launch``: each buildpack's ``launch.sbom.*``, each launch layer's."""
    found = {b.folder: files_of(root / b.folder / "launch") for b in group}
    for layer in layers:
        if layer.launch:
            found[f"{layer.path.parent.name}/{layer.name}"] = files_of(layer.path)
    return {name: tuple(files) for name, files in sorted(found.items()) if files}


def image_name(file: Path) -> str:
    return f"sbom.{file.name.partition(_MARK)[2]}"
