"""The sections of app.json but for the health checks. Each reads one node and raises SourceError."""

from collections.abc import Mapping

from gitreceive.appjson.description import Quantity, Variable
from gitreceive.appjson.located import Node
from gitreceive.appjson.values import boolean, integer, items, line, members, one_of, text, wrong
from gitreceive.errors import UsageError
from gitreceive.model import (
    LONGEST_VALUE,
    MOST_BUILDPACKS,
    BuildpackRef,
    CronTask,
    ProcessType,
    Scripts,
    Secret,
    parse_config_name,
)
from gitreceive.model.schedules import parse_schedule

_MOST_PROCESSES = 1000
_SIZES = {  # MiB of Heroku's dynos, by their names
    **dict.fromkeys(("free", "eco", "hobby", "basic", "standard-1x"), 512),
    **dict.fromkeys(("standard-2x", "private-s", "shield-s"), 1024),
    **dict.fromkeys(("performance-m", "private-m", "shield-m"), 2560),
    **dict.fromkeys(("performance-l", "private-l", "shield-l"), 14336),
}
_IGNORED_OF_PROCESS = {
    "max_parallel": "all of a process type are replaced one after the other",
    "autoscaling": "a process type is scaled by people, or by: gitreceive ps autoscale",
    "service": "only web is reached from outside",
}
_BUNDLED = {  # Heroku's names for what the server has under its own
    **{f"heroku/{name}": f"gitreceive/{name}" for name in ("go", "java", "nodejs", "php", "python", "ruby")},
    **dict.fromkeys(("heroku/gradle", "heroku/jvm"), "gitreceive/java"),
    "heroku/procfile": "gitreceive/procfile",
}
_REPOSITORY = "https://github.com/heroku/heroku-buildpack-"


def read_env(node: Node) -> Mapping[str, Variable]:
    return {name: _variable(name, inner) for name, inner in members(node).items()}


def _variable(name: str, node: Node) -> Variable:
    """A text, or an object with ``value`` or ``generator``."""
    try:
        parse_config_name(name)
    except UsageError as error:
        raise wrong(node, error.message, error.hint) from error
    if node.members is None:
        return Variable(name, Secret(text(node, LONGEST_VALUE)))
    said = members(node, {"description", "value", "required", "generator"})
    if "value" in said and "generator" in said:
        raise wrong(node, "has both value and generator", "keep one of them")
    if "generator" in said:
        one_of(said["generator"], ("secret",))
    return Variable(
        name,
        value=Secret(text(said["value"], LONGEST_VALUE)) if "value" in said else None,
        generated="generator" in said,
        required=boolean(said["required"]) if "required" in said else True,
        description=text(said["description"]) if "description" in said else "",
    )


def read_scripts(node: Node) -> tuple[Scripts, tuple[str, ...]]:
    """Heroku's, and under ``dokku`` those of Dokku; and what of them changes nothing."""
    said = members(node, {"postdeploy", "pr-predestroy", "dokku", "test", "test-setup"})
    dokku = members(said["dokku"], {"predeploy", "postdeploy", "prebuild"}) if "dokku" in said else {}
    tests = said.keys() & {"test", "test-setup"}
    notices = [f"{said[key].path} changes nothing: no tests are run here" for key in sorted(tests)]
    if "prebuild" in dokku:
        notices.append(f"{dokku['prebuild'].path} changes nothing: see docs/choosing-buildpacks.md, script")
    return Scripts(
        before=_script(dokku.get("predeploy")),
        after=_script(dokku.get("postdeploy")),
        first=_script(said.get("postdeploy")),
        farewell=_script(said.get("pr-predestroy")),
    ), tuple(notices)


def _script(node: Node | None) -> str:
    return "" if node is None else text(node, empty=False)


def read_formation(node: Node) -> tuple[Mapping[str, Quantity], tuple[str, ...]]:
    found, notices = {}, []
    for name, inner in members(node, most=50).items():
        try:
            ProcessType.parse_name(name)
        except UsageError as error:
            raise wrong(inner, error.message, error.hint) from error
        said = members(inner, {"quantity", "size"}, _IGNORED_OF_PROCESS.keys())
        notices += [
            f"{said[key].path} changes nothing: {_IGNORED_OF_PROCESS[key]}"
            for key in sorted(said.keys() & _IGNORED_OF_PROCESS.keys())
        ]
        size = line(said["size"]).lower() if "size" in said else ""
        if size and size not in _SIZES:
            notices.append(
                f"{said['size'].path} changes nothing: {size[:40]!r} is no size that is known here"
            )
        found[name] = Quantity(
            integer(said["quantity"], 0, _MOST_PROCESSES) if "quantity" in said else None,
            _SIZES.get(size),
            size,
        )
    return found, tuple(notices)


def read_cron(node: Node) -> tuple[tuple[CronTask, ...], tuple[str, ...]]:
    tasks, notices = [], []
    for entry in items(node, most=100):
        said = members(entry, {"command", "schedule", "concurrency_policy", "maintenance"})
        for key in ("command", "schedule"):
            if key not in said:
                raise wrong(entry, f"has no {key}", 'write {"command": "…", "schedule": "0 3 * * *"}')
        task = CronTask(_schedule(said["schedule"]), text(said["command"], empty=False), _policy(said))
        if "maintenance" in said and boolean(said["maintenance"]):
            notices.append(f"{entry.path} is in maintenance, and is not run")
        else:
            tasks.append(task)
    return tuple(tasks), tuple(notices)


def _policy(said: Mapping[str, Node]) -> str:
    allowed = ("allow", "forbid", "replace")
    return one_of(said["concurrency_policy"], allowed) if "concurrency_policy" in said else "allow"


def _schedule(node: Node) -> str:
    try:
        return parse_schedule(line(node, 200))
    except UsageError as error:
        raise wrong(node, error.message, error.hint) from error


def read_buildpacks(node: Node) -> tuple[tuple[BuildpackRef, ...], tuple[str, ...]]:
    """Texts, or objects with a ``url``. Those of Heroku that the server has under its own names are these; the notices say so."""
    found, notices = [], []
    for entry in items(node, most=MOST_BUILDPACKS):
        said = entry if entry.members is None else members(entry, {"url"}).get("url")
        if said is None:
            raise wrong(entry, "has no url", 'write {"url": "gitreceive/python"}')
        name = line(said)
        own = _BUNDLED.get(_shortened(name))
        if own:
            notices.append(f"{said.path}: {name} is {own} here")
        try:
            found.append(BuildpackRef.parse(own or name))
        except UsageError as error:
            raise wrong(said, error.message, error.hint) from error
    return tuple(found), tuple(notices)


def _shortened(name: str) -> str:
    """``heroku/python`` for its repository too."""
    if not name.lower().startswith(_REPOSITORY):
        return name
    return "heroku/" + name[len(_REPOSITORY) :].lower().rstrip("/").removesuffix(".git")
