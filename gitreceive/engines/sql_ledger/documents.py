"""What is kept as JSON, in both directions. A document is written by one version and may be read by a later one.

And text that programs and people wrote, which must not stop a record from being made.
"""

from collections.abc import Mapping
from typing import Any

from gitreceive.model import Image, ImageRef, ProcessType, PushOptions, Secret, StackRecipe


def image_document(image: Image) -> dict[str, Any]:
    return {
        "ref": str(image.ref),
        "processes": [{"name": p.name, "command": list(p.command)} for p in image.processes],
        "port": image.port,
        "buildpacks": list(image.buildpacks),
        "size": image.size,
        "bases": [str(base) for base in image.bases],
    }


def image_from(document: Mapping[str, Any]) -> Image:
    return Image(
        ref=ImageRef.parse(document["ref"]),
        processes=tuple(ProcessType(p["name"], tuple(p["command"])) for p in document["processes"]),
        port=document["port"],
        buildpacks=tuple(document["buildpacks"]),
        size=document["size"],
        bases=tuple(ImageRef.parse(base) for base in document.get("bases", ())),
    )


def options_document(options: PushOptions) -> dict[str, Any]:
    return {"nocache": options.nocache, "buildpack": options.buildpack, "review": options.review}


def options_from(document: Mapping[str, Any]) -> PushOptions:
    return PushOptions(document["nocache"], document["buildpack"], document.get("review", False))


def config_document(config: Mapping[str, Secret]) -> dict[str, str]:
    return {name: value.reveal() for name, value in config.items()}


def config_from(document: Mapping[str, str]) -> dict[str, Secret]:
    return {name: Secret(value) for name, value in document.items()}


def packages_document(packages: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {side: list(names) for side, names in packages.items()}


def packages_from(document: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {side: tuple(names) for side, names in document.items()}


def recipe_document(recipe: StackRecipe) -> dict[str, Any]:
    return {
        "suite": recipe.suite,
        "add": list(recipe.add),
        "build_image": recipe.build_image,
        "run_image": recipe.run_image,
    }


def recipe_from(document: Mapping[str, Any]) -> StackRecipe:
    return StackRecipe(
        suite=document["suite"],
        add=tuple(document["add"]),
        build_image=document["build_image"],
        run_image=document["run_image"],
    )


def storable(said: str) -> str:
    """The text without what a database refuses: NUL (PostgreSQL) and lone surrogates, each become ``?``."""
    return said.replace("\0", "?").encode(errors="replace").decode()
