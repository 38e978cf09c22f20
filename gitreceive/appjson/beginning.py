"""With what an app begins that has an app.json: the config and the settings of its first release. Later ones are left alone."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from gitreceive.appjson.description import AppJson, Quantity, Variable
from gitreceive.appjson.values import FILE
from gitreceive.errors import SourceError
from gitreceive.model import AppName, AppSettings, Limits, Secret, require_config_fits


@dataclass(frozen=True)
class Beginning:
    """``told`` is for the log: names, and no values."""

    config: Mapping[str, Secret]
    settings: AppSettings
    told: tuple[str, ...]


def begin(
    app: AppName,
    asked: AppJson,
    config: Mapping[str, Secret],
    settings: AppSettings,
    new_secret: Callable[[], str],
) -> Beginning:
    """``config`` and ``settings`` are what people have set before, which counts more. Raises SourceError where a variable that is required
    has no value, UsageError where a process could not be given them all.
    """
    open_ones = [variable for name, variable in asked.env.items() if name not in config]
    _require_values(app, open_ones)
    given = {variable.name: variable.value for variable in open_ones if variable.value is not None}
    made = {variable.name: Secret(new_secret()) for variable in open_ones if variable.generated}
    whole = {**config, **given, **made}
    require_config_fits(whole)
    begun = first_settings(asked, settings)
    return Beginning(whole, begun, tuple(_told(given, made, asked.formation)))


def first_settings(asked: AppJson, settings: AppSettings) -> AppSettings:
    """What the first release has besides its config; what people have set before counts more."""
    scale, limits = dict(settings.formation.scale), dict(settings.runtime.limits)
    for name, quantity in asked.formation.items():
        if quantity.count is not None:
            scale.setdefault(name, quantity.count)
        if quantity.memory is not None:
            limits.setdefault(name, Limits(memory=f"{quantity.memory}Mi"))
    return replace(
        settings,
        formation=replace(settings.formation, scale=scale),
        runtime=replace(settings.runtime, limits=limits),
    )


def _require_values(app: AppName, variables: list[Variable]) -> None:
    missing = [
        variable
        for variable in variables
        if variable.required and variable.value is None and not variable.generated
    ]
    if missing:
        words = " ".join(f"{variable.name}=\u2026" for variable in missing)
        raise SourceError(
            f"{FILE} requires config that is not set: {', '.join(variable.name for variable in missing)}",
            hint=f"set it first, and push again: gitreceive config set {app} {words}",
        )


def _told(
    given: Mapping[str, object], made: Mapping[str, object], formation: Mapping[str, Quantity]
) -> Iterator[str]:
    if given:
        yield f"{FILE} sets {', '.join(sorted(given))}"
    if made:
        yield f"{FILE} has new secrets made: {', '.join(sorted(made))}"
    begun = [f"{name}={quantity.count}" for name, quantity in formation.items() if quantity.count is not None]
    if begun:
        yield f"{FILE} begins with {', '.join(begun)}"
    for name, quantity in formation.items():
        if quantity.memory is not None:
            yield f"{FILE} has {name} of size {quantity.size}: {quantity.memory} MiB of memory"
