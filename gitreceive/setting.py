"""How one setting is declared: its default, and the sentence that docs/configuration.md says of it."""

from dataclasses import field
from typing import Any

DOC = "doc"


def setting(default: Any, doc: str, *, choices: tuple[str, ...] = ()) -> Any:
    """A field of a frozen dataclass of settings."""
    metadata = {DOC: doc, "choices": choices}
    if isinstance(default, dict | list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)
