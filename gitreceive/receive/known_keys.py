"""Who comes by an SSH key, at whichever door."""

from typing import Protocol

from gitreceive.acting import Actor
from gitreceive.model import Happening, Outcome
from gitreceive.ports import EventLedger, KeyLedger

_QUIET = 60.0  # seconds in which the same refusal is recorded once


class KeyringLedger(KeyLedger, EventLedger, Protocol):
    """What has to be known of keys."""


def actor_of_key(ledger: KeyringLedger, algorithm: str, blob: str, address: str) -> Actor | None:
    """None where nobody has the key. That somebody is known and may not come in is recorded. Blocks."""
    key = ledger.key(algorithm, blob)
    if key is None:
        return None
    actor = Actor(key.user, key=key.fingerprint, address=address)
    if ledger.user_of_key(algorithm, blob) is not None:
        return actor
    happening = Happening(
        user=actor.user,
        via=actor.via,
        address=actor.address,
        verb="login",
        outcome=Outcome.DENIED,
        reason=f"{actor.user} is suspended",
    )
    ledger.record(happening, quiet_seconds=_QUIET)
    return None
