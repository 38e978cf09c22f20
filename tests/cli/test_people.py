"""Users, teams, roles, tokens and quotas, as people meet them."""

import re

import pytest

from gitreceive.engines.sql_ledger import SqlLedger
from gitreceive.model import EventQuery, JobState, Outcome, Secret, UserName
from tests.cli.conftest import Cli, Said
from tests.cli.people import failed, has_key, owns, pushed

_SECRET = re.compile(r"grt_[a-z0-9]{10}_[\w-]{43}")


@pytest.fixture
def people(cli: Cli, ledger: SqlLedger) -> SqlLedger:
    """alice, who owns shop, bob, and root, who administers the server."""
    owns(ledger, "alice", "shop")
    has_key(ledger, "bob")
    has_key(ledger, "root", admin=True)
    return ledger


def test_a_user_is_added_told_of_and_removed(cli: Cli, people: SqlLedger) -> None:
    assert cli("users", "add", "carol", "--json").ok().json() == {
        "name": "carol", "admin": False, "suspended": False,
    }  # fmt: skip
    cli("users", "add", "carol").failed(4, "there is a user carol already")
    cli("teams", "create", "web").ok()
    cli("teams", "add", "web", "carol").ok()
    cli("access", "add", "shop", "--team", "web", "--role", "viewer").ok()
    info = cli("users", "info", "carol", "--json").ok().json()
    assert (info["standing"], info["teams"], info["apps"]) == ("user", ["web"], {"shop": "viewer"})
    assert cli("users", "info", acting="alice").ok().out.splitlines()[-1] == "apps       shop (owner)"
    cli("users", "info", "bob", acting="alice").failed(5, "only an administrator may see other users")
    assert "carol  user" in cli("users", "list").ok().out
    cli("users", "remove", "carol").ok()
    cli("users", "info", "carol").failed(3, "there is no user carol")
    cli("users", "remove", "alice").failed(4, "alice owns shop", "access transfer shop")


@pytest.mark.parametrize("verb", ["add", "remove", "suspend", "resume", "promote", "demote"])
def test_only_administrators_change_users(cli: Cli, people: SqlLedger, verb: str) -> None:
    cli("users", verb, "bob", acting="alice").failed(5, "only an administrator may")
    cli("users", "list", acting="alice").failed(5)


def test_administrators_are_made_and_unmade(cli: Cli, people: SqlLedger) -> None:
    cli("users", "promote", "bob", acting="root").ok()
    cli("users", "list", acting="bob").ok()
    cli("users", "demote", "bob", acting="root").ok()
    cli("users", "list", acting="bob").failed(5)


def test_who_is_suspended_may_nothing_until_resumed(cli: Cli, people: SqlLedger) -> None:
    cli("users", "suspend", "alice", acting="root").ok()
    for words in (["apps", "list"], ["config", "list", "shop"], ["apps", "create", "new"], ["keys", "list"]):
        cli(*words, acting="alice").failed(5, "alice is suspended")
    cli("users", "resume", "alice", acting="root").ok()
    cli("apps", "list", acting="alice").ok()


def test_each_role_opens_its_verbs_and_no_more(cli: Cli, people: SqlLedger) -> None:
    def bob(*words: str) -> Said:
        return cli(*words, acting="bob")

    views = (("apps", "info", "shop"), ("config", "list", "shop"), ("builds", "list", "-a", "shop"))
    configures = (
        ("config", "set", "shop", "A=1"),
        ("config", "get", "shop", "A"),
        ("buildpacks", "clear", "shop"),
    )
    administers = (
        ("access", "add", "shop", "root", "--role", "viewer"),
        ("access", "remove", "shop", "root"),
        ("apps", "destroy", "shop"),
    )
    for words in (*views[1:], *configures, *administers):
        bob(*words).failed(5, "bob may not")
    cli("access", "add", "shop", "bob", "--role", "viewer", acting="alice").ok()
    assert [app["name"] for app in bob("apps", "list", "--json").ok().json()] == ["shop"]
    bob(*views[1]).ok()
    for words in (*configures, *administers):
        bob(*words).failed(5, "bob may not")
    bob("builds", "cancel", str(pushed(people, "shop").id)).failed(5, "bob may not push to shop")
    failed(people, people.jobs(limit=1)[0], "")
    cli("access", "add", "shop", "bob", "--role", "developer", acting="alice").ok()
    for words in configures:
        bob(*words).ok()
    bob("builds", "cancel", str(pushed(people, "shop").id)).ok()
    for words in administers:
        bob(*words).failed(5, "bob may not administer shop")
    cli("access", "add", "shop", "bob", "--role", "admin", acting="alice").ok()
    bob(*administers[0]).ok()
    bob(*administers[1]).ok()
    bob(*administers[2]).failed(2, "was not removed")


