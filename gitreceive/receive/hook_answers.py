"""What the server answers to a push's two hooks: policy first, then the deploy."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from gitreceive.access import require
from gitreceive.acting import acting
from gitreceive.config import PolicySettings
from gitreceive.errors import (
    ConflictError,
    ForbiddenError,
    GitreceiveError,
    NotFoundError,
    PolicyError,
    UsageError,
)
from gitreceive.git.history import close_history
from gitreceive.model import App, Happening, Job, JobState, Outcome, Permission, Push
from gitreceive.ports import Ledger, Log, LogBook, Observer, SourceStore, Unobserved
from gitreceive.ports.observing import kind_of
from gitreceive.receive.follow import Line, follow
from gitreceive.receive.hook_socket import HookConnection, ServerStoppingError
from gitreceive.receive.policy import inspect
from gitreceive.receive.sessions import Session, Sessions
from gitreceive.receive.updates import (
    MOST_UPDATES,
    Decision,
    Deploy,
    Refuse,
    Retire,
    Store,
    Update,
    decide,
    may_review,
    one_line,
    parse_update,
)
from gitreceive.stories.reviews import find_review, review_app
from gitreceive.stories.revocation import user_of
from gitreceive.voice import Voice

_Reply = Mapping[str, Any]


@dataclass(frozen=True)
class HookAnswers:
    """Called with each hook that connects, from several threads."""

    policy: PolicySettings
    sessions: Sessions
    ledger: Ledger
    sources: SourceStore
    logbook: LogBook
    retire: Callable[[App, Log], None]
    enqueued: Callable[[], None] = lambda: None
    observer: Observer = field(default_factory=Unobserved)

    @cached_property
    def _line(self) -> Line:
        return Line(self.ledger)

    def __call__(self, hook: HookConnection) -> _Reply:
        """An answer that refuses, in words, on every error that is foreseen."""
        voice = Voice(hook.say)
        answers: dict[object, Callable[[_Reply, HookConnection, Voice], _Reply]]
        answers = {"pre-receive": self._pre_receive, "proc-receive": self._proc_receive}
        request: _Reply = {}
        try:
            request = hook.read_request()
            answer = answers.get(request.get("hook"))
            if answer is None:
                raise UsageError(
                    "the hook's request is malformed", hint="restart the server, which writes the hooks"
                )
            return answer(request, hook, voice)
        except GitreceiveError as error:
            voice.error(error.message, error.hint)
            self._record(request, error)
            return _refuse_all(request, error.message)

    def _pre_receive(self, request: _Reply, _hook: HookConnection, _voice: Voice) -> _Reply:
        session = self._session(request)
        session.received.set()
        session.on_received()
        options, reviewed = _options(request), self._reviewed(session.app)
        for update in _updates(request):
            deploys = update.ref == session.app.deploy_ref or may_review(
                session.app, update, options, reviewed
            )
            if deploys and not update.deletes:
                quarantine = _quarantine(session, request.get("quarantine"))
                found = inspect(session.repository, update.new, self.policy, quarantine)
                session.inspected[update.new] = found
        return {"ok": True}

    def _proc_receive(self, request: _Reply, hook: HookConnection, voice: Voice) -> _Reply:
        session = self._session(request)
        session.taken.set()
        self.observer.push_received(session.seconds)
        atomic = request.get("atomic") is True
        remote = session.address.remote(session.app.name)
        decisions = decide(
            session.app,
            _updates(request),
            _options(request),
            session.inspected,
            self._reviewed(session.app),
            remote=remote,
            atomic=atomic,
        )
        verdicts = {d.update.ref: self._verdict(session, d, hook, voice) for d in _deploys_first(decisions)}
        failed = next((ref for ref, (verdict, _) in verdicts.items() if verdict == "ng"), None)
        if atomic and failed:
            because = ("ng", one_line(f"atomic push: {failed} is refused"))
            verdicts = {ref: v if v[0] == "ng" else because for ref, v in verdicts.items()}
        return {"refs": [verdicts[decision.update.ref] for decision in decisions]}

    def _verdict(
        self, session: Session, decision: Decision, hook: HookConnection, voice: Voice
    ) -> tuple[str, str]:
        """``ok``, ``store`` or ``ng``, and the reason."""
        match decision:
            case Store(update=update, note=note):
                if not update.deletes:
                    close_history(session.repository, update.new)
                voice.warn(note)
                return "store", ""
            case Refuse(update=update, reason=reason, hint=hint):
                voice.error(f"{update.ref.removeprefix('refs/heads/')}: {reason}", hint)
                self.ledger.record(_refused(session, update.ref, reason, Outcome.FAILED))
                self.observer.push_refused("rule", session.app.name)
                return "ng", one_line(reason)
            case Retire(update=update):
                return self._retire(session, update, voice)
            case Deploy():
                return self._deploy(session, decision, hook, voice)

    def _retire(self, session: Session, update: Update, voice: Voice) -> tuple[str, str]:
        """The review app, and the ref with it, are removed by the server: git has nothing left to do."""
        app = find_review(session.app.name, update.ref.removeprefix("refs/heads/"), self.ledger)
        try:
            if app is not None:
                with acting(session.actor, "push"):
                    self._require_right(session)
                    self.retire(app, voice)
                voice.step(f"Review app {app.name} is gone")
        except GitreceiveError as error:
            voice.error(error.message, error.hint)
            return "ng", one_line(error.message)
        return "ok", ""

    def _reviewed(self, app: App) -> frozenset[str]:
        """The branches that have a review app."""
        return frozenset(review.branch for review in self.ledger.reviews(app.name))

    def _deploy(
        self, session: Session, deploy: Deploy, hook: HookConnection, voice: Voice
    ) -> tuple[str, str]:
        """Make a job and show it to its end. The job is the server's: whatever happens to this push, it goes on."""
        with acting(session.actor, "push"):
            self._require_right(session)
            job = self._job_of(session, deploy, voice)
        voice.step(f"Build {job.id} of {job.app}: {job.title} by {job.user}")
        attach = f"{session.address.ssh} builds attach {job.id}"
        voice.detail(f"Ctrl-C leaves it running; to watch it again: {attach}")
        try:
            ended = follow(job, self.ledger, self.logbook, voice, hook, self._line)
        except ServerStoppingError:
            voice.warn(f"the server restarts; build {job.id} goes on when it is back")
            voice.warn(f"to watch it: {attach}")
            return "ng", one_line(f"server restarting; build {job.id} continues: builds attach {job.id}")
        except GitreceiveError as error:
            voice.error(error.message, f"build {job.id} goes on; to watch it: {attach}")
            return "ng", one_line(f"{error.message}; build {job.id} continues: builds attach {job.id}")
        if ended.state is JobState.LIVE:
            return "ok", ""
        return "ng", one_line(ended.reason or f"build {job.id} {ended.state}")

    def _job_of(self, session: Session, deploy: Deploy, voice: Voice) -> Job:
        try:
            return self._enqueue(session, deploy, self._app_of(session, deploy, voice))
        except NotFoundError as error:
            self.ledger.app(session.app.name)  # where that is gone, it is the one to be told of
            raise ConflictError(
                f"the review app of {deploy.update.ref.removeprefix('refs/heads/')} was removed just now",
                hint="push again, which makes it anew",
            ) from error

    def _app_of(self, session: Session, deploy: Deploy, voice: Voice) -> App:
        """The app that the push is for: the one that was pushed to, or the branch's review app."""
        if not deploy.review:
            return session.app
        parent = self.ledger.app(session.app.name)
        app = review_app(
            parent, deploy.update.ref.removeprefix("refs/heads/"), self.ledger, datetime.now(UTC)
        )
        if app.review:
            voice.step(f"Review app {app.name} of {parent.name}, for {app.branch}")
            voice.detail(f"it goes with the branch, or at {app.review.until:%Y-%m-%d %H:%M} UTC")
        return app

    def _enqueue(self, session: Session, deploy: Deploy, app: App) -> Job:
        """The job, its commit held. Raises GitreceiveError, and then there is no job that goes on."""
        update = deploy.update
        came_to = session.app.name if deploy.review else None
        push = Push(app.name, session.actor.user, update.ref, update.old, update.new, deploy.options, came_to)
        close_history(session.repository, update.new)  # before anybody can move a ref to it
        job = self.ledger.enqueue(push)
        try:
            self.sources.keep(push.repository, job.id, push.new)
        except GitreceiveError:
            self.ledger.request_cancel(job.id, "the server: the commit could not be kept")
            raise
        self.enqueued()
        self.observer.push_accepted(app.name)
        return job

    def _require_right(self, session: Session) -> None:
        """Once more, as receiving may have taken an hour. Raises ForbiddenError."""
        user = user_of(session.actor, self.ledger)
        require(Permission.DEPLOY, user, self.ledger.app(session.app.name), self.ledger)

    def _record(self, request: _Reply, error: GitreceiveError) -> None:
        """A push that was refused as a whole, where it is known whose it was."""
        with suppress(GitreceiveError):  # what is on its way to the client says more
            session = self._session(request)
            outcome = Outcome.DENIED if isinstance(error, ForbiddenError) else Outcome.FAILED
            refs = ", ".join(update.ref for update in _updates(request)[:5])
            self.observer.push_refused(kind_of(error), session.app.name)
            self.ledger.record(_refused(session, refs, error.message, outcome))

    def _session(self, request: _Reply) -> Session:
        return self.sessions.find(str(request.get("session")))


