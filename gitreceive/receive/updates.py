"""What each ref update of a push means, decided before anything is done. Pure.

- A push of the app's deploy branch deploys.
- Tags are stored, moved and deleted as in any repository; they deploy nothing, and the push says so.
- Other branches are refused, with the command that would deploy them: nothing is kept that nobody runs.
- The deploy branch cannot be deleted. Other refs (notes, pull requests, other tools' own) are refused.
- Each update is answered on its own; with ``--atomic`` one refusal refuses all.

Refusals of single refs are proc-receive's answers, as only there each has its own reason. pre-receive refuses the whole
push, keeping no object of it: that is for a tree past the limits, which nobody must have to read again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gitreceive.errors import UsageError
from gitreceive.model import App, CommitId, PushOptions
from gitreceive.receive.policy import Findings

MOST_UPDATES = 1000
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
    """Make a job of it."""

    update: Update
    options: PushOptions


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


Decision = Deploy | Store | Refuse


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
    *,
    remote: str,
    atomic: bool,
) -> tuple[Decision, ...]:
    """One decision for each update, in order. ``inspected`` has the findings of pre-receive; a commit that is not among them
    is refused. ``remote`` is the app's URL, for the commands that are shown.
    """
    if len({update.ref for update in updates}) != len(updates):
        return tuple(Refuse(update, "a ref is named twice in one push") for update in updates)
    decisions = tuple(_decide(app, update, options, inspected, remote) for update in updates)
    refused = [decision for decision in decisions if isinstance(decision, Refuse)]
    if not atomic or not refused:
        return decisions
    because = f"atomic push: {refused[0].update.ref} is refused"
    return tuple(d if isinstance(d, Refuse) else Refuse(d.update, because) for d in decisions)


def one_line(text: str) -> str:
    """A reason for git's status line: one line, printable, at most 200 characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split()) or "refused"
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"


def _decide(
    app: App, update: Update, options: Sequence[str], inspected: Mapping[CommitId, Findings], remote: str
) -> Decision:
    kind, _, name = update.ref.removeprefix("refs/").partition("/")
    if update.ref == app.deploy_ref:
        return _decide_deploy(app, update, options, inspected)
    if kind == "tags":
        return Store(
            update, f"tag {name} deleted" if update.deletes else f"tag {name} stored; tags do not deploy"
        )
    if kind != "heads":
        return Refuse(
            update, "only branches and tags are taken", f"push a branch: git push {remote} {app.branch}"
        )
    if update.deletes:
        return Refuse(update, f"there is no branch {name} here: only {app.branch} is kept")
    return Refuse(
        update,
        f"{name} is not deployed, {app.branch} is",
        f"to deploy it: git push {remote} {name}:{app.branch}",
    )


def _decide_deploy(
    app: App, update: Update, options: Sequence[str], inspected: Mapping[CommitId, Findings]
) -> Decision:
    if update.deletes:
        return Refuse(
            update,
            f"{app.branch} cannot be deleted: it is what runs",
            f"to remove the app: apps destroy {app.name}",
        )
    findings = inspected.get(update.new)
    if findings is None:
        return Refuse(update, "the server has not inspected this commit", "push again")
    if findings.problem:
        return Refuse(update, *findings.problem)
    try:
        return Deploy(update, PushOptions.parse(tuple(options)))
    except UsageError as error:
        return Refuse(update, error.message, error.hint)