def test_access_is_listed_taken_and_transferred(cli: Cli, people: SqlLedger) -> None:
    cli("teams", "create", "web").ok()
    cli("access", "add", "--app", "shop", "bob", "--role", "operator", acting="alice").ok()
    cli("access", "add", "shop", "--team", "web", "--role", "viewer", "--json", acting="alice").ok()
    said = cli("access", "list", "shop", acting="bob").ok().out.split()
    assert said == ["WHO", "ROLE", "alice", "owner", "bob", "operator", "team", "web", "viewer"]
    assert [one["owner"] for one in cli("access", "list", "shop", "--json").ok().json()] == [
        True,
        False,
        False,
    ]
    cli("access", "remove", "shop", "--team", "web", acting="alice").ok()
    cli("access", "remove", "shop", "--team", "web", acting="alice").failed(3, "was not given anything")
    cli("access", "transfer", "shop", "bob", acting="alice").ok()
    cli("access", "list", "shop", acting="alice").failed(5, "alice may not see shop")
    cli("access", "add", "shop", "eve", "--role", "viewer").failed(3, "no user eve")
    cli("access", "add", "shop", "bob", "--role", "king").failed(
        2, "'king' is not a role", "viewer, developer"
    )
    cli("access", "add", "shop", "--role", "viewer").failed(3)
    cli("access", "add", "--role", "viewer").failed(2, "nobody is named")
    cli("access", "list", "shop", "blog").failed(2, "one app is meant")


def test_a_token_is_shown_once_and_does_what_it_was_made_for(cli: Cli, people: SqlLedger) -> None:
    made = cli("tokens", "create", "ci", "--app", "shop", "--days", "7", acting="alice").ok()
    (token,) = _SECRET.findall(made.out)
    assert made.out == token + "\n"
    assert token not in made.err
    grant = people.grant_of_token(Secret(token))
    assert grant
    assert (grant.user.name, (grant.token.expires_at - grant.token.created_at).days) == ("alice", 7)
    listed = cli("tokens", "list", acting="alice").ok().out
    assert "deploy: shop" in listed
    assert not _SECRET.search(listed)
    (facts,) = cli("tokens", "list", "--json").ok().json()
    assert (facts["scopes"], facts["apps"], facts["name"]) == (["deploy"], ["shop"], "ci")
    cli("tokens", "revoke", grant.token.id, acting="bob").failed(2, "no token of yours")
    cli("tokens", "revoke", grant.token.id, acting="alice").ok()
    assert people.grant_of_token(Secret(token)) is None
    assert token not in repr(people.events(EventQuery()))


def test_a_token_is_not_made_for_more_than_there_is(cli: Cli, people: SqlLedger) -> None:
    cli("tokens", "create", "x", "--days", "999", acting="alice").failed(2, "at most 366 days")
    cli("tokens", "create", "x", "--scope", "root", acting="alice").failed(2, "is not a scope")
    cli("tokens", "create", "x", "--app", "none", acting="alice").failed(3, "no app none")
    cli("tokens", "create", "x", "--user", "bob", acting="alice").failed(5, "make tokens for others")
    cli("tokens", "create", " ", acting="alice").failed(2, "no name for a token")
    cli("tokens", "create", "x").failed(2, "say whose: --user USER")
    cli("tokens", "revoke", "grt_secretsecret").failed(2, "not a token's id")
    cli("tokens", "list", "alice", acting="bob").failed(5)
    whole = cli("tokens", "revoke", "grt_aaaaaaaaaa_" + "s" * 43).failed(2)
    assert "ssss" not in whole.err
    assert people.tokens() == ()
    assert (
        cli("tokens", "create", "x", "--user", "bob", "--json").ok().json()["created_by"] == "administrator"
    )


