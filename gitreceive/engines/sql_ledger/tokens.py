"""Tokens."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from gitreceive.engines.sql_ledger.database import now
from gitreceive.engines.sql_ledger.events import note
from gitreceive.engines.sql_ledger.keys import no_user, user_from
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import tokens, users
from gitreceive.errors import NotFoundError
from gitreceive.model import (
    AppName,
    Grant,
    NewToken,
    Reach,
    Scope,
    Secret,
    Token,
    UserName,
    grant,
    same_hash,
    split_token,
)

_NOTED_EVERY = timedelta(minutes=1)  # that it was used: a push makes several requests


class Tokens(Part):
    """The port ``TokenLedger``."""

    def create_token(
        self, drawn: NewToken, user: UserName, name: str, reach: Reach, lifetime: timedelta, by: UserName
    ) -> Token:
        with self._database.writing() as connection:
            if not connection.execute(select(users.c.name).where(users.c.name == user)).first():
                raise no_user(user)
            time = now(connection)
            connection.execute(
                insert(tokens).values(
                    id=drawn.id,
                    user=user,
                    name=name,
                    hash=drawn.hash,
                    scopes=sorted(reach.scopes),
                    apps=None if reach.apps is None else sorted(reach.apps),
                    created_by=by,
                    created_at=time,
                    expires_at=time + lifetime,
                )
            )
            note(connection, "tokens create", f"{drawn.id} of {user}, {name}: {_said(reach)}")
            return _token(_row(connection, drawn.id))

    def tokens(self, user: UserName | None = None) -> tuple[Token, ...]:
        query = select(tokens).order_by(tokens.c.created_at, tokens.c.id)
        if user is not None:
            query = query.where(tokens.c.user == user)
        with self._database.reading() as connection:
            return tuple(_token(row) for row in connection.execute(query))

    def revoke_token(self, token: str) -> Token:
        with self._database.writing() as connection:
            row = _row(connection, token)
            connection.execute(delete(tokens).where(tokens.c.id == token))
            note(connection, "tokens revoke", f"{token} of {row.user}, {row.name}")
        return _token(row)

    def grant_of_token(self, shown: Secret) -> Grant | None:
        split = split_token(shown)
        if split is None:
            return None
        token, hash_ = split
        with self._database.reading() as connection:
            row, time = connection.execute(_with_user(token)).first(), now(connection)
        if not same_hash(row.hash if row else None, hash_):
            return None
        found = _valid(row, time)
        if found and (found.token.last_used_at is None or found.token.last_used_at <= time - _NOTED_EVERY):
            self._note_use(token)
        return found

    def grant_of_id(self, token: str) -> Grant | None:
        with self._database.reading() as connection:
            return _valid(connection.execute(_with_user(token)).first(), now(connection))

    def _note_use(self, token: str) -> None:
        with self._database.writing() as connection:
            connection.execute(
                update(tokens).where(tokens.c.id == token).values(last_used_at=now(connection))
            )


def _valid(row: Row[Any] | None, time: datetime) -> Grant | None:
    if row is None or row.expires_at <= time or row.suspended:
        return None
    return grant(user_from(row.user, row), _token(row))


def _with_user(token: str) -> Select[Any]:
    return (
        select(tokens, users.c.admin, users.c.suspended)
        .join_from(tokens, users, users.c.name == tokens.c.user)
        .where(tokens.c.id == token)
    )


def _row(connection: Connection, token: str) -> Row[Any]:
    row = connection.execute(select(tokens).where(tokens.c.id == token)).first()
    if row is None:
        raise NotFoundError(f"there is no token {token}", hint="gitreceive tokens list")
    return row


def _said(reach: Reach) -> str:
    scopes = ", ".join(sorted(reach.scopes))
    return scopes if reach.apps is None else f"{scopes} on {', '.join(sorted(reach.apps))}"


def _token(row: Row[Any]) -> Token:
    apps = None if row.apps is None else frozenset(AppName(app) for app in row.apps)
    return Token(
        id=row.id,
        user=UserName(row.user),
        name=row.name,
        reach=Reach(frozenset(Scope(scope) for scope in row.scopes), apps),
        created_by=UserName(row.created_by),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )
