"""The part of the ledger in memory that knows who may do what, and what happened."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gitreceive import acting
from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import (
    App,
    AppName,
    Event,
    EventQuery,
    Given,
    Grant,
    Happening,
    NewToken,
    Outcome,
    Party,
    PublicKey,
    Quota,
    QuotaKind,
    Reach,
    Role,
    Secret,
    Team,
    Token,
    User,
    UserName,
    grant,
    same_hash,
    split_token,
)


@dataclass(frozen=True)
class _Kept:
    token: Token
    hash: str


class _Notes:
    """What all parts stand on: the lock, the clock, the apps and the events."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._apps: dict[AppName, App] = {}
        self._users: dict[UserName, User] = {}
        self._keys: dict[str, PublicKey] = {}
        self._tokens: dict[str, _Kept] = {}
        self._teams: dict[UserName, Team] = {}
        self._given: list[Given] = []
        self._events: list[Event] = []
        self._quotas: dict[tuple[QuotaKind, str], Quota] = {}

    def record(self, happening: Happening, *, quiet_seconds: float = 0) -> None:
        with self._lock:
            begin = self._clock() - timedelta(seconds=quiet_seconds)
            if quiet_seconds and any(e.happening == happening and e.at >= begin for e in self._events):
                return
            self._events.append(Event(len(self._events) + 1, self._clock(), happening))

    def events(self, query: EventQuery) -> tuple[Event, ...]:
        with self._lock:
            begin = self._clock() - timedelta(seconds=query.since_seconds or 0)
            found = [
                event
                for event in reversed(self._events)
                if query.app in {None, event.happening.app}
                and query.user in {None, event.happening.user}
                and (query.since_seconds is None or event.at >= begin)
            ]
            return tuple(found[: query.limit])

    def newest_event(self, after: int = 0, but: Collection[str] = ()) -> int:
        with self._lock:
            found = [
                event.id for event in self._events if event.id > after and event.happening.verb not in but
            ]
            return max(found, default=after)

    def _note(self, verb: str, what: str, app: AppName | None = None) -> None:
        act = acting.current()
        actor = act.actor
        self.record(Happening(actor.user, actor.via, actor.address, act.verb or verb, app, what))
        act.recorded = True

    def _require_user(self, name: UserName) -> User:
        if name not in self._users:
            raise NotFoundError(f"there is no user {name}")
        return self._users[name]

    def _require_app(self, name: AppName) -> App:
        if name not in self._apps:
            raise NotFoundError(f"there is no app {name}")
        return self._apps[name]

    def _team(self, name: UserName) -> Team:
        if name not in self._teams:
            raise NotFoundError(f"there is no team {name}")
        return self._teams[name]


class _FakeKeys(_Notes):
    def add_key(
        self, user: UserName, algorithm: str, blob: str, comment: str, fingerprint: str, *, admin: bool
    ) -> PublicKey:
        with self._lock:
            known = self._users.get(user, User(user, admin=False))
            for key in self._keys.values():
                if fingerprint == key.fingerprint or blob == key.blob:
                    if key.user == user and admin and not known.admin:
                        self._users[user] = replace(known, admin=True)
                        self._note("keys add", f"{user}: administrator")
                        return key
                    raise ConflictError(f"somebody has the key {fingerprint} already")
            self._users[user] = replace(known, admin=admin or known.admin)
            self._keys[fingerprint] = PublicKey(user, algorithm, blob, comment, fingerprint, self._clock())
            self._note("keys add", f"{user}: {fingerprint}" + (", administrator" if admin else ""))
            return self._keys[fingerprint]

    def keys(self, user: UserName | None = None) -> tuple[PublicKey, ...]:
        with self._lock:
            return tuple(key for key in self._keys.values() if user in {None, key.user})

    def remove_key(self, fingerprint: str) -> PublicKey:
        with self._lock:
            if fingerprint not in self._keys:
                raise NotFoundError(f"there is no key {fingerprint}")
            key = self._keys.pop(fingerprint)
            self._note("keys remove", f"{key.user}: {fingerprint}")
            return key

    def key(self, algorithm: str, blob: str) -> PublicKey | None:
        with self._lock:
            found = (key for key in self._keys.values() if (key.algorithm, key.blob) == (algorithm, blob))
            return next(found, None)

    def user_of_key(self, algorithm: str, blob: str) -> User | None:
        with self._lock:
            key = self.key(algorithm, blob)
            user = self._users[key.user] if key else None
            return None if user is None or user.suspended else user


