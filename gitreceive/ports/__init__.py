"""What the story needs from the world, as Protocols. ``engines/`` has the real ones, ``tests/fakes.py`` the fakes.

All methods block; all may be called from several threads at once. Engines raise only errors of ``errors.py`` and speak
only through the Log they are handed.
"""

from dataclasses import dataclass, field

from gitreceive.ports.attesting import Attested, Attestor, Origin, Papers
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
    ArchiveLedger,
    CertificateLedger,
    DrainLedger,
    JobLedger,
    Ledger,
    MeasuredLedger,
    ReleaseLedger,
    RetentionLedger,
    SealedLedger,
    SettingsLedger,
    StackLedger,
)
from gitreceive.ports.logs import Log, LogBook
from gitreceive.ports.networks import BuildNetworks, LentNetwork, NoNetworks
from gitreceive.ports.observing import Metrics, Observer, Reading, Unobserved
from gitreceive.ports.one_offs import STDERR, STDOUT, Attachment, OneOffs, Output, Pipe
from gitreceive.ports.people import (
    AccessLedger,
    EventLedger,
    KeyLedger,
    QuotaLedger,
    TeamLedger,
    TokenLedger,
    UserLedger,
)
from gitreceive.ports.provisioning import Provisions
from gitreceive.ports.schedules import Schedules
from gitreceive.ports.sources import SourceStore
from gitreceive.ports.targets import CertificateSource, Target

__all__ = [
    "STDERR",
    "STDOUT",
    "AccessLedger",
    "AppLedger",
    "ArchiveLedger",
    "Attachment",
    "Attested",
    "Attestor",
    "BuildNetworks",
    "BuildRequest",
    "Builder",
    "BuildpackSource",
    "CertificateLedger",
    "CertificateSource",
    "DrainLedger",
    "EventLedger",
    "FetchedBuildpack",
    "JobLedger",
    "KeyLedger",
    "Ledger",
    "LentNetwork",
    "Log",
    "LogBook",
    "MeasuredLedger",
    "Metrics",
    "NoNetworks",
    "Observer",
    "OneOffs",
    "Origin",
    "Output",
    "Papers",
    "Pipe",
    "Platform",
    "Provisions",
    "QuotaLedger",
    "Reading",
    "Registry",
    "ReleaseLedger",
    "RetentionLedger",
    "RunImages",
    "Schedules",
    "SealedLedger",
    "SettingsLedger",
    "Shelf",
    "SourceStore",
    "StackLedger",
    "Target",
    "TeamLedger",
    "TokenLedger",
    "Unobserved",
    "UserLedger",
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
    default_memory: int = 512 << 20  # bytes of a process for which no limit was set
    shelves: tuple[Shelf, ...] = ()  # what is kept for all apps, and can be had again
    observer: Observer = field(default_factory=Unobserved)  # who counts
    attestor: Attestor | None = None  # None: nothing is said of images
