"""Apps as a document that another server can read: settings, config, releases. Pure, in both directions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from gitreceive.errors import UsageError
from gitreceive.model import (
    App,
    AppName,
    AppSettings,
    BuildpackRef,
    CommitId,
    Declared,
    Image,
    ImageRef,
    ProcessType,
    Release,
    ReviewRules,
    Secret,
    UserName,
    parse_config_name,
    require_config_fits,
)
from gitreceive.model.declarations import declared_document, declared_from
from gitreceive.model.documents import flag, number, table, text

FORMAT = "gitreceive apps"
VERSION = 1
_MOST = 2**31 - 1
_LONG = 100_000
_DESCRIBED = frozenset({"format", "version", "apps"})
_APP = frozenset(
    {"name", "owner", "branch", "created_at", "buildpacks", "reviews", "settings", "config", "releases"}
)
_RELEASE = frozenset(
    {"number", "image", "commit", "user", "description", "created_at", "settings", "declared", "config"}
)
_IMAGE = frozenset({"ref", "processes", "port", "buildpacks", "size"})


@dataclass(frozen=True)
class Transferred:
    """An app with all that goes along. ``config`` waits for the first release where there is none. ``releases``: oldest first, those that are kept."""

    app: App
    config: Mapping[str, Secret]
    settings: AppSettings
    releases: tuple[Release, ...]


def document(apps: Iterable[Transferred], *, with_config: bool) -> dict[str, Any]:
    """What ``parse`` reads. Without config there are its names, for who has to set it anew."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "apps": [
            {
                "name": one.app.name,
                "owner": one.app.owner,
                "branch": one.app.branch,
                "created_at": one.app.created_at.astimezone(UTC).isoformat(),
                "buildpacks": list(one.app.buildpacks),
                "reviews": {**vars(one.app.reviews), "inherit": list(one.app.reviews.inherit)},
                "settings": one.settings.document(),
                "config": _config(one.config, with_config=with_config),
                "releases": [_release(release, with_config=with_config) for release in one.releases],
            }
            for one in apps
        ],
    }


def parse(found: object) -> tuple[Transferred, ...]:
    """Raises UsageError, naming what is wrong and never a value of config; also for a version that is not known here."""
    top = table(found, "the file")
    if top.get("format") != FORMAT:
        raise UsageError("this is no file of apps", hint="make one: gitreceive apps export")
    if top.get("version") != VERSION:
        raise UsageError(
            f"the file is of version {str(top.get('version'))[:20]}, and {VERSION} is known here",
            hint="a newer gitreceive made it: import it with that one",
        )
    whole = table(found, "the file", _DESCRIBED)
    return tuple(_app(one) for one in _items(whole.get("apps"), "apps"))


def _release(release: Release, *, with_config: bool) -> dict[str, Any]:
    image = release.image
    return {
        "number": release.number,
        "image": {
            "ref": str(image.ref),
            "processes": [{"name": p.name, "command": list(p.command)} for p in image.processes],
            "port": image.port,
            "buildpacks": list(image.buildpacks),
            "size": image.size,
        },
        "commit": release.commit,
        "user": release.user,
        "description": release.description,
        "created_at": release.created_at.astimezone(UTC).isoformat(),
        "settings": release.settings.document(),
        "declared": declared_document(release.declared),
        "config": _config(release.config, with_config=with_config),
    }


def _config(config: Mapping[str, Secret], *, with_config: bool) -> dict[str, str | None]:
    return {name: value.reveal() if with_config else None for name, value in sorted(config.items())}


def _app(found: object) -> Transferred:
    one = table(found, "an app", _APP)
    name = AppName.parse(text(one.get("name"), "the name of an app"))
    where = f"app {name}"
    app = App(
        name,
        UserName.parse(text(one.get("owner"), f"{where}: owner")),
        text(one.get("branch"), f"{where}: branch"),
        _time(one.get("created_at"), where),
        tuple(str(BuildpackRef.parse(text(ref, where))) for ref in _items(one.get("buildpacks"), where)),
        reviews=_rules(one.get("reviews"), where),
    )
    releases = tuple(_read_release(app, each) for each in _items(one.get("releases"), f"{where}: releases"))
    numbers = [release.number for release in releases]
    if numbers != sorted(set(numbers)):
        raise UsageError(f"{where}: the releases are not in their order", hint="export it again")
    config = _read_config(one.get("config"), where)
    return Transferred(app, config, _read_settings(one.get("settings")), releases)


