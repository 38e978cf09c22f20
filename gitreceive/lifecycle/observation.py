"""What of the source each part of a build read, for those who test a buildpack (see ``watch``)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from gitreceive.lifecycle.watch import Watch

DETECT = "detect"


class Observation:
    """A context. Where nothing is to be watched, or the system does not let it, it sees nothing, and says why."""

    def __init__(self, app: Path, *, wanted: bool) -> None:
        self._app = app
        self._wanted = wanted
        self._watch: Watch | None = None
        self._parts: dict[str, dict[str, Any]] = {}
        self._trouble = ""

    def __enter__(self) -> Self:
        if self._wanted:
            try:
                # a build image may have a Python without ctypes, which builds do well without
                from gitreceive.lifecycle.watch import Watch

                self._watch = Watch(self._app)
            except (ImportError, OSError) as error:
                self._trouble = str(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self._watch:
            self._watch.close()
            self._watch = None

    def lap(self, part: str) -> None:
        """What was seen since the last call was the part's: ``detect``, or the build of the buildpack with this id."""
        if self._watch:
            self._parts[part] = self._watch.lap().as_json()

    def as_json(self) -> dict[str, Any]:
        """Empty where it was not asked for."""
        return {"parts": self._parts, "trouble": self._trouble} if self._wanted else {}
