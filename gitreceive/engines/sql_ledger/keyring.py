"""The keys that secrets in the ledger are sealed with, so that neither its file nor a backup of it tells them.

A sealed value is a Fernet token (https://github.com/fernet/spec: AES-128-CBC with HMAC-SHA256). The first key seals, all open; one that is
added in front is the new one.
"""

import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitreceive.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


class Keyring:
    """Keys that were handed over as text, or else those in a file, one a line, which is looked at whenever one is wanted: it may change."""

    def __init__(self, file: Path, text: str = "") -> None:
        self._file = file
        self._text = text
        self._lock = threading.Lock()
        self._known: list[str] = []  # also those that have left the file: a reader may hold what they sealed
        self._made: tuple[object, MultiFernet] | None = None  # from which state of the file

    @property
    def name(self) -> str:
        """Where the keys come from, for people."""
        return "GITRECEIVE_LEDGER_KEY" if self._text else str(self._file)

    @property
    def there(self) -> bool:
        return bool(self._text) or self._file.exists()

    def make(self) -> None:
        """A first key, where there is none. Raises UnavailableError where the file cannot be written."""
        if not self.there:
            with suppress(FileExistsError):  # another process was first
                self._write([_new_key()], replace=False)

    def rotate(self) -> None:
        """Put a new key in front. Raises ConfigError where the keys are not in the file."""
        if self._text:
            raise ConfigError(
                "the keys come from the environment, which cannot be changed from here",
                hint="put a new key in front of GITRECEIVE_LEDGER_KEY, restart, then: gitreceive ledger reseal",
            )
        self._write([_new_key(), *self._keys()], replace=True)

    def forget_old(self) -> None:
        """Keep the newest key alone. What an older one sealed can then not be opened any more."""
        if not self._text:
            self._write(self._keys()[:1], replace=True)

    def seal(self, content: bytes) -> str:
        """Raises ConfigError where there is no key."""
        return self._fernet().encrypt(content).decode("ascii")

    def open(self, token: str) -> bytes:
        """Raises ConfigError where it was sealed with a key that is not there, or was altered."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet().decrypt(token)
        except InvalidToken:
            raise ConfigError(
                "a secret in the ledger was sealed with a key that is not there",
                hint=f"bring the key back that belongs to this ledger: {self.name}",
            ) from None

    def _fernet(self) -> "MultiFernet":
        from cryptography.fernet import Fernet, MultiFernet

        state = self._state()
        made = self._made
        if state is not None and made is not None and made[0] == state:
            return made[1]
        with self._lock:
            keys = self._keys()
            self._known = keys + [key for key in self._known if key not in keys]
            try:
                fernet = MultiFernet([Fernet(key) for key in self._known])
            except ValueError:
                raise ConfigError(
                    f"{self.name} holds no key of the ledger",
                    hint="32 random bytes in URL-safe base64; several are separated by blanks, the newest first",
                ) from None
            self._made = (state, fernet)
            return fernet

    def _state(self) -> object:
        """Another one whenever the file may have changed: it is replaced, or written by hand. None where it cannot be asked for."""
        if self._text:
            return self._text
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _keys(self) -> list[str]:
        try:
            keys = (self._text or self._file.read_text("ascii")).split()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the key of the ledger cannot be read: {error}",
                hint=f"bring {self._file} back from where it is kept, or set GITRECEIVE_LEDGER_KEY",
            ) from error
        if not keys:
            raise ConfigError(f"{self.name} holds no key of the ledger", hint="bring it back from a backup")
        return keys

    def _write(self, keys: list[str], *, replace: bool) -> None:
        """All or nothing, and on the disk: without the key the ledger's secrets are gone."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=self._file.parent, prefix=".key-")
            try:
                with os.fdopen(handle, "w", encoding="ascii") as file:
                    file.write("".join(f"{key}\n" for key in keys))
                    file.flush()
                    os.fsync(file.fileno())
                (os.replace if replace else os.link)(name, self._file)
            finally:
                Path(name).unlink(missing_ok=True)
        except FileExistsError:
            raise
        except OSError as error:
            raise UnavailableError(
                f"the key of the ledger cannot be written: {error}", hint=f"see to {self._file.parent}"
            ) from error


def _new_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode("ascii")
