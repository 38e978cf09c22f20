"""Review apps: each shows one branch of another app, at an address of its own, for a while."""

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from gitreceive.errors import ConflictError
from gitreceive.model import App, AppName, Review
from gitreceive.ports import Ledger

_LONGEST_NAME = 40
_MARK = 6  # hexadecimal digits


def review_app(parent: App, branch: str, ledger: Ledger, now: datetime) -> App:
    """The app that shows the branch, which stays on from ``now``; made where there is none. Until something of it is live, it has those
    values of the parent's config that the parent's rules name.

    Raises NotFoundError where the parent is gone, ConflictError where all names that it could have are taken.
    """
    until = now + timedelta(seconds=parent.reviews.seconds)
    found = find_review(parent.name, branch, ledger)
    app = ledger.keep_review(found.name, until) if found else _made(parent, branch, until, ledger)
    _inherit(parent, app, ledger)
    return app


def find_review(parent: AppName, branch: str, ledger: Ledger) -> App | None:
    return next((app for app in ledger.reviews(parent) if app.review and app.review.branch == branch), None)


def names(parent: AppName, branch: str) -> Iterator[AppName]:
    """Which names it may have, the nicest first. Branches that read alike have different ones: ``fix/a`` and ``fix-a``."""
    slug = re.sub(r"[^a-z0-9]+", "-", branch.lower()).strip("-")
    plain = f"{parent}-{slug}"
    if slug == branch and len(plain) <= _LONGEST_NAME:
        yield AppName.parse(plain)
    mark = hashlib.sha256(f"{parent}\0{branch}".encode()).hexdigest()[:_MARK]
    yield AppName.parse(f"{plain[: _LONGEST_NAME - _MARK - 1].rstrip('-')}-{mark}")


def _made(parent: App, branch: str, until: datetime, ledger: Ledger) -> App:
    taken: ConflictError | None = None
    for name in names(parent.name, branch):
        try:
            return ledger.create_app(name, parent.owner, branch, Review(parent.name, branch, until))
        except ConflictError as error:
            taken = error
        found = find_review(parent.name, branch, ledger)
        if found:  # another push was quicker
            return found
    raise ConflictError(
        f"a review app for {branch[:60]} has no name: {taken.message if taken else ''}",
        hint="push the branch under another name",
    ) from taken


def _inherit(parent: App, app: App, ledger: Ledger) -> None:
    if ledger.current_release(app.name) or any(not job.state.ended for job in ledger.jobs(app.name, 1)):
        return
    given = ledger.config(parent.name)
    own = ledger.config(app.name)
    after = {**{name: given[name] for name in parent.reviews.inherit if name in given}, **own}
    if after != own:
        ledger.keep_config(app.name, own, after)
