"""Files that only some can read, in the format of age (age-encryption.org/v1): X25519 or SSH keys, or a passphrase by scrypt; ChaCha20-Poly1305.

The format has its version in its first line and is authenticated as a whole: what was changed or cut off does not open.
"""

from collections.abc import Sequence
from typing import Any

import pyrage

from gitreceive.errors import UsageError

BEGINNING = b"age-encryption.org/v1\n"
_BY_PASSPHRASE = b"-> scrypt "


def seal(content: bytes, recipients: Sequence[str], passphrase: str | None) -> bytes:
    """For all of the recipients, else by the passphrase. Raises UsageError for what is no recipient, and where there is neither."""
    if recipients:
        sealed: bytes = pyrage.encrypt(content, [_recipient(text) for text in recipients])
        return sealed
    if not passphrase:
        raise UsageError("nobody could open it", hint="name a recipient, or give a passphrase")
    by_passphrase: bytes = pyrage.passphrase.encrypt(content, passphrase)
    return by_passphrase


def unseal(content: bytes, identity: bytes | None, passphrase: str | None) -> bytes:
    """Raises UsageError where it is not sealed, where what is given does not open it, and where it was changed."""
    if not content.startswith(BEGINNING):
        raise UsageError("this is not a sealed file", hint="it begins with age-encryption.org/v1")
    try:
        if content.startswith(BEGINNING + _BY_PASSPHRASE):
            if not passphrase:
                raise UsageError("it is sealed with a passphrase", hint="give it by --passphrase-file, say")
            opened: bytes = pyrage.passphrase.decrypt(content, passphrase)
            return opened
        if identity is None:
            raise UsageError("it is sealed for a key", hint="name the file with that key: --identity FILE")
        by_key: bytes = pyrage.decrypt(content, _identities(identity))
        return by_key
    except pyrage.DecryptError:
        raise UsageError(
            "it does not open: another key or passphrase sealed it, or it was changed",
            hint="see that the whole file arrived",
        ) from None


def _recipient(text: str) -> Any:
    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(text)
    except (pyrage.RecipientError, ValueError):
        raise UsageError(
            f"{text[:60]!r} is no recipient",
            hint="write age1… (age-keygen), or a public SSH key, ssh-ed25519 …",
        ) from None


def _identities(content: bytes) -> list[Any]:
    """Of a file of age-keygen, or a private SSH key without a passphrase. Nothing of it is in an error."""
    lines = content.decode("utf-8", "replace").splitlines()
    try:
        if content.startswith(b"-----BEGIN"):
            return [pyrage.ssh.Identity.from_buffer(content)]
        keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        return [pyrage.x25519.Identity.from_str(key) for key in keys]
    except (pyrage.IdentityError, ValueError):
        raise UsageError(
            "the identity is no key that opens files",
            hint="use a file of age-keygen, or a private SSH key that has no passphrase",
        ) from None
