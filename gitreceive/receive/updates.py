"""What each ref update of a push means, decided before anything is done. Pure.

- A push of the app's deploy branch deploys.
- Tags are stored, moved and deleted as in any repository; they deploy nothing, and the push says so.
- Another branch makes a review app where the push or the app's rules ask for one, or where it has one; deleting the branch removes it. Else it is
  refused, with the command that would deploy it: nothing is kept that nobody runs.
- The deploy branch cannot be deleted. Other refs (notes, pull requests, other tools' own) are refused.
- Each update is answered on its own; with ``--atomic`` one refusal refuses all.

Refusals of single refs are proc-receive's answers, as only there each has its own reason. pre-receive refuses the whole
push, keeping no object of it: that is for a tree past the limits, which nobody must have to read again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gitreceive.errors import UsageError
from gitreceive.model import App, CommitId, PushOptions
from gitreceive.receive.policy import Findings

MOST_UPDATES = 1000
MOST_REVIEWS = 5  # that one push may ask for
_REASON_LENGTH = 200


@dataclass(frozen=True)
class Update:
    """One ref update as a client asked for it."""

    ref: str
    old: CommitId
    new: CommitId

    @property
    def deletes(self) -> bool:
        return self.new.is_zero


@dataclass(frozen=True)
class Deploy:
    """Make a job of it; of a ``review``, for the branch's own app."""

    update: Update
    options: PushOptions
    review: bool = False


@dataclass(frozen=True)
class Retire:
    """Remove the branch's review app, and with it the branch."""

    update: Update


@dataclass(frozen=True)
class Store:
    """Let git update the ref as it asks for. ``note`` is told to the client."""

    update: Update
    note: str


@dataclass(frozen=True)
class Refuse:
    """Answer ``ng``. ``reason`` stands in git's status line, ``hint`` above it."""

    update: Update
    reason: str
    hint: str = ""


Decision = Deploy | Retire | Store | Refuse


def parse_update(ref: object, old: object, new: object) -> Update:
    """Raise UsageError unless these are a ref and two object ids."""
    if not all(isinstance(value, str) for value in (ref, old, new)):
        raise UsageError("a ref update is malformed", hint="push again")
    if not str(ref).startswith("refs/") or not str(ref).isprintable():
        raise UsageError(f"{str(ref)[:80]!r} is not a ref", hint="rename it")
    return Update(str(ref), CommitId.parse(str(old)), CommitId.parse(str(new)))


def decide(
    app: App,
    updates: Sequence[Update],
    options: Sequence[str],
    inspected: Mapping[CommitId, Findings],
    reviewed: Collection[str] = (),
    *,
    remote: str,
    atomic: bool,
) -> tuple[Decision, ...]:
    """One decision for each update, in order. ``inspected`` has the findings of pre-receive; a commit that is not among them
    is refused. ``reviewed`` are the branches that have a review app, ``remote`` is the app's URL, for the commands that are shown.
    """
    if len({update.ref for update in updates}) != len(updates):
        return tuple(Refuse(update, "a ref is named twice in one push") for update in updates)
    wishes = _Wishes(app, tuple(options), inspected, frozenset(reviewed), remote)
    decisions = _bounded(tuple(_decide(wishes, update) for update in updates))
    refused = [decision for decision in decisions if isinstance(decision, Refuse)]
    if not atomic or not refused:
        return decisions
    because = f"atomic push: {refused[0].update.ref} is refused"
    return tuple(d if isinstance(d, Refuse) else Refuse(d.update, because) for d in decisions)


def one_line(text: str) -> str:
    """A reason for git's status line: one line, printable, at most 200 characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split()) or "refused"
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"


def may_review(app: App, update: Update, options: Sequence[str], reviewed: Collection[str]) -> bool:
    """Whether the update is of a branch that is to have a review app, or has one."""
    branch = update.ref.removeprefix("refs/heads/")
    if update.ref in {branch, app.deploy_ref}:
        return False
    return app.reviews.wanted or "review" in options or branch in reviewed


@dataclass(frozen=True)
class _Wishes:
    app: App
    options: tuple[str, ...]
    inspected: Mapping[CommitId, Findings]
    reviewed: frozenset[str]
    remote: str


def _bounded(decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
    """Each review app is a build, and they follow one another while the push waits."""
    reviews = [decision for decision in decisions if isinstance(decision, Deploy) and decision.review]
    if len(reviews) <= MOST_REVIEWS:
        return decisions
    because = f"{len(reviews)} review apps in one push; at most {MOST_REVIEWS} are made"
    return tuple(
        Refuse(d.update, because, "push fewer branches at once") if d in reviews else d for d in decisions
    )


def _decide(wishes: _Wishes, update: Update) -> Decision:
    app = wishes.app
    kind, _, name = update.ref.removeprefix("refs/").partition("/")
    if update.ref == app.deploy_ref:
        return _decide_deploy(wishes, update)
    if kind == "tags":
        return Store(
            update, f"tag {name} deleted" if update.deletes else f"tag {name} stored; tags do not deploy"
        )
    if kind != "heads":
        return Refuse(
            update,
            "only branches and tags are taken",
            f"push a branch: git push {wishes.remote} {app.branch}",
        )
    return _decide_other(wishes, update, name)


def _decide_other(wishes: _Wishes, update: Update, name: str) -> Decision:
    """A branch that is not the one that deploys."""
    app = wishes.app
    if update.deletes:
        if name in wishes.reviewed:
            return Retire(update)
        return Refuse(update, f"there is no branch {name} here: only {app.branch} is kept")
    if may_review(app, update, wishes.options, wishes.reviewed):
        return _inspected(wishes, update, review=True)
    return Refuse(
        update,
        f"{name} is not deployed, {app.branch} is",
        f"to deploy it: git push {wishes.remote} {name}:{app.branch}; for an app of its own to review: git push -o review",
    )


def _decide_deploy(wishes: _Wishes, update: Update) -> Decision:
    app = wishes.app
    if update.deletes:
        return Refuse(
            update,
            f"{app.branch} cannot be deleted: it is what runs",
            f"to remove the app: apps destroy {app.name}",
        )
    if "review" in wishes.options:
        return Refuse(
            update,
            f"{app.branch} is what runs; review apps are for other branches",
            f"push it alone, without -o review: git push {wishes.remote} {app.branch}",
        )
    return _inspected(wishes, update)


def _inspected(wishes: _Wishes, update: Update, *, review: bool = False) -> Decision:
    findings = wishes.inspected.get(update.new)
    if findings is None:
        return Refuse(update, "the server has not inspected this commit", "push again")
    if findings.problem:
        return Refuse(update, *findings.problem)
    try:
        return Deploy(update, PushOptions.parse(wishes.options), review)
    except UsageError as error:
        return Refuse(update, error.message, error.hint)
