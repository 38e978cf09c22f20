"""Who says of images what they are made of and where they come from, so that others can check it."""

from dataclasses import dataclass
from typing import Protocol

from gitreceive.cancellation import Cancellation
from gitreceive.model import Check, ImageRef, Job, Release, Stack


@dataclass(frozen=True)
class Origin:
    """What the ledger knows of how an image came to be. ``stack``: whose run image it stands on; ``before``: what was rebased."""

    job: Job
    release: Release
    stack: Stack | None = None
    before: ImageRef | None = None


@dataclass(frozen=True)
class Attested:
    """``missed`` is what of the image could not be read, in words: the bill is then not whole."""

    components: int
    missed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Papers:
    """What is kept beside an image. ``components`` is None where there is no bill of materials; ``built`` names the builds of whose provenance
    there is a statement; ``keys`` are the ids of the keys that are said to have signed it: ``check`` is what proves it.
    """

    components: int | None = None
    built: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


class Attestor(Protocol):
    """All of it may be done twice. Raises RegistryError, ConfigError for a key that cannot be used, CanceledError."""

    @property
    def first(self) -> bool:
        """Whether nothing may run of an image before all is attested."""

    def sign(self, image: ImageRef, cancel: Cancellation) -> str | None:
        """The id of the key that the image is signed with; None where there is no key."""

    def attest(self, image: ImageRef, origin: Origin | None, cancel: Cancellation) -> Attested:
        """Keep its bill of materials beside it, and of an origin the provenance."""

    def papers(self, image: ImageRef) -> Papers:
        """What is there, unchecked."""

    def bill(self, image: ImageRef) -> bytes | None:
        """CycloneDX, as JSON."""

    def provenance(self, image: ImageRef, build: int | None = None) -> bytes | None:
        """An in-toto Statement: that of the build, else the newest one."""

    def verify(self, image: ImageRef, key: bytes | None = None) -> tuple[Check, ...]:
        """Whether digest, signature, bill and provenance hold, by the public key in PEM, or the server's own. Raises UsageError for a key that is
        none.
        """
