"""What an app.json asks for, for people and for programs. No value of a variable is in it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict

from gitreceive.appjson.description import AppJson, Quantity, Variable
from gitreceive.model import Declared, HealthCheck, Scripts


def told(asked: AppJson) -> Iterator[str]:
    """A line each, the section's name in front."""
    sections: tuple[tuple[str, Iterable[str]], ...] = (
        ("env", (f"{variable.name}: {_origin(variable)}" for variable in asked.env.values())),
        ("formation", (f"{name}: {_quantity(quantity)}" for name, quantity in asked.formation.items())),
        *_of_declared(asked.declared),
        ("buildpacks", map(str, asked.buildpacks)),
        ("environments", sorted(asked.environments)),
    )
    for section, lines in sections:
        yield from (f"{section:13} {line}" for line in lines)


def told_declared(declared: Declared) -> Iterator[str]:
    """A line each."""
    for section, lines in _of_declared(declared):
        yield from (f"{section}: {line}" for line in lines)


def declared_facts(declared: Declared) -> dict[str, object]:
    return {
        "scripts": asdict(declared.scripts),
        "healthchecks": {
            name: [asdict(check) for check in checks] for name, checks in declared.health.items()
        },
        "cron": [asdict(task) for task in declared.cron],
    }


def facts(asked: AppJson) -> dict[str, object]:
    return {
        "name": asked.name,
        "description": asked.description,
        "env": [
            {"name": variable.name, "from": _origin(variable), "required": variable.required}
            for variable in asked.env.values()
        ],
        "formation": {
            name: {"quantity": quantity.count, "memory_mib": quantity.memory}
            for name, quantity in asked.formation.items()
        },
        **declared_facts(asked.declared),
        "buildpacks": [str(ref) for ref in asked.buildpacks],
        "environments": sorted(asked.environments),
        "notices": list(asked.notices),
    }


def _of_declared(declared: Declared) -> tuple[tuple[str, Iterable[str]], ...]:
    return (
        ("scripts", _scripts(declared.scripts)),
        ("healthchecks", _checks(declared.health)),
        ("cron", (f"{task.schedule}: {_short(task.command)}" for task in declared.cron)),
    )


def _origin(variable: Variable) -> str:
    if variable.value is not None:
        return "a value"
    if variable.generated:
        return "a new secret"
    return "to be set by you" if variable.required else "set by you or not at all"


def _quantity(quantity: Quantity) -> str:
    parts = [] if quantity.count is None else [str(quantity.count)]
    parts += [] if quantity.memory is None else [f"{quantity.memory} MiB each"]
    return ", ".join(parts) or "as the server has it"


def _way(check: HealthCheck) -> str:
    if check.path:
        return f"GET {check.path}"
    return "a connection" if check.listening else " ".join(check.command)


def _scripts(scripts: Scripts) -> Iterator[str]:
    for key, script in (
        ("postdeploy", scripts.first),
        ("pr-predestroy", scripts.farewell),
        ("dokku.predeploy", scripts.before),
        ("dokku.postdeploy", scripts.after),
    ):
        if script:
            yield f"{key}: {_short(script)}"


def _checks(health: Mapping[str, tuple[HealthCheck, ...]]) -> Iterator[str]:
    for process, checks in health.items():
        yield from (f"{process}: {check.kind}, {_way(check)}" for check in checks)


def _short(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= 80 else f"{line[:79]}…"
