"""Users and their SSH keys."""

from typing import Any

from sqlalchemy import Row, delete, insert, or_, select, update

from gitreceive.engines.sql_ledger.database import now
from gitreceive.engines.sql_ledger.documents import storable
from gitreceive.engines.sql_ledger.events import note
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import keys, users
from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import PublicKey, User, UserName


class Keys(Part):
    """The port ``KeyLedger``."""

    def add_key(
        self, user: UserName, algorithm: str, blob: str, comment: str, fingerprint: str, *, admin: bool
    ) -> PublicKey:
        known = select(keys).where(or_(keys.c.fingerprint == fingerprint, keys.c.blob == blob))
        with self._database.writing() as connection:
            if row := connection.execute(known).first():
                promotion = update(users).where(users.c.name == user, users.c.admin.is_(False))
                if row.user == user and admin and connection.execute(promotion.values(admin=True)).rowcount:
                    note(connection, "keys add", f"{user}: administrator")
                    return _key(row)
                raise _taken(row, user)
            if not connection.execute(select(users.c.name).where(users.c.name == user)).first():
                connection.execute(insert(users).values(name=user, admin=admin))
            elif admin:
                connection.execute(update(users).where(users.c.name == user).values(admin=True))
            key = PublicKey(user, algorithm, blob, storable(comment), fingerprint, now(connection))
            connection.execute(
                insert(keys).values(
                    user=user,
                    algorithm=algorithm,
                    blob=blob,
                    comment=key.comment,
                    fingerprint=fingerprint,
                    added_at=key.added_at,
                )
            )
            note(connection, "keys add", f"{user}: {fingerprint}" + (", administrator" if admin else ""))
        return key

    def keys(self, user: UserName | None = None) -> tuple[PublicKey, ...]:
        query = select(keys).order_by(keys.c.id)
        if user is not None:
            query = query.where(keys.c.user == user)
        with self._database.reading() as connection:
            return tuple(_key(row) for row in connection.execute(query))

    def remove_key(self, fingerprint: str) -> PublicKey:
        this = keys.c.fingerprint == fingerprint
        with self._database.writing() as connection:
            row = connection.execute(select(keys).where(this)).first()
            if row is None:
                raise NotFoundError(f"there is no key {fingerprint}", hint="keys list shows all")
            connection.execute(delete(keys).where(this))
            note(connection, "keys remove", f"{row.user}: {fingerprint}")
        return _key(row)

    def user(self, name: UserName) -> User:
        with self._database.reading() as connection:
            row = connection.execute(select(users).where(users.c.name == name)).first()
        if row is None:
            raise no_user(name)
        return user_from(row.name, row)

    def key(self, algorithm: str, blob: str) -> PublicKey | None:
        query = select(keys).where(keys.c.blob == blob, keys.c.algorithm == algorithm)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return _key(row) if row else None

    def user_of_key(self, algorithm: str, blob: str) -> User | None:
        query = (
            select(users)
            .join(keys, keys.c.user == users.c.name)
            .where(keys.c.blob == blob, keys.c.algorithm == algorithm, users.c.suspended.is_(False))
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return user_from(row.name, row) if row else None


def user_from(name: str, row: Row[Any]) -> User:
    """A row with the columns of a user."""
    return User(UserName(name), row.admin, row.suspended)


def no_user(name: UserName) -> NotFoundError:
    return NotFoundError(f"there is no user {name}", hint=f"give them a key: keys add {name}")


def _taken(row: Row[Any], user: UserName) -> ConflictError:
    if row.user == user:
        return ConflictError(f"{user} has the key {row.fingerprint} already", hint="there is nothing to do")
    return ConflictError(
        f"{row.user} has the key {row.fingerprint} already, and a key opens one user's door",
        hint=f"remove it first: keys remove {row.fingerprint}",
    )


def _key(row: Row[Any]) -> PublicKey:
    return PublicKey(UserName(row.user), row.algorithm, row.blob, row.comment, row.fingerprint, row.added_at)
