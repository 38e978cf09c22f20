"""Who was given what for which app."""

from sqlalchemy import Column, Connection, Table, delete, insert, select, update

from gitreceive.engines.sql_ledger.apps import no_app
from gitreceive.engines.sql_ledger.events import note
from gitreceive.engines.sql_ledger.keys import no_user
from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.people import no_team
from gitreceive.engines.sql_ledger.schema import (
    access_of_teams,
    access_of_users,
    apps,
    members,
    teams,
    users,
)
from gitreceive.errors import NotFoundError
from gitreceive.model import AppName, Given, Party, Role, UserName


class Access(Part):
    """The port ``AccessLedger``."""

    def role(self, user: UserName, app: AppName) -> Role | None:
        own, shared = access_of_users, access_of_teams
        by_name = select(own.c.role).where(own.c.app == app, own.c.user == user)
        by_team = (
            select(shared.c.role)
            .join(members, members.c.team == shared.c.team)
            .where(shared.c.app == app, members.c.user == user)
        )
        with self._database.reading() as connection:
            roles = [
                Role(role) for query in (by_name, by_team) for role in connection.execute(query).scalars()
            ]
        return max(roles, key=lambda role: role.rank, default=None)

    def access(self, app: AppName | None = None, user: UserName | None = None) -> tuple[Given, ...]:
        with self._database.reading() as connection:
            of_teams = {
                UserName(team)
                for team in connection.execute(select(members.c.team).where(members.c.user == user)).scalars()
            }
            found = [*_given(connection, team=False), *_given(connection, team=True)]
        return tuple(
            given
            for given in sorted(found, key=lambda given: (given.app, given.to.team, given.to.name))
            if app in {None, given.app}
            and (user is None or (given.to.name in of_teams if given.to.team else given.to.name == user))
        )

    def give(self, given: Given) -> None:
        table, column = _place(given.to)
        with self._database.writing() as connection:
            _require(connection, given.app, given.to)
            connection.execute(delete(table).where(table.c.app == given.app, column == given.to.name))
            connection.execute(
                insert(table).values({"app": given.app, column.name: given.to.name, "role": given.role})
            )
            note(connection, "access add", f"{given.to}: {given.role}", given.app)

    def take(self, app: AppName, of: Party) -> Given:
        table, column = _place(of)
        this = (table.c.app == app, column == of.name)
        with self._database.writing() as connection:
            role = connection.execute(select(table.c.role).where(*this)).scalar()
            if role is None:
                raise NotFoundError(f"{of} was not given anything for {app}", hint=f"access list {app}")
            connection.execute(delete(table).where(*this))
            note(connection, "access remove", f"{of}: {role}", app)
        return Given(app, of, Role(role))

    def set_owner(self, app: AppName, owner: UserName) -> None:
        with self._database.writing() as connection:
            _require(connection, app, Party(owner))
            connection.execute(update(apps).where(apps.c.name == app).values(owner=owner))
            note(connection, "access transfer", f"to {owner}", app)


def _place(party: Party) -> tuple[Table, "Column[str]"]:
    if party.team:
        return access_of_teams, access_of_teams.c.team
    return access_of_users, access_of_users.c.user


def _given(connection: Connection, *, team: bool) -> list[Given]:
    table = access_of_teams if team else access_of_users
    rows = connection.execute(select(table.c.app, table.c.team if team else table.c.user, table.c.role))
    return [Given(AppName(app), Party(UserName(name), team), Role(role)) for app, name, role in rows]


def _require(connection: Connection, app: AppName, party: Party) -> None:
    """Raise NotFoundError unless both are there."""
    if not connection.execute(select(apps.c.name).where(apps.c.name == app)).first():
        raise no_app(app)
    table = teams if party.team else users
    if not connection.execute(select(table.c.name).where(table.c.name == party.name)).first():
        raise no_team(party.name) if party.team else no_user(party.name)
