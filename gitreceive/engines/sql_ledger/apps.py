"""Apps."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from gitreceive.engines.sql_ledger.database import now
from gitreceive.engines.sql_ledger.documents import config_document, config_from, storable
from gitreceive.engines.sql_ledger.events import note
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import apps, jobs, quotas, releases
from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import App, AppName, Lock, QuotaKind, Review, ReviewRules, Secret, UserName


class Apps(Part):
    """The port ``AppLedger``."""

    def create_app(self, name: AppName, owner: UserName, branch: str, review: Review | None = None) -> App:
        with self._database.writing() as connection:
            if connection.execute(select(apps.c.name).where(apps.c.name == name)).first():
                raise ConflictError(f"there is an app {name} already", hint="choose another name")
            app = App(name, owner, branch, now(connection), review=review)
            connection.execute(
                insert(apps).values(
                    name=name,
                    owner=owner,
                    branch=branch,
                    created_at=app.created_at,
                    review_of=review.of if review else None,
                    review_branch=review.branch if review else None,
                    review_until=review.until if review else None,
                )
            )
            note(connection, "apps create", f"owner {owner}, branch {branch}", name)
        return app

    def app(self, name: AppName) -> App:
        with self._database.reading() as connection:
            return read_app(connection, name)

    def apps(self) -> tuple[App, ...]:
        with self._database.reading() as connection:
            return _in_order(connection.execute(select(apps)))

    def set_buildpacks(self, name: AppName, before: tuple[str, ...], after: tuple[str, ...]) -> App:
        with self._database.writing() as connection:
            app = unlocked(connection, name)
            if app.buildpacks != before:
                raise ConflictError(
                    f"the buildpacks of {name} were changed just now",
                    hint=f"look, and try again: gitreceive buildpacks list {name}",
                )
            connection.execute(update(apps).where(apps.c.name == name).values(buildpacks=list(after)))
            note(connection, "buildpacks set", ", ".join(after) or "none", name)
        return replace(app, buildpacks=after)

    def lock_app(self, name: AppName, user: UserName, reason: str) -> App:
        with self._database.writing() as connection:
            app = unlocked(connection, name)
            lock = Lock(user, storable(reason), now(connection))
            _put_lock(connection, name, lock)
            note(connection, "lock", reason, name)
        return replace(app, lock=lock)

    def unlock_app(self, name: AppName) -> App:
        with self._database.writing() as connection:
            _put_lock(connection, name, None)
            note(connection, "unlock", "", name)
            return read_app(connection, name)

    def set_reviews(self, name: AppName, before: ReviewRules, after: ReviewRules) -> App:
        with self._database.writing() as connection:
            app = unlocked(connection, name)
            if app.reviews != before:
                raise ConflictError(
                    f"what is set for reviews of {name} was changed just now",
                    hint=f"look, and try again: gitreceive reviews list {name}",
                )
            connection.execute(update(apps).where(apps.c.name == name).values(reviews=rules_document(after)))
            wanted = "for every branch" if after.wanted else "where asked for"
            said = f"{wanted}, for {after.seconds} s, inherit {', '.join(after.inherit) or 'nothing'}"
            note(connection, "reviews set", said, name)
        return replace(app, reviews=after)

    def keep_review(self, name: AppName, until: datetime) -> App:
        with self._database.writing() as connection:
            app = read_app(connection, name)
            if app.review is None:
                raise NotFoundError(f"{name} is no review app")
            connection.execute(update(apps).where(apps.c.name == name).values(review_until=until))
            return read_app(connection, name)

    def reviews(self, of: AppName | None = None) -> tuple[App, ...]:
        which = apps.c.review_of.is_not(None) if of is None else apps.c.review_of == of
        with self._database.reading() as connection:
            return _in_order(connection.execute(select(apps).where(which)))

    def config(self, app: AppName) -> dict[str, Secret]:
        with self._database.reading() as connection:
            return config_from(next_config(connection, app))

    def keep_config(self, app: AppName, before: Mapping[str, Secret], after: Mapping[str, Secret]) -> None:
        with self._database.writing() as connection:
            if next_config(connection, app) != config_document(before):
                raise ConflictError(f"the config of {app} was changed just now", hint="look, and try again")
            require_no_release(connection, app)
            connection.execute(update(apps).where(apps.c.name == app).values(config=config_document(after)))
            note(connection, "config set", _changed(before, after), app)

    def delete_app(self, name: AppName) -> None:
        under_way = select(jobs.c.id).where(jobs.c.app == name, jobs.c.ended_at.is_(None)).order_by(jobs.c.id)
        with self._database.writing() as connection:
            unlocked(connection, name)
            if (job := connection.execute(under_way).scalar()) is not None:
                raise ConflictError(
                    f"build {job} of {name} has not ended",
                    hint=f"wait for it, or stop it: builds cancel {job}",
                )
            connection.execute(delete(apps).where(apps.c.name == name))
            connection.execute(delete(quotas).where(quotas.c.kind == QuotaKind.APP, quotas.c.name == name))
            note(connection, "apps destroy", "with its builds and releases", name)


def read_app(connection: Connection, name: AppName) -> App:
    """Raises NotFoundError."""
    row = connection.execute(_ONE, {"name": name}).first()
    if row is None:
        raise no_app(name)
    return _app(row)


# made once: it takes longer to put together than to answer
_ONE = select(apps).where(apps.c.name == bindparam("name"))


def unlocked(connection: Connection, name: AppName) -> App:
    """The app, which may be changed. Raises NotFoundError, ConflictError."""
    app = read_app(connection, name)
    app.require_unlocked()
    return app


def require_no_release(connection: Connection, app: AppName) -> None:
    """Raises ConflictError where the app is locked, where one is live, and while a job has not ended, which may have taken what is to be kept for it."""
    unlocked(connection, app)
    taken = select(jobs.c.id).where(jobs.c.app == app, jobs.c.ended_at.is_(None))
    live = select(releases.c.id).where(releases.c.app == app, releases.c.live_at.is_not(None))
    if any(connection.execute(query.limit(1)).first() for query in (taken, live)):
        raise ConflictError(
            f"the first release of {app} is being made, or was just now",
            hint="wait for it (gitreceive builds attach), and try again",
        )


def rules_document(rules: ReviewRules) -> dict[str, Any]:
    return {"wanted": rules.wanted, "seconds": rules.seconds, "inherit": list(rules.inherit)}


def next_config(connection: Connection, app: AppName) -> dict[str, str]:
    """What the app's next release takes over: of the live one, else what waits for the first. Raises NotFoundError."""
    waiting = connection.execute(select(apps.c.config).where(apps.c.name == app)).first()
    if waiting is None:
        raise no_app(app)
    live = connection.execute(
        select(releases.c.config)
        .where(releases.c.app == app, releases.c.live_at.is_not(None))
        .order_by(releases.c.number.desc())
        .limit(1)
    ).first()
    found: dict[str, str] = live.config if live else waiting.config
    return found


