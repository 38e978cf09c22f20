"""Users and teams."""

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from gitreceive.engines.sql_ledger.database import now
from gitreceive.engines.sql_ledger.events import note
from gitreceive.engines.sql_ledger.keys import no_user, user_from
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import apps, members, quotas, teams, users
from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import QuotaKind, Team, User, UserName


class Users(Part):
    """The port ``UserLedger``."""

    def add_user(self, name: UserName, *, admin: bool) -> User:
        with self._database.writing() as connection:
            if connection.execute(select(users.c.name).where(users.c.name == name)).first():
                raise ConflictError(f"there is a user {name} already", hint="choose another name")
            connection.execute(insert(users).values(name=name, admin=admin))
            note(connection, "users add", f"user {name}" + (", administrator" if admin else ""))
            return _user(connection, name)

    def users(self) -> tuple[User, ...]:
        with self._database.reading() as connection:
            found = [user_from(row.name, row) for row in connection.execute(select(users))]
        return tuple(sorted(found, key=lambda user: user.name))

    def change_user(
        self, name: UserName, *, admin: bool | None = None, suspended: bool | None = None
    ) -> User:
        changes = {"admin": admin, "suspended": suspended}
        values = {column: value for column, value in changes.items() if value is not None}
        with self._database.writing() as connection:
            _user(connection, name)
            connection.execute(update(users).where(users.c.name == name).values(**values))
            said = ", ".join(column if value else f"not {column}" for column, value in values.items())
            note(connection, "users change", f"user {name}: {said}")
            return _user(connection, name)

    def remove_user(self, name: UserName) -> User:
        with self._database.writing() as connection:
            user = _user(connection, name)
            owned = connection.execute(select(apps.c.name).where(apps.c.owner == name)).scalars().all()
            if owned:
                raise ConflictError(
                    f"{name} owns {', '.join(sorted(owned)[:5])}",
                    hint=f"give it to somebody: access transfer {min(owned)} USER; or: users suspend {name}",
                )
            connection.execute(delete(users).where(users.c.name == name))
            _drop_quota(connection, QuotaKind.USER, name)
            note(connection, "users remove", f"user {name}")
        return user


class Teams(Part):
    """The port ``TeamLedger``."""

    def create_team(self, name: UserName) -> Team:
        with self._database.writing() as connection:
            if connection.execute(select(teams.c.name).where(teams.c.name == name)).first():
                raise ConflictError(f"there is a team {name} already", hint="choose another name")
            connection.execute(insert(teams).values(name=name, created_at=now(connection)))
            note(connection, "teams create", f"team {name}")
            return _team(connection, name)

    def teams(self, user: UserName | None = None) -> tuple[Team, ...]:
        query = select(teams.c.name)
        if user is not None:
            query = query.join(members, members.c.team == teams.c.name).where(members.c.user == user)
        with self._database.reading() as connection:
            names = sorted(UserName(name) for name in connection.execute(query).scalars())
            return tuple(_team(connection, name) for name in names)

    def add_member(self, team: UserName, user: UserName) -> Team:
        with self._database.writing() as connection:
            known = _team(connection, team)
            _user(connection, user)
            if user not in known.members:
                connection.execute(insert(members).values(team=team, user=user))
                note(connection, "teams add", f"{user} to team {team}")
            return _team(connection, team)

    def remove_member(self, team: UserName, user: UserName) -> Team:
        with self._database.writing() as connection:
            if user not in _team(connection, team).members:
                raise NotFoundError(f"{user} is not in team {team}", hint=f"gitreceive teams info {team}")
            connection.execute(delete(members).where(members.c.team == team, members.c.user == user))
            note(connection, "teams remove", f"{user} from team {team}")
            return _team(connection, team)

    def delete_team(self, name: UserName) -> Team:
        with self._database.writing() as connection:
            team = _team(connection, name)
            connection.execute(delete(teams).where(teams.c.name == name))
            _drop_quota(connection, QuotaKind.TEAM, name)
            note(connection, "teams destroy", f"team {name}")
        return team


def no_team(name: UserName) -> NotFoundError:
    return NotFoundError(f"there is no team {name}", hint=f"create it: teams create {name}")


def _user(connection: Connection, name: UserName) -> User:
    row: Row[Any] | None = connection.execute(select(users).where(users.c.name == name)).first()
    if row is None:
        raise no_user(name)
    return user_from(row.name, row)


def _team(connection: Connection, name: UserName) -> Team:
    row = connection.execute(select(teams).where(teams.c.name == name)).first()
    if row is None:
        raise no_team(name)
    inside = connection.execute(select(members.c.user).where(members.c.team == name)).scalars()
    return Team(UserName(row.name), tuple(sorted(UserName(user) for user in inside)), row.created_at)


def _drop_quota(connection: Connection, kind: QuotaKind, name: str) -> None:
    connection.execute(delete(quotas).where(quotas.c.kind == kind, quotas.c.name == name))
