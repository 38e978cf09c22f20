"""app.json, read strictly: Heroku's schema, with what Dokku has besides. Pure."""

import difflib
from collections.abc import Mapping
from typing import Any

from gitreceive.appjson.description import AppJson
from gitreceive.appjson.health import read_health
from gitreceive.appjson.located import MalformedError, Node, parse
from gitreceive.appjson.sections import read_buildpacks, read_cron, read_env, read_formation, read_scripts
from gitreceive.appjson.values import FILE, line, members, refused, text
from gitreceive.errors import SourceError

LARGEST = 256 << 10  # bytes

_SECTIONS = frozenset({"env", "scripts", "formation", "healthchecks", "cron", "buildpacks", "environments"})
_ABOUT = frozenset(
    {"$schema", "name", "description", "keywords", "website", "repository", "logo", "success_url"}
)
_ELSEWHERE = {
    "addons": "nothing is provided: what exists is bound by its address, in the app's config",
    "stack": "the server's own stack builds",
    "image": "the server's own stack builds",
}


def parse_app_json(content: bytes) -> AppJson:
    """What the file asks for; nothing where it is empty. Raises SourceError, naming line, column and key.

    What other tools keep in a file of this name, under keys of their own, is left alone.
    """
    if len(content) >= LARGEST:
        raise SourceError(f"{FILE} is larger than {LARGEST >> 10} KiB", hint="it is to be written by people")
    if not content:
        return AppJson()
    try:
        return _app(parse(_decoded(content)))
    except MalformedError as error:
        raise refused(error.place, error.path, error.what, "mend it and push again") from error


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise SourceError(f"{FILE}, line {number}: is not UTF-8", hint="save it as UTF-8") from error


def _app(node: Node, *, inside: bool = False) -> AppJson:
    """``inside``: an entry of environments, which has none itself."""
    said = members(node)
    sections = _SECTIONS - {"environments"} if inside else _SECTIONS
    notices = _strangers(node, sections)
    found: dict[str, Any] = {
        "name": line(said["name"], 300, empty=True) if "name" in said else "",
        "description": text(said["description"]) if "description" in said else "",
        "said": frozenset(said.keys() & sections),
    }
    if "env" in said:
        found["env"] = read_env(said["env"])
    for key, field, read in (
        ("scripts", "scripts", read_scripts),
        ("formation", "formation", read_formation),
        ("healthchecks", "health", read_health),
        ("cron", "cron", read_cron),
        ("buildpacks", "buildpacks", read_buildpacks),
    ):
        if key in said:
            found[field], more = read(said[key])
            notices += more
    if "environments" in said and not inside:
        found["environments"] = _environments(said["environments"])
    return AppJson(**found, notices=tuple(f"{FILE}: {notice}" for notice in notices))


def _environments(node: Node) -> Mapping[str, AppJson]:
    return {name: _app(inner, inside=True) for name, inner in members(node, most=20).items()}


def _strangers(node: Node, sections: frozenset[str]) -> list[str]:
    """What is somebody else's. A key that is nearly one of ours is refused: what it says would be lost."""
    notices = []
    for key, inner in (node.members or {}).items():
        if key in sections or key in _ABOUT:
            continue
        if key in _ELSEWHERE:
            notices.append(f"{inner.path} changes nothing: {_ELSEWHERE[key]}")
            continue
        near = difflib.get_close_matches(key.lower(), sections, n=1, cutoff=0.8)
        if near:
            raise refused(node.keys[key], inner.path, "is not known", f"did you mean {near[0]}?")
        notices.append(f"{inner.path[:60]} is not known and changes nothing")
    return notices
