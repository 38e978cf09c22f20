"""The pages that visitors see while their app is in maintenance. Files, as they outlive the server, and containers cannot carry them."""

from pathlib import Path

from gitreceive.errors import UnavailableError
from gitreceive.model import AppName, Maintenance


class Pages:
    """``folder`` has a file for each app that is in maintenance. Raises UnavailableError where that cannot be read or written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, app: AppName, maintenance: Maintenance) -> None:
        """From now on it is shown, or none is. A reader sees one or the other, never half of it."""
        try:
            if not maintenance.on:
                self._file(app).unlink(missing_ok=True)
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            written = self._folder / f".{app}.new"  # no app's name begins with a dot
            written.write_text(maintenance.shown, encoding="utf-8")
            written.replace(self._file(app))
        except OSError as error:
            raise UnavailableError(
                f"the page of maintenance cannot be kept: {error.strerror}", hint=f"see {self._folder}"
            ) from error

    def page(self, app: AppName) -> bytes | None:
        """None where the app is not in maintenance."""
        try:
            return self._file(app).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnavailableError(
                f"the page of maintenance cannot be read: {error.strerror}", hint=f"see {self._folder}"
            ) from error

    def _file(self, app: AppName) -> Path:
        return self._folder / f"{app}.html"
