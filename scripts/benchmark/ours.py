"""gitreceive's side: a server of its own in a new data folder, and ``git push``."""

import time
from pathlib import Path

from scripts.benchmark.figures import Sample, parse_summary
from scripts.benchmark.source import AppSource
from scripts.benchmark.watch import FirstAnswer
from tests.e2e.world import Clone, Developer, Server

STACK = "bookworm"


class Ours:
    """One server; the app that was begun last is the one that is deployed."""

    def __init__(self, folder: Path, stack: dict[str, str]) -> None:
        self.server = Server(folder, "kubernetes")
        images = ("--build-image", stack["build"], "--run-image", stack["run"])
        self.server.cli("stack", "create", STACK, *images).ok()
        self._developer: Developer | None = None
        self._clone: Clone | None = None
        self._url = ""

    @property
    def namespace(self) -> str:
        """Of the app that was begun last."""
        assert self._clone is not None
        return f"{self.server.env['GITRECEIVE_KUBERNETES_NAMESPACE_PREFIX']}{self._clone.app}"

    @property
    def folder(self) -> Path:
        """The clone of the app that was begun last."""
        assert self._clone is not None
        return self._clone.folder

    def begin(self, app: str) -> None:
        """A new app, without a release."""
        self._developer = self._developer or self.server.developer("bench", admin=True)
        self._clone = self._developer.creates(app, "flask")
        self._url = ""

    def deploy(self, source: AppSource) -> Sample:
        """Push, and wait for the first answer. Raises RuntimeError with the push's output where it is rejected."""
        assert self._clone is not None
        self._clone.commit(source.answer, source.files())
        answer = FirstAnswer(source.answer)
        if self._url:
            answer.ask(self._url)
        lines = []
        began = time.monotonic()
        with self._clone.start_push() as push:
            assert push.stderr is not None
            for line in push.stderr:
                lines.append((round(time.monotonic() - began, 3), line.rstrip()))
                if len(lines) > 1 and parse_summary(lines[-2][1]):  # the address stands below the summary
                    self._url = line.split()[-1]
                    answer.ask(self._url)
        returned = time.monotonic() - began
        if push.returncode != 0:
            answer.give_up()
            raise RuntimeError("git push was rejected:\n" + "\n".join(text for _, text in lines))
        return self._sample(lines, returned, answer.wait() - began)

    @staticmethod
    def _sample(lines: list[tuple[float, str]], returned: float, answered: float) -> Sample:
        summary = next(filter(None, (parse_summary(text) for _, text in lines)), None)
        if summary is None:
            raise RuntimeError(
                "git push did not say how long it took:\n" + "\n".join(text for _, text in lines)
            )
        told, phases = summary
        every = {"receive": returned - told, **phases, "answer": max(0.0, answered - returned)}
        return Sample(answered, {name: round(seconds, 3) for name, seconds in every.items()}, lines)
