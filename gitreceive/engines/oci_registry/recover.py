"""What was built, told from the published image: the layers above its run image, and what of its config is not that one's.

So an image can be put together again on another run image, and is then the one that a build of the same layers would be.
"""

from collections.abc import Mapping
from typing import Any

from gitreceive.engines.oci_registry.manifest import LIFECYCLE_LABEL, Base, diff_ids, parse, variables
from gitreceive.errors import RegistryError
from gitreceive.model import PACKAGES_LABEL, STACK_IMAGE_LABEL, Build, ImageFacts, Layer

# what decides how a process is started stays the image's, also where it is the same as the run image's
_ALWAYS_OWN = frozenset({"Entrypoint", "Cmd", "User", "WorkingDir"})
# CNB Platform API, "Rebaser": these describe the run image, whoever set them
_NEVER_OWN = (
    "io.buildpacks.base.",
    "io.buildpacks.stack.",
    "org.opencontainers.image.base.",
    PACKAGES_LABEL,
    STACK_IMAGE_LABEL,
)


def build_of(image: Base, below: Mapping[str, Any]) -> Build:
    """The build without its run image. ``below`` is the config document of the run image, {} where nobody has that any more: all of the
    image's variables and labels then count as its own.

    Raises RegistryError where the image does not say which of its layers are its run image's.
    """
    source = str(image.ref)
    config = dict(image.config.get("config") or {})
    first = _first_own(config, image, source)
    ids = diff_ids(image.config, source)
    titles = _titles(image.config, len(ids))
    layers = [
        Layer(title, diff_id, blob, None)
        for title, diff_id, blob in zip(titles, ids, image.layers, strict=True)
    ]
    return Build((), (), None, None, tuple(layers[first:]), _own(config, dict(below.get("config") or {})))


def facts_of(config: Mapping[str, Any]) -> ImageFacts:
    """``config`` is an image's whole config document."""
    labels = (config.get("config") or {}).get("Labels") or {}
    os, architecture, variant = (str(config.get(name) or "") for name in ("os", "architecture", "variant"))
    return ImageFacts(os, architecture, variant, {name: str(value) for name, value in labels.items()})


def _first_own(config: Mapping[str, Any], image: Base, source: str) -> int:
    """The index behind the run image's top layer (CNB Platform API, ``io.buildpacks.lifecycle.metadata``): behind the last one that
    equals it, as a run image may hold one layer twice, and a build makes none that a run image has.
    """
    ids = diff_ids(image.config, source)
    label = (config.get("Labels") or {}).get(LIFECYCLE_LABEL, "{}")
    top = (parse(label.encode(), f"the label {LIFECYCLE_LABEL} of {source}").get("runImage") or {}).get(
        "topLayer"
    )
    if top not in ids or len(ids) != len(image.layers):
        raise RegistryError(
            f"{source} does not say which of its layers are its run image's",
            hint="push again to build it anew",
        )
    return len(ids) - ids[::-1].index(top)


def _titles(config: Mapping[str, Any], layers: int) -> list[str]:
    history = [entry for entry in config.get("history") or () if not entry.get("empty_layer")]
    if len(history) != layers:
        return [f"layer {number}" for number in range(layers)]
    return [str(entry.get("created_by", "")) for entry in history]


def _own(config: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    made = {name: value for name, value in config.items() if name in _ALWAYS_OWN or value != below.get(name)}
    env, inherited = variables(config), variables(below)
    made["Env"] = [f"{name}={value}" for name, value in env.items() if value != inherited.get(name)]
    labels, theirs = config.get("Labels") or {}, below.get("Labels") or {}
    made["Labels"] = {
        name: value
        for name, value in labels.items()
        if value != theirs.get(name) and not name.startswith(_NEVER_OWN)
    }
    return made
