"""How a setting is declared: its default, and what ``docs/configuration.md`` says of it."""

from dataclasses import field
from typing import Any


def setting(default: Any, doc: str, *, choices: tuple[str, ...] = ()) -> Any:
    """The field of a frozen dataclass whose fields are settings."""
    metadata = {"doc": doc, "choices": choices}
    if isinstance(default, dict | list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)