def test_a_command_run_for_a_token_reaches_no_further_than_it(
    cli: Cli, people: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cli("tokens", "create", "ci", "--scope", "read", "--json", acting="alice").ok().json()
    monkeypatch.setenv("GITRECEIVE_ACTING_TOKEN", made["id"])
    cli("config", "list", "shop", acting="alice").ok()
    cli("config", "set", "shop", "A=1", acting="alice").failed(5, "token of alice does not reach so far")
    for words in (
        ("apps", "create", "new"),
        ("tokens", "create", "y"),
        ("keys", "add"),
        ("tokens", "revoke", made["id"]),
    ):
        cli(*words, acting="alice").failed(5, "token")
    cli("apps", "list", acting="bob").failed(5, "no longer good")
    people.revoke_token(made["id"])
    cli("config", "list", "shop", acting="alice").failed(5, "no longer good")


def test_quotas_are_set_changed_and_taken(cli: Cli, people: SqlLedger) -> None:
    set_ = cli("quotas", "set", "--user", "alice", "--builds", "1", "--memory", "2Gi", "--json").ok().json()
    assert (set_["builds"], set_["memory"], set_["replicas"]) == (1, 2 << 30, None)
    cli("quotas", "set", "--user", "alice", "--replicas", "5", acting="root").ok()
    assert cli("quotas", "list").ok().out.split()[4:] == ["user", "alice", "1", "2Gi", "5"]
    assert cli("quotas", "list", "--app", "shop", "--json", acting="alice").ok().json()[0]["replicas"] == 5
    cli("quotas", "list", "--app", "shop", acting="bob").failed(5)
    cli("quotas", "list", acting="alice").failed(5)
    cli("quotas", "set", "--user", "alice", "--builds", "9", acting="alice").failed(5, "may set quotas")
    none = [word for name in ("builds", "memory", "replicas") for word in (f"--{name}", "none")]
    assert "no quota" in cli("quotas", "set", "--user", "alice", *none).ok().err
    assert people.quotas() == ()
    cli("quotas", "set", "--builds", "1").failed(2, "one of --app, --user and --team")
    cli("quotas", "set", "--app", "shop", "--team", "web").failed(2)
    cli("quotas", "set", "--app", "shop", "--builds", "-1").failed(2)
    cli("quotas", "set", "--app", "shop", "--memory", "much").failed(2, "is no amount of memory")
    cli("quotas", "set", "--team", "web", "--builds", "1").failed(3, "no team web")


def test_teams_are_seen_by_who_is_in_them(cli: Cli, people: SqlLedger) -> None:
    for words in (("create", "web"), ("add", "web", "bob"), ("create", "ops")):
        cli("teams", *words).ok()
        cli("teams", *words, acting="alice").failed(5)
    assert [team["name"] for team in cli("teams", "list", "--json").ok().json()] == ["ops", "web"]
    assert [team["members"] for team in cli("teams", "list", "--json", acting="bob").ok().json()] == [["bob"]]
    assert "members    bob" in cli("teams", "info", "web", acting="bob").ok().out
    cli("teams", "info", "web", acting="alice").failed(3, "no team web that you are in")
    cli("teams", "remove", "web", "bob").ok()
    cli("teams", "destroy", "web", "--json").ok()
    assert [team.name for team in people.teams()] == ["ops"]


def test_a_job_that_ended_is_an_event_of_its_app(cli: Cli, people: SqlLedger) -> None:
    failed(people, pushed(people, "shop"), "no such module")
    (newest, *_) = people.events(EventQuery())
    assert newest.happening.outcome is Outcome.FAILED
    assert people.jobs()[0].state is JobState.FAILED
    assert "no such module" in cli("events", "--app", "shop", acting="alice").ok().out
    assert people.user(UserName("alice")).admin is False
