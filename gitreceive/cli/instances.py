"""Which running process is meant: by its type, by type and number, or by its own name."""

from collections.abc import Iterable

from gitreceive.errors import NotFoundError
from gitreceive.model import AppName, ProcessStatus
from gitreceive.ports import Target


def chosen(target: Target, app: AppName, given: str) -> str:
    """The name of an instance that runs. Raises NotFoundError."""
    up = [status for status in target.processes(app) if status.state == "up"]
    if found := instance(up, given):
        return found
    if any(status.name == given and status.state == "up" for status in target.one_offs(app)):
        return given
    there = ", ".join(sorted({status.instance for status in up})) or "none"
    raise NotFoundError(f"{app} has no {given[:60]} that runs; there are: {there}", hint="gitreceive ps")


def instance(up: Iterable[ProcessStatus], given: str) -> str | None:
    """``web`` is the oldest of its type, ``web.2`` the one after it."""
    by_age = sorted(up, key=lambda status: (-status.age_seconds, status.instance))
    for status in by_age:
        if status.instance == given:
            return given
    kind, _, number = given.partition(".")
    of_kind = [status.instance for status in by_age if status.process == kind]
    place = int(number) if number.isascii() and number.isdigit() else 1 if not number else 0
    return of_kind[place - 1] if 0 < place <= len(of_kind) else None