def _refused(session: Session, what: str, reason: str, outcome: Outcome) -> Happening:
    actor = session.actor
    return Happening(actor.user, actor.via, actor.address, "push", session.app.name, what, outcome, reason)


def _deploys_first(decisions: Sequence[Decision]) -> list[Decision]:
    """What is refused or stored is said before a build scrolls it away."""
    return sorted(decisions, key=lambda decision: isinstance(decision, Deploy))


def _updates(request: _Reply) -> list[Update]:
    updates = request.get("updates")
    if not isinstance(updates, list) or not all(isinstance(u, list) and len(u) == 3 for u in updates):
        raise UsageError("the hook's request is malformed", hint="restart the server, which writes the hooks")
    if len(updates) > MOST_UPDATES:
        raise PolicyError(
            f"{len(updates)} refs in one push",
            hint=f"push at most {MOST_UPDATES}, or the one branch that deploys",
        )
    return [parse_update(*update) for update in updates]


def _options(request: _Reply) -> list[str]:
    options = request.get("options")
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise UsageError("the push options are malformed", hint="push again")
    return options


def _quarantine(session: Session, path: object) -> dict[str, str]:
    """Git's environment for objects in quarantine; the folder must lie in the repository's own objects."""
    objects = (session.repository / "objects").resolve()
    quarantine = Path(path).resolve() if isinstance(path, str) else objects
    if quarantine.parent != objects or "incoming-" not in quarantine.name:
        raise UsageError("the push has no quarantine", hint="git 2.11 or newer is needed on the server")
    session.quarantine = quarantine
    return {"GIT_OBJECT_DIRECTORY": str(quarantine), "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects)}


def _refuse_all(request: _Reply, reason: str) -> _Reply:
    updates = request.get("updates")
    number = len(updates) if isinstance(updates, list) else 0
    return {"ok": False, "refs": [("ng", one_line(reason))] * number}