class _FakeUsers(_Notes):
    def user(self, name: UserName) -> User:
        with self._lock:
            return self._require_user(name)

    def users(self) -> tuple[User, ...]:
        with self._lock:
            return tuple(self._users[name] for name in sorted(self._users))

    def add_user(self, name: UserName, *, admin: bool) -> User:
        with self._lock:
            if name in self._users:
                raise ConflictError(f"there is a user {name} already")
            self._users[name] = User(name, admin)
            self._note("users add", f"user {name}")
            return self._users[name]

    def change_user(
        self, name: UserName, *, admin: bool | None = None, suspended: bool | None = None
    ) -> User:
        with self._lock:
            user = self._require_user(name)
            user = user if admin is None else replace(user, admin=admin)
            self._users[name] = user if suspended is None else replace(user, suspended=suspended)
            self._note("users change", f"user {name}")
            return self._users[name]

    def remove_user(self, name: UserName) -> User:
        with self._lock:
            user = self._require_user(name)
            owned = sorted(app.name for app in self._apps.values() if app.owner == name)
            if owned:
                raise ConflictError(f"{name} owns {', '.join(owned)}")
            del self._users[name]
            self._keys = {print_: key for print_, key in self._keys.items() if key.user != name}
            self._tokens = {id_: kept for id_, kept in self._tokens.items() if kept.token.user != name}
            self._given = [given for given in self._given if given.to != Party(name)]
            self._quotas.pop((QuotaKind.USER, name), None)
            for team in self._teams.values():
                self._teams[team.name] = _without(team, name)
            self._note("users remove", f"user {name}")
            return user


class _FakeTeams(_Notes):
    def create_team(self, name: UserName) -> Team:
        with self._lock:
            if name in self._teams:
                raise ConflictError(f"there is a team {name} already")
            self._teams[name] = Team(name, (), self._clock())
            self._note("teams create", f"team {name}")
            return self._teams[name]

    def teams(self, user: UserName | None = None) -> tuple[Team, ...]:
        with self._lock:
            found = (self._teams[name] for name in sorted(self._teams))
            return tuple(team for team in found if user is None or user in team.members)

    def add_member(self, team: UserName, user: UserName) -> Team:
        with self._lock:
            known = self._team(team)
            self._require_user(user)
            if user not in known.members:
                self._teams[team] = replace(known, members=tuple(sorted({*known.members, user})))
                self._note("teams add", f"{user} to team {team}")
            return self._teams[team]

    def remove_member(self, team: UserName, user: UserName) -> Team:
        with self._lock:
            if user not in self._team(team).members:
                raise NotFoundError(f"{user} is not in team {team}")
            self._teams[team] = _without(self._teams[team], user)
            self._note("teams remove", f"{user} from team {team}")
            return self._teams[team]

    def delete_team(self, name: UserName) -> Team:
        with self._lock:
            team = self._team(name)
            del self._teams[name]
            self._given = [given for given in self._given if given.to != Party(name, team=True)]
            self._quotas.pop((QuotaKind.TEAM, name), None)
            self._note("teams destroy", f"team {name}")
            return team


class _FakeAccess(_Notes):
    def role(self, user: UserName, app: AppName) -> Role | None:
        roles = [given.role for given in self.access(app, user)]
        return max(roles, key=lambda role: role.rank, default=None)

    def access(self, app: AppName | None = None, user: UserName | None = None) -> tuple[Given, ...]:
        with self._lock:
            parties = {Party(user)} if user else set()
            parties |= {Party(team.name, team=True) for team in self._teams.values() if user in team.members}
            found = [
                given
                for given in self._given
                if app in {None, given.app} and (user is None or given.to in parties)
            ]
            return tuple(sorted(found, key=lambda given: (given.app, given.to.team, given.to.name)))

    def give(self, given: Given) -> None:
        with self._lock:
            self._require_app(given.app)
            if given.to.team:
                self._team(given.to.name)
            else:
                self._require_user(given.to.name)
            self._drop(given.app, given.to)
            self._given.append(given)
            self._note("access add", f"{given.to}: {given.role}", given.app)

    def take(self, app: AppName, of: Party) -> Given:
        with self._lock:
            found = next((given for given in self._given if (given.app, given.to) == (app, of)), None)
            if found is None:
                raise NotFoundError(f"{of} was not given anything for {app}")
            self._drop(app, of)
            self._note("access remove", f"{of}: {found.role}", app)
            return found

    def set_owner(self, app: AppName, owner: UserName) -> None:
        with self._lock:
            self._require_user(owner)
            self._apps[app] = replace(self._require_app(app), owner=owner)
            self._note("access transfer", f"to {owner}", app)

    def _drop(self, app: AppName, of: Party) -> None:
        self._given = [given for given in self._given if (given.app, given.to) != (app, of)]


