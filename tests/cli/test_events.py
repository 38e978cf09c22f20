"""Whatever is done by a command is recorded, also by one that nobody thought of."""

from collections.abc import Iterator

import click
import pytest

from gitreceive.acting import current
from gitreceive.cli import tree
from gitreceive.cli.recording import READS, recorded, verb_of
from gitreceive.engines.sql_ledger import SqlLedger
from gitreceive.errors import ConflictError, ForbiddenError, UsageError
from gitreceive.model import AppName, EventQuery, Happening, Outcome
from tests.cli.conftest import Cli
from tests.cli.people import has_key, owns


def happened(ledger: SqlLedger) -> list[Happening]:
    return [event.happening for event in ledger.events(EventQuery(limit=1000))]


@pytest.fixture
def shop(ledger: SqlLedger) -> SqlLedger:
    owns(ledger, "alice", "shop")
    has_key(ledger, "bob")
    return ledger


def verbs(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner
            yield from verbs(inner, (*words, name))
    yield " ".join(words)


def test_what_is_listed_as_reading_is_there() -> None:
    assert READS - set(verbs(tree)) == set()


def test_a_verb_is_named_by_its_words_and_by_none_of_its_own() -> None:
    assert verb_of(tree, ["config", "set", "shop", "A=1"]) == "config set"
    assert verb_of(tree, ["rollback", "shop", "v1"]) == "rollback"
    assert verb_of(tree, ["config", "set", "--help"]) == ""
    assert verb_of(tree, ["hunter2"]) == ""
    assert verb_of(tree, ["config", "hunter2"]) == "config"


@click.group()
def other() -> None:
    """A tree with verbs that nobody has listed."""


@other.command("new")
@click.argument("app")
def new(app: str) -> None:
    current().app = AppName(app)
    errors = {
        "denied": ForbiddenError("you may not"),
        "broken": ConflictError("it broke"),
        "odd": UsageError("what?"),
    }
    if app in errors:
        raise errors[app]
    if app == "exits":
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("app", "outcome", "reason"),
    [
        ("shop", Outcome.DONE, ""),
        ("denied", Outcome.DENIED, "you may not"),
        ("broken", Outcome.FAILED, "it broke"),
        ("exits", Outcome.FAILED, ""),
        ("odd", None, ""),
    ],
)
def test_a_verb_that_nobody_has_listed_is_recorded_however_it_ends(
    shop: SqlLedger, app: str, outcome: Outcome | None, reason: str
) -> None:
    before = shop.newest_event()
    with pytest.raises(BaseException) if outcome is not Outcome.DONE else recorded(other, []):  # noqa: PT011, SIM117
        with recorded(other, ["new", app]):
            other.main(["new", app], standalone_mode=False)
    found = happened(shop)[: shop.newest_event() - before]
    expected = [] if outcome is None else [("new", app, outcome, reason, "administrator", "host")]
    assert [(one.verb, one.app, one.outcome, one.reason, one.user, one.via) for one in found] == expected


def test_what_changed_is_recorded_once_with_who_by_what_and_from_where(
    cli: Cli, shop: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = shop.keys()[0].fingerprint
    monkeypatch.setenv("GITRECEIVE_ACTING_KEY", key)
    monkeypatch.setenv("GITRECEIVE_ACTING_ADDRESS", "192.0.2.7")
    before = shop.newest_event()
    cli("config", "set", "shop", "TOKEN=hunter2", acting="alice").ok()
    cli("buildpacks", "add", "shop", "gitreceive/python", acting="alice").ok()
    added, set_ = happened(shop)[: shop.newest_event() - before]
    assert (set_.verb, set_.what, set_.app) == ("config set", "set TOKEN", "shop")
    assert (added.verb, added.what) == ("buildpacks add", "gitreceive/python")
    assert {(one.user, one.via, one.address) for one in (added, set_)} == {
        ("alice", f"key {key}", "192.0.2.7")
    }
    assert "hunter2" not in repr(happened(shop))


def test_looking_is_not_recorded_but_at_values(cli: Cli, shop: SqlLedger) -> None:
    cli("config", "set", "shop", "A=hush").ok()
    before = shop.newest_event()
    for words in (["apps", "list"], ["apps", "info", "--help"], ["config", "list", "shop"], ["events"]):
        cli(*words)
    assert shop.newest_event() == before
    cli("config", "export", "shop", acting="alice").ok()
    assert (happened(shop)[0].verb, happened(shop)[0].user) == ("config export", "alice")
    cli("config", "set", "shop", "A=hush").ok()
    assert shop.newest_event() == before + 1


def test_what_was_denied_is_recorded_also_where_it_was_only_looking(cli: Cli, shop: SqlLedger) -> None:
    cli("builds", "list", "--app", "shop", acting="bob").failed(5)
    denied = happened(shop)[0]
    assert (denied.user, denied.verb, denied.app) == ("bob", "builds list", "shop")
    assert (denied.outcome, denied.reason) == (Outcome.DENIED, "bob may not see shop")


def test_events_are_for_who_may_see_the_app_and_all_of_them_for_administrators(
    cli: Cli, shop: SqlLedger
) -> None:
    has_key(shop, "root", admin=True)
    cli("events", acting="bob").failed(5, "only an administrator may see what happened on the whole server")
    cli("events", "--app", "shop", acting="bob").failed(5, "bob may not see shop")
    cli("events", "--user", "alice", acting="bob").failed(5)
    own = cli("events", "--user", "bob", "--json", acting="bob").ok().json()
    assert {event["outcome"] for event in own} == {"denied"}
    assert [event["verb"] for event in cli("events", "--app", "shop", "--json", acting="alice").ok().json()] == [
        "events", "apps create",
    ]  # fmt: skip
    everything = cli("events", "--json", acting="root").ok().json()
    assert {"id", "at", "user", "via", "address", "verb", "app", "what", "outcome", "reason"} == set(
        everything[0]
    )
    assert "apps create" in cli("events", "-n", "1000").ok().out
    assert len(cli("events", "-n", "1", "--json").ok().json()) == 1
    assert cli("events", "--since", "1h", "--json").ok().json() == everything
    shop.delete_app(AppName("shop"))
    assert cli("events", "--app", "shop", "--json", acting="root").ok().json()[0]["verb"] == "apps destroy"
