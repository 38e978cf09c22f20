"""``apps export``, ``apps import`` and ``ledger backup`` as they are typed."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gitreceive.config import load
from gitreceive.engines.sql_ledger import open_ledger
from gitreceive.jobs import JobRunner
from gitreceive.model import AppName, Secret, UserName
from tests.cli.conftest import Cli
from tests.cli.people import has_key
from tests.cli.place import Place

SHOP, BLOG = AppName("shop"), AppName("blog")


@pytest.fixture
def two(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The shop with two releases, and a blog that was never pushed."""
    monkeypatch.setenv("GITRECEIVE_PASSPHRASE", "correct horse")
    place.live("shop", config={"A": Secret("hush-1")})
    place.live("shop", config={"A": Secret("hush-2")}, holding="other")
    place.ledger.create_app(BLOG, UserName("bob"), "prod")
    place.ledger.keep_config(BLOG, {}, {"B": Secret("hush-3")})
    return place


def plain(cli: Cli, *words: str) -> str:
    return cli("apps", "export", *words, "--without-config").ok().out


def test_what_is_exported_without_config_is_taken_over_and_started(
    cli: Cli, two: Place, runner: JobRunner
) -> None:
    written = plain(cli, "--all")
    assert "hush" not in written
    assert json.loads(written)["apps"][1]["releases"][1]["config"] == {"A": None}
    before = [release.image.ref for release in two.ledger.releases(SHOP)]
    for name in ("shop", "blog"):
        two.ledger.delete_app(AppName(name))
    said = cli("apps", "import", "--json", stdin=written).ok().json()
    assert [(one["app"], one["owner"], one["releases"], one["result"]) for one in said] == [
        ("blog", "bob", [], "imported"),
        ("shop", "alice", [1, 2], "live"),
    ]
    assert two.versions("shop") == ["Redeploy v2", "Deploy", "Deploy"]
    assert two.ledger.config(SHOP) == {}
    for ref in before:  # as the other server would, were the app destroyed there
        assert two.registry.remove(ref)
    assert cli("rollback", "shop", "v1", "--json").ok().json()["release"] == 4


def test_sealed_it_is_taken_over_to_the_byte_and_opens_for_nobody_else(
    cli: Cli, two: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: JobRunner
) -> None:
    content = cli.binary("apps", "export", "blog", "shop")
    assert b"hush" not in content
    two.ledger.delete_app(SHOP)
    two.ledger.delete_app(BLOG)
    with monkeypatch.context() as patch:
        patch.setenv("GITRECEIVE_PASSPHRASE", "battery")
        cli("apps", "import", stdin=content).failed(2, "does not open")
    (tmp_path / "secret").write_text("correct horse\nmore\n")
    cli(
        "apps", "import", "--owner", "carol", "--passphrase-file", str(tmp_path / "secret"), stdin=content
    ).ok()
    assert two.ledger.config(SHOP) == {"A": Secret("hush-2")}
    assert two.ledger.config(BLOG) == {"B": Secret("hush-3")}
    assert two.ledger.app(BLOG).owner == "carol"
    assert two.ledger.release(SHOP, 1).config == {"A": Secret("hush-1")}


def test_an_image_that_is_not_to_be_had_keeps_only_that_its_release_was(cli: Cli, two: Place) -> None:
    written = plain(cli, "shop")
    two.registry.remove(two.ledger.release(SHOP, 1).image.ref)
    two.ledger.delete_app(SHOP)
    said = cli("apps", "import", "--no-deploy", stdin=written).ok()
    assert "v1 is not kept" in said.err
    assert [release.kept for release in two.ledger.releases(SHOP)] == [True, False]

    written = plain(cli, "shop")
    two.registry.remove(two.ledger.release(SHOP, 2).image.ref)
    two.ledger.delete_app(SHOP)
    assert cli("apps", "import", "--no-deploy", stdin=written).code != 0
    assert SHOP not in {app.name for app in two.ledger.apps()}


def test_who_may_and_what_cannot_be_done_is_said(cli: Cli, two: Place, tmp_path: Path) -> None:
    has_key(two.ledger, "bob")
    written = plain(cli, "shop")
    cli("apps", "export", "shop", acting="bob").failed(5, "bob may not configure shop")
    cli("apps", "export", "--all", acting="bob").failed(5, "only an administrator may export all apps")
    cli("apps", "import", stdin=written, acting="bob").failed(5, "only an administrator may take over apps")
    cli("apps", "export").failed(2, "which apps?")
    cli("apps", "export", "shop", "--all").failed(2, "which apps?")
    cli("apps", "export", "shop", acting="alice").failed(2, "nobody could open it", "recipient")
    (tmp_path / "file").write_text("x")
    file = str(tmp_path / "file")
    cli("apps", "export", "shop", "--passphrase-file", file, acting="alice").failed(2, "over SSH no file")
    cli("apps", "export", "shop", "--without-config", "--recipient", "age1x").failed(2, "nothing is sealed")
    cli("apps", "import", stdin=written).failed(4, "there is an app shop already")
    cli("apps", "import", stdin="hush").failed(2, "no file of apps")
    cli("apps", "import", stdin="age-encryption.org/v1\nhush").failed(2)
    two.ledger.delete_app(SHOP)
    cli("apps", "import", stdin=written).failed(7, "no server works on")
    assert SHOP not in {app.name for app in two.ledger.apps()}


def test_the_ledger_is_copied_to_a_new_file_on_the_servers_own_host(
    cli: Cli, two: Place, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    facts = cli("ledger", "backup", str(copy), "--json").ok().json()
    assert (facts["file"], facts["apps"], facts["bytes"]) == (str(copy), 2, copy.stat().st_size)
    cli("ledger", "backup", str(copy)).failed(2, "is there already")
    cli("ledger", "backup", str(tmp_path / "other"), acting="alice").failed(5, "does not run over SSH")
    assert b"hush" not in copy.read_bytes()
    settings = replace(load(), database=f"sqlite:///{copy}")
    with contextlib.closing(open_ledger(settings)) as found:  # with the key of the data folder
        assert [app.name for app in found.apps()] == ["blog", "shop"]
        assert found.config(SHOP) == {"A": Secret("hush-2")}
