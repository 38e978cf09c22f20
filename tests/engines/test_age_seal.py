"""Sealed files: who has the key or the passphrase opens them, nobody else, and none that was changed."""

import asyncssh
import pyrage
import pytest

from gitreceive.engines.age_seal import BEGINNING, seal, unseal
from gitreceive.errors import UsageError

CONTENT = b"hush " * 1000


def test_a_passphrase_opens_what_it_sealed_and_another_does_not() -> None:
    sealed = seal(CONTENT, (), "correct horse")
    assert sealed.startswith(BEGINNING)
    assert b"hush" not in sealed
    assert unseal(sealed, None, "correct horse") == CONTENT
    for wrong in ("battery", None, ""):
        with pytest.raises(UsageError):
            unseal(sealed, None, wrong)
    for changed in (
        sealed[:-1],
        sealed[:-20] + b"x" * 20,
        sealed.replace(b"scrypt", b"scrypS", 1),
        sealed + b"x",
    ):
        with pytest.raises(UsageError):
            unseal(changed, None, "correct horse")


def test_each_recipient_opens_it_by_their_own_key() -> None:
    key = pyrage.x25519.Identity.generate()
    ssh = asyncssh.generate_private_key("ssh-ed25519")
    public = ssh.export_public_key().decode().strip()
    sealed = seal(CONTENT, [str(key.to_public()), public], None)
    assert unseal(sealed, f"# created: today\n{key}\n".encode(), None) == CONTENT
    assert unseal(sealed, ssh.export_private_key("openssh"), None) == CONTENT
    with pytest.raises(UsageError, match="does not open"):
        unseal(sealed, str(pyrage.x25519.Identity.generate()).encode(), None)
    with pytest.raises(UsageError, match="sealed for a key"):
        unseal(sealed, None, "passphrase")
    with pytest.raises(UsageError, match="no key that opens"):
        unseal(sealed, b"AGE-SECRET-KEY-hush", None)
    with pytest.raises(UsageError, match="no key that opens"):
        unseal(sealed, b"-----BEGIN hush", None)


def test_what_nobody_could_open_is_not_made() -> None:
    with pytest.raises(UsageError, match="nobody could open it"):
        seal(CONTENT, (), None)
    for wrong in ("age1hush", "ssh-ed25519 AAAA", "somebody"):
        with pytest.raises(UsageError, match="is no recipient"):
            seal(CONTENT, [wrong], None)
    with pytest.raises(UsageError, match="not a sealed file"):
        unseal(b"{}", None, "x")
