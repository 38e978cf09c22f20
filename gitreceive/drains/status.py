"""What is known of a drain, for whoever asks, from whichever process."""

from dataclasses import asdict, dataclass
from pathlib import Path

from gitreceive.drains.files import read_document, write_whole


@dataclass(frozen=True)
class DrainStatus:
    """``state``: new, delivering, or retrying; ``waiting`` and ``dropped`` in lines; ``error`` is the last one, with its time."""

    state: str = "new"
    waiting: int = 0
    delivered: int = 0
    dropped: int = 0
    delivered_at: str = ""
    error: str = ""
    error_at: str = ""


def read_status(data_dir: Path, drain: int) -> DrainStatus:
    """Raises OSError."""
    known = read_document(status_path(data_dir, drain))
    return DrainStatus(**known) if known else DrainStatus()


def write_status(data_dir: Path, drain: int, status: DrainStatus) -> None:
    """Raises OSError."""
    write_whole(status_path(data_dir, drain), asdict(status))


def status_path(data_dir: Path, drain: int) -> Path:
    return drains_folder(data_dir) / f"{drain}.json"


def drains_folder(data_dir: Path) -> Path:
    return data_dir / "drains"