def _changed(before: Mapping[str, Secret], after: Mapping[str, Secret]) -> str:
    """Names, and no value."""
    given = sorted(name for name, value in after.items() if before.get(name) != value)
    gone = sorted(before.keys() - after.keys())
    words = (f"set {', '.join(given)}" if given else "", f"unset {', '.join(gone)}" if gone else "")
    return "; ".join(word for word in words if word)


def no_app(name: AppName) -> NotFoundError:
    return NotFoundError(f"there is no app {name}", hint=f"create it: apps create {name}")


def _put_lock(connection: Connection, name: AppName, lock: Lock | None) -> None:
    found = {"locked_by": lock.user, "locked_because": lock.reason, "locked_at": lock.since} if lock else None
    values = found or {"locked_by": None, "locked_because": None, "locked_at": None}
    connection.execute(update(apps).where(apps.c.name == name).values(**values))


def _in_order(rows: Iterable[Row[Any]]) -> tuple[App, ...]:
    """By the bytes of their names, whatever the database's collation."""
    return tuple(sorted((_app(row) for row in rows), key=lambda app: app.name))


def _app(row: Row[Any]) -> App:
    rules = row.reviews
    return App(
        AppName(row.name),
        UserName(row.owner),
        row.branch,
        row.created_at,
        tuple(row.buildpacks),
        Review(AppName(row.review_of), row.review_branch, row.review_until) if row.review_of else None,
        ReviewRules(rules["wanted"], rules["seconds"], tuple(rules["inherit"])) if rules else ReviewRules(),
        Lock(UserName(row.locked_by), row.locked_because, row.locked_at) if row.locked_by else None,
    )
