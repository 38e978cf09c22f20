import pytest

from gitreceive.engines.sql_ledger import SqlLedger
from tests.cli.conftest import Cli
from tests.cli.people import has_key, owns, pushed


def test_an_app_is_made_with_its_repository_and_its_url_is_the_data(cli: Cli, ledger: SqlLedger) -> None:
    has_key(ledger, "alice")
    said = cli("apps", "create", "shop", acting="alice").ok()
    assert said.out == "ssh://git@127.0.0.1:2222/shop\n"
    assert "git remote add deploy ssh://git@127.0.0.1:2222/shop" in said.err
    assert (cli.folder / "repos" / "shop.git" / "HEAD").is_file()
    assert cli("apps", "list", "--json", acting="alice").ok().json() == [
        {
            "name": "shop",
            "owner": "alice",
            "branch": "main",
            "release": None,
            "commit": None,
            "review_of": None,
        }
    ]


def test_a_name_is_taken_once_and_the_conflict_is_said(cli: Cli, ledger: SqlLedger) -> None:
    owns(ledger, "alice", "shop")
    cli("apps", "create", "shop").failed(4, "shop")


@pytest.mark.parametrize("name", ["Shop", "shop.git", "../shop", "shop;id", "x" * 41, ""])
def test_a_name_that_cannot_be_one_is_refused(name: str, cli: Cli, ledger: SqlLedger) -> None:
    cli("apps", "create", "--", name).failed(2, "is not an app name", "lower-case letters")
    assert ledger.apps() == ()


def test_a_user_makes_apps_for_nobody_else(cli: Cli, ledger: SqlLedger) -> None:
    has_key(ledger, "alice")
    cli("apps", "create", "shop", "--owner", "bob", acting="alice").failed(2, "--owner")
    assert ledger.apps() == ()
    cli("apps", "create", "shop", "--owner", "bob").ok()
    assert ledger.apps()[0].owner == "bob"


def test_the_list_has_ones_own_apps_and_the_administrators_has_all(cli: Cli, ledger: SqlLedger) -> None:
    owns(ledger, "alice", "shop")
    owns(ledger, "bob", "blog")
    has_key(ledger, "root", admin=True)

    def names(acting: str | None) -> list[str]:
        return [app["name"] for app in cli("apps", "list", "--json", acting=acting).ok().json()]

    assert names("alice") == ["shop"]
    assert names("root") == names(None) == ["blog", "shop"]
    assert cli("apps", "list").ok().out.splitlines()[0].split() == [
        *("APP", "OWNER", "BRANCH", "RELEASE", "COMMIT", "SINCE"),
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("apps", "info", "shop"),
        ("apps", "info", "--app", "shop"),
        ("apps", "destroy", "shop", "--confirm", "shop"),
        ("builds", "list", "--app", "shop"),
        ("builds", "log", "1"),
        ("builds", "attach", "1"),
        ("builds", "cancel", "1"),
        ("buildpacks", "list", "shop"),
        ("buildpacks", "set", "shop", "python"),
        ("buildpacks", "add", "shop", "python"),
        ("buildpacks", "remove", "shop", "python"),
        ("buildpacks", "clear", "shop"),
        ("ps", "--app", "shop"),
        ("logs", "--app", "shop"),
        ("logs", "shop", "--follow"),
        ("logs", "--build", "1"),
        ("open", "--app", "shop"),
    ],
)
def test_somebody_elses_app_is_refused(words: tuple[str, ...], cli: Cli, ledger: SqlLedger) -> None:
    owns(ledger, "alice", "shop")
    job = pushed(ledger, "shop")
    has_key(ledger, "mallory")
    cli(*words, acting="mallory").failed(5, "mallory may not")
    assert ledger.job(job.id).cancel_requested_by is None


def test_somebody_without_a_key_any_more_is_refused(cli: Cli, ledger: SqlLedger) -> None:
    owns(ledger, "alice", "shop")
    cli("apps", "list", acting="ghost").failed(3, "there is no user ghost")


def test_an_acting_user_of_an_empty_name_is_nobody_and_no_administrator(cli: Cli, ledger: SqlLedger) -> None:
    owns(ledger, "alice", "shop")
    cli("apps", "list", acting="").failed(2, "is not a user name")


@pytest.mark.parametrize("typed", [(), ("--confirm", "shopp"), ("--confirm", "")])
def test_destroying_needs_the_name_typed(typed: tuple[str, ...], cli: Cli, ledger: SqlLedger) -> None:
    owns(ledger, "alice", "shop")
    cli("apps", "destroy", "shop", *typed).failed(2, "shop was not removed", "--confirm shop")
    assert [app.name for app in ledger.apps()] == ["shop"]


def test_an_app_with_a_build_under_way_is_not_destroyed(cli: Cli, ledger: SqlLedger) -> None:
    owns(ledger, "alice", "shop")
    job = pushed(ledger, "shop")
    said = cli("apps", "destroy", "shop", "--confirm", "shop")
    said.failed(4, f"build {job.id} of shop is queued", f"builds cancel {job.id}")
    assert [app.name for app in ledger.apps()] == ["shop"]


def test_an_app_that_is_not_there_is_said(cli: Cli, ledger: SqlLedger) -> None:
    cli("apps", "info", "shop").failed(3, "shop")
    cli("ps").failed(3, "no app is named", "--app NAME")