class _FakeTokens(_Notes):
    def create_token(
        self, drawn: NewToken, user: UserName, name: str, reach: Reach, lifetime: timedelta, by: UserName
    ) -> Token:
        with self._lock:
            self._require_user(user)
            time = self._clock()
            token = Token(drawn.id, user, name, reach, by, time, time + lifetime)
            self._tokens[drawn.id] = _Kept(token, drawn.hash)
            self._note("tokens create", f"{drawn.id} of {user}, {name}: {', '.join(sorted(reach.scopes))}")
            return token

    def tokens(self, user: UserName | None = None) -> tuple[Token, ...]:
        with self._lock:
            return tuple(kept.token for kept in self._tokens.values() if user in {None, kept.token.user})

    def revoke_token(self, token: str) -> Token:
        with self._lock:
            if token not in self._tokens:
                raise NotFoundError(f"there is no token {token}")
            self._note("tokens revoke", token)
            return self._tokens.pop(token).token

    def grant_of_token(self, shown: Secret) -> Grant | None:
        split = split_token(shown)
        with self._lock:
            kept = self._tokens.get(split[0]) if split else None
            if not split or not same_hash(kept.hash if kept else None, split[1]):
                return None
            found = self.grant_of_id(split[0])
            if kept and not found:
                self._note_refusal(kept.token)
            if found and kept:
                self._tokens[split[0]] = replace(kept, token=replace(kept.token, last_used_at=self._clock()))
            return found

    def _note_refusal(self, token: Token) -> None:
        suspended = self._users[token.user].suspended
        happening = Happening(
            user=token.user,
            via=f"token {token.id}",
            address=acting.current().actor.address,
            verb="login",
            outcome=Outcome.DENIED,
            reason=f"{token.user} is suspended" if suspended else "the token has expired",
        )
        self.record(happening, quiet_seconds=60)

    def grant_of_id(self, token: str) -> Grant | None:
        with self._lock:
            kept = self._tokens.get(token)
            user = self._users.get(kept.token.user) if kept else None
            if not kept or not user or user.suspended or kept.token.expires_at <= self._clock():
                return None
            return grant(user, kept.token)


class _FakeQuotas(_Notes):
    def set_quota(self, quota: Quota) -> None:
        with self._lock:
            known: dict[QuotaKind, set[str]] = {
                QuotaKind.APP: set(self._apps),
                QuotaKind.USER: set(self._users),
                QuotaKind.TEAM: set(self._teams),
            }
            if quota.name not in known[quota.kind]:
                raise NotFoundError(f"there is no {quota.label}")
            self._quotas.pop((quota.kind, quota.name), None)
            if not quota.empty:
                self._quotas[quota.kind, quota.name] = quota
            self._note("quotas set", quota.label)

    def quotas(self) -> tuple[Quota, ...]:
        with self._lock:
            return tuple(self._quotas[place] for place in sorted(self._quotas))

    def quotas_of(self, app: AppName) -> tuple[tuple[Quota, tuple[AppName, ...]], ...]:
        with self._lock:
            self._require_app(app)
            found = [(quota, self._under(quota)) for quota in self.quotas()]
            return tuple((quota, under) for quota, under in found if app in under)

    def _under(self, quota: Quota) -> tuple[AppName, ...]:
        if quota.kind is QuotaKind.APP:
            return (AppName(quota.name),)
        owners = self._people(quota)
        return tuple(sorted(app.name for app in self._apps.values() if app.owner in owners))

    def _people(self, quota: Quota) -> tuple[str, ...]:
        return self._teams[UserName(quota.name)].members if quota.kind is QuotaKind.TEAM else (quota.name,)


class FakePeople(_FakeKeys, _FakeUsers, _FakeTeams, _FakeAccess, _FakeTokens, _FakeQuotas):
    """All of it."""


def _without(team: Team, user: UserName) -> Team:
    return replace(team, members=tuple(member for member in team.members if member != user))
