"""What the story needs from the world, as Protocols. ``engines/`` has the real ones, ``tests/fakes.py`` the fakes.

All methods block; all may be called from several threads at once. Engines raise only errors of ``errors.py`` and speak
only through the Log they are handed.
"""

from dataclasses import dataclass

from gitreceive.ports.building import (
    Builder,
    BuildpackSource,
    BuildRequest,
    FetchedBuildpack,
    Registry,
    RunImages,
    Shelf,
)
from gitreceive.ports.ledger import (
    AppLedger,
    CertificateLedger,
    DrainLedger,
    JobLedger,
    KeyLedger,
    Ledger,
    ReleaseLedger,
    RetentionLedger,
    SealedLedger,
    SettingsLedger,
    StackLedger,
)
from gitreceive.ports.logs import Log, LogBook
from gitreceive.ports.sources import SourceStore
from gitreceive.ports.targets import CertificateSource, Target

__all__ = [
    "AppLedger",
    "BuildRequest",
    "Builder",
    "BuildpackSource",
    "CertificateLedger",
    "CertificateSource",
    "DrainLedger",
    "FetchedBuildpack",
    "JobLedger",
    "KeyLedger",
    "Ledger",
    "Log",
    "LogBook",
    "Platform",
    "Registry",
    "ReleaseLedger",
    "RetentionLedger",
    "RunImages",
    "SealedLedger",
    "SettingsLedger",
    "Shelf",
    "SourceStore",
    "StackLedger",
    "Target",
]


@dataclass(frozen=True)
class Platform:
    """The engines that were chosen. Made by ``wiring``, used by all above it."""

    sources: SourceStore
    builder: Builder
    registry: Registry
    target: Target
    ledger: Ledger
    logbook: LogBook
    stack: str  # the name of the stack that apps are built on
    run_images: RunImages
    shelves: tuple[Shelf, ...] = ()  # what is kept for all apps, and can be had again
