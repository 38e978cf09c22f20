"""Which release of another app is promoted, and whether there is anything to do. Nothing is changed here."""

from dataclasses import dataclass

from gitreceive.errors import ConflictError
from gitreceive.model import Promotion, Release
from gitreceive.ports import ReleaseLedger


@dataclass(frozen=True)
class Promoted:
    """The other app's release. ``there``: this app's live release is of the same image."""

    release: Release
    there: bool


def plan_promotion(promotion: Promotion, ledger: ReleaseLedger) -> Promoted:
    """Raises NotFoundError where the other app has no such release any more, ConflictError where the app is another of the same name."""
    release = ledger.release(promotion.origin, promotion.number)
    if release.image.ref.digest != promotion.digest:
        raise ConflictError(
            f"{release.title} is another image by now than the one that was to be promoted",
            hint=f"look (gitreceive releases {promotion.origin}), and promote again",
        )
    live = ledger.current_release(promotion.app)
    return Promoted(release, live is not None and live.image.ref.digest == promotion.digest)
