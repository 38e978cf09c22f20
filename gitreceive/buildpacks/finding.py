"""One thing that is wrong with a buildpack's folder."""

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """``level`` is ``error`` (it cannot work) or ``warning``; ``line`` is 0 where none can be named."""

    level: str
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.level}: {self.message}"
