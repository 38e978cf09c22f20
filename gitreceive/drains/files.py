"""Small files that are whole, or as they were before."""

import json
import os
from pathlib import Path
from typing import Any


def write_whole(path: Path, document: Any) -> None:
    """Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def read_document(path: Path) -> Any:
    """None where there is none, or none that can be read. Raises OSError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
