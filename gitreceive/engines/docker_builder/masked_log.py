"""What is said of a build in the server's words, with parts that the build chose."""

from gitreceive.engines.docker_builder.inputs import Inputs
from gitreceive.ports import Log


class MaskedLog:
    """A Log without secrets. Program output is passed on as it is: the transcript has struck them out, across its pieces."""

    def __init__(self, log: Log, inputs: Inputs) -> None:
        self._log = log
        self._mask = inputs.mask

    def step(self, text: str) -> None:
        self._log.step(self._mask(text))

    def detail(self, text: str) -> None:
        self._log.detail(self._mask(text))

    def warn(self, text: str) -> None:
        self._log.warn(self._mask(text))

    def error(self, text: str, hint: str = "") -> None:
        self._log.error(self._mask(text), self._mask(hint))

    def write(self, chunk: bytes) -> None:
        self._log.write(chunk)