def _read_settings(document: object) -> AppSettings:
    """Without certificates: their keys stay where they are."""
    settings = AppSettings.parse(document)
    return replace(settings, routing=replace(settings.routing, certificates={}))


def _read_release(app: App, found: object) -> Release:
    one = table(found, f"a release of {app.name}", _RELEASE)
    n = number(one.get("number"), f"the number of a release of {app.name}", 1, _MOST)
    where = f"{app.name} v{n}"
    return Release(
        app=app.name,
        number=n,
        image=_image(one.get("image"), where),
        commit=CommitId.parse(text(one.get("commit"), where)),
        config=_read_config(one.get("config"), where),
        user=UserName.parse(text(one.get("user"), where)),
        description=text(one.get("description"), where),
        created_at=_time(one.get("created_at"), where),
        settings=AppSettings.parse(one.get("settings")),
        declared=_declared(one.get("declared"), where),
    )


def _declared(found: object, where: str) -> Declared:
    try:
        return declared_from(table(found, f"{where}: declared"))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UsageError(
            f"{where}: what its source declares is not understood", hint="export it again"
        ) from None


def _rules(found: object, where: str) -> ReviewRules:
    one = table(found, f"{where}: reviews", frozenset({"wanted", "seconds", "inherit"}))
    return ReviewRules(
        flag(one.get("wanted"), f"{where}: reviews"),
        number(one.get("seconds"), f"{where}: reviews", 1, _MOST),
        tuple(parse_config_name(text(name, where)) for name in _items(one.get("inherit"), where)),
    )


def _image(found: object, where: str) -> Image:
    one = table(found, f"the image of {where}", _IMAGE)
    port = one.get("port")
    return Image(
        ref=ImageRef.parse(text(one.get("ref"), where)),
        processes=tuple(_process(each, where) for each in _items(one.get("processes"), where)),
        port=None if port is None else number(port, where, 1, 65535),
        buildpacks=tuple(text(name, where) for name in _items(one.get("buildpacks"), where)),
        size=number(one.get("size"), where, 0, 2**62),
    )


def _process(found: object, where: str) -> ProcessType:
    one = table(found, f"a process of {where}", frozenset({"name", "command"}))
    name = ProcessType.parse_name(text(one.get("name"), where))
    return ProcessType(name, tuple(text(word, where, _LONG) for word in _items(one.get("command"), where)))


def _read_config(found: object, where: str) -> dict[str, Secret]:
    """What has no value was left out, and is not set."""
    config: dict[str, Secret] = {}
    for name, value in table(found, f"{where}: config").items():
        parse_config_name(str(name))
        if value is not None:
            if not isinstance(value, str):
                raise UsageError(f"{where}: the value of {name} is not a text", hint="export it again")
            config[name] = Secret(value)
    require_config_fits(config)
    return config


def _items(found: object, where: str) -> list[Any]:
    if not isinstance(found, list):
        raise UsageError(f"{where}: a list is missing", hint="export it again")
    return found


def _time(found: object, where: str) -> datetime:
    try:
        time = datetime.fromisoformat(text(found, where))
    except ValueError:
        raise UsageError(f"{where}: a time is missing", hint="export it again") from None
    if time.tzinfo is None:
        raise UsageError(f"{where}: a time has no zone", hint="export it again")
    return time


def without(releases: Iterable[Release], gone: Iterable[int]) -> tuple[Release, ...]:
    """Those whose image could not be had are listed, and no longer kept."""
    lost = set(gone)
    return tuple(
        replace(release, kept=False, config={}) if release.number in lost else release for release in releases
    )
