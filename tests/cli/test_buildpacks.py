from pathlib import Path

import pytest

from gitreceive.engines.sql_ledger import SqlLedger
from gitreceive.model import AppName
from tests.cli.conftest import Cli
from tests.cli.people import owns

SHOP = AppName("shop")
PINNED = f"https://files.example/lua.tgz#sha256={'a' * 64}"


@pytest.fixture(autouse=True)
def app(ledger: SqlLedger) -> None:
    owns(ledger, "alice", "shop")


def _set(ledger: SqlLedger) -> tuple[str, ...]:
    return ledger.app(SHOP).buildpacks


def test_what_is_set_is_kept_by_its_full_id_and_listed(cli: Cli, ledger: SqlLedger) -> None:
    said = cli(
        "buildpacks", "set", "shop", "nodejs", "gitreceive/python@0.1.0", "./ci/pack", acting="alice"
    ).ok()
    assert said.out == "gitreceive/nodejs\ngitreceive/python@0.1.0\n./ci/pack\n"
    assert "shop from the next push on: 3 set" in said.err
    assert cli("buildpacks", "list", "shop", acting="alice").ok().out == said.out
    assert cli("buildpacks", "list", "shop", "--json").ok().json() == {
        "app": "shop",
        "buildpacks": list(_set(ledger)),
    }


def test_buildpacks_are_added_at_a_place_and_removed_by_name_or_place(cli: Cli, ledger: SqlLedger) -> None:
    cli("buildpacks", "add", "shop", "python").ok()
    cli("buildpacks", "add", "shop", "nodejs", "--index", "1").ok()
    cli("buildpacks", "add", "shop", PINNED).ok()
    assert _set(ledger) == ("gitreceive/nodejs", "gitreceive/python", PINNED)
    cli("buildpacks", "remove", "shop", "python").ok()
    cli("buildpacks", "remove", "shop", "2").ok()
    assert _set(ledger) == ("gitreceive/nodejs",)
    cleared = cli("buildpacks", "clear", "shop").ok()
    assert (cleared.out, _set(ledger)) == ("", ())
    assert "none set" in cleared.err
    assert "None are set for shop" in cli("buildpacks", "list", "shop").ok().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("set", "shop"), 2, "REF"),
        (("set", "shop", "cobol"), 20, "cobol is not a buildpack here"),
        (("set", "shop", "python", "gitreceive/python"), 2, "gitreceive/python is named twice"),
        (("set", "shop", "python@9"), 20, "not there in this version"),
        (("set", "shop", "../x"), 2, "outside the source"),
        (("set", "shop", "a;b"), 2, "names no buildpack"),
        (("set", "shop", "https://files.example/lua.tgz"), 2, "sha256"),
        (("set", "shop", *(f"./{n}" for n in range(51))), 2, "at most 50"),
        (("add", "shop", "nodejs", "--index", "3"), 2, "there is no place 3"),
        (("add", "shop", "nodejs", "--index", "0"), 2, "--index"),
        (("remove", "shop", "ruby"), 3, "those that are: gitreceive/python"),
        (("remove", "shop", "2"), 3, "has no buildpack '2' set"),
        (("list", "nowhere"), 3, "there is no app nowhere"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    cli: Cli, ledger: SqlLedger, words: tuple[str, ...], code: int, said: str
) -> None:
    cli("buildpacks", "set", "shop", "python").ok()
    cli("buildpacks", *words).failed(code, said)
    assert _set(ledger) == ("gitreceive/python",)


def test_a_plan_reads_the_sources_own_choice(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    (folder / "secret").mkdir(parents=True)
    (folder / "index.html").write_text("<p>hello")
    (folder / "secret" / "app.py").touch()
    head = '[_]\nschema-version = "0.2"\n'
    (folder / "project.toml").write_text(
        f'{head}[io.buildpacks]\nexclude = ["secret/"]\n[[io.buildpacks.group]]\nid = "gitreceive/static"\n'
        '[[io.buildpacks.group]]\nid = "me/after"\n[io.buildpacks.group.script]\napi = "0.10"\ninline = "true"\n'
    )
    said = cli("plan", str(folder)).ok()
    assert "buildpacks as project.toml says: gitreceive/static, me/after@0.0.0" in said.err
    assert "gitreceive/static@0.1.0, me/after@0.0.0" in said.err
    (folder / "project.toml").write_text(f"{head}[io.buildpacks\n")
    cli("plan", str(folder)).failed(10, "project.toml is no TOML", "line 3")
    (folder / "project.toml").unlink()
    (folder / ".buildpacks").write_text("static\nruby\n")
    cli("plan", str(folder)).failed(20, ".buildpacks: gitreceive/ruby 0.1.0 does not take it")
    (folder / ".buildpacks").write_text(f"{PINNED}\n")
    cli("plan", str(folder)).failed(2, "this asks nobody")
