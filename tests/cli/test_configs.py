"""Config as it is typed: a real ledger, a registry in this process, and a runner beside the command line."""

import json

import pytest

from gitreceive.errors import RolloutError
from gitreceive.jobs import JobRunner
from gitreceive.model import LONGEST_VALUE, AppName, Secret
from tests.cli.conftest import Cli
from tests.cli.people import has_key, pushed
from tests.cli.place import Place

SHOP = AppName("shop")
STRANGE = "no\r\n'\"`{{ x }}$(HOME) $$ ü\u2028 1e3\\ \t"


def test_one_command_is_one_release_and_shows_its_log(cli: Cli, place: Place, runner: JobRunner) -> None:
    place.live("shop")
    said = cli("config", "set", "shop", "LOG=hush-1", "URL=a=b", acting="alice").ok()
    for text in ("of shop: set LOG, URL", "Config of shop: set LOG, URL", "shop v2 is live after"):
        assert text in said.err
    assert "hush" not in said.out + said.err
    release = place.ledger.release(SHOP, 2)
    assert (release.description, release.user) == ("Set LOG, URL", "alice")
    assert release.config == {"LOG": Secret("hush-1"), "URL": Secret("a=b")}
    done = cli("config", "unset", "shop", "LOG", "--json").ok().json()
    assert (done["result"], done["release"], done["unset"]) == ("live", 3, ["LOG"])
    assert place.ledger.config(SHOP) == {"URL": Secret("a=b")}
    listed = cli("builds", "list", "--app", "shop", "--json").ok()
    assert listed.json()[1]["title"] == "set LOG, URL"
    assert "hush" not in listed.out


def test_before_the_first_push_it_is_kept_for_the_first_release(cli: Cli, place: Place) -> None:
    assert "Kept for the first release of shop: set A" in cli("config", "set", "shop", "A=hush").ok().err
    assert cli("config", "set", "shop", "B=2", "--json").ok().json()["result"] == "kept"
    cli("config", "unset", "shop", "B").ok()
    place.live("shop")
    assert place.ledger.release(SHOP, 1).config == {"A": Secret("hush")}


def test_while_the_first_release_is_made_nothing_is_kept(cli: Cli, place: Place) -> None:
    pushed(place.ledger, "shop")
    cli("config", "set", "shop", "A=1").failed(4, "the first release of shop is being made")


def test_a_value_on_standard_input_is_taken_to_the_byte(cli: Cli, place: Place) -> None:
    cli("config", "set", "shop", "KEY", "--stdin", stdin=STRANGE).ok()
    assert place.ledger.config(SHOP) == {"KEY": Secret(STRANGE)}
    assert cli("config", "get", "shop", "KEY").ok().out == STRANGE + "\n"
    assert cli("config", "get", "shop", "KEY", "--json").ok().json() == {"KEY": STRANGE}


def test_what_is_exported_is_imported_as_it_was(cli: Cli, place: Place) -> None:
    place.ledger.create_app(AppName("blog"), place.ledger.app(SHOP).owner, "main")
    cli("config", "import", "shop", stdin=json.dumps({"A": STRANGE, "B": ""})).ok()
    cli("config", "set", "blog", "C=3").ok()
    exported = cli("config", "export", "shop").ok().out
    assert "set A, B" in cli("config", "import", "blog", stdin=exported).ok().err
    assert place.ledger.config(AppName("blog")) == {"A": Secret(STRANGE), "B": Secret(""), "C": Secret("3")}


@pytest.mark.parametrize("form", ["json", "dotenv"])
def test_each_format_that_is_written_is_read(cli: Cli, place: Place, form: str) -> None:
    place.ledger.create_app(AppName("blog"), place.ledger.app(SHOP).owner, "main")
    cli("config", "import", "--app", "shop", stdin=json.dumps({"A": STRANGE, "b": "", "C": "#1 $A"})).ok()
    exported = cli("config", "export", "--format", form, "--app", "shop").ok().out
    cli("config", "import", "-a", "blog", stdin=exported).ok()
    assert place.ledger.config(AppName("blog")) == place.ledger.config(SHOP)
    assert cli("config", "export", "shop", "--json").ok().out == cli("config", "export", "shop").ok().out


def test_the_app_is_named_by_a_word_or_by_an_option(cli: Cli, place: Place) -> None:
    cli("config", "set", "--app", "shop", "A=1", "b=2", "shop=3").ok()
    assert cli("config", "get", "shop", "A").ok().out == "1\n"
    assert cli("config", "get", "-a", "shop", "b").ok().out == "2\n"
    cli("config", "set", "KEY", "--stdin", "--app", "shop", stdin="k").ok()
    cli("config", "unset", "--app", "shop", "b", "shop").ok()
    cli("config", "unset", "shop", "A").ok()
    assert [one["name"] for one in cli("config", "list", "-a", "shop", "--json").ok().json()] == ["KEY"]


def test_a_list_has_names_and_lengths_and_no_value(cli: Cli, place: Place) -> None:
    assert "Nothing is set" in cli("config", "list", "shop").ok().err
    cli("config", "set", "shop", "B=hüsh", "A=").ok()
    said = cli("config", "list", "shop", acting="alice").ok().out
    assert [line.split() for line in said.splitlines()] == [["NAME", "BYTES"], ["A", "0"], ["B", "5"]]
    assert cli("config", "list", "shop", "--json").ok().json()[1] == {"name": "B", "bytes": 5}


def test_what_is_so_already_makes_no_release(cli: Cli, place: Place) -> None:
    place.live("shop", config={"A": Secret("1")})
    assert "Nothing to do" in cli("config", "set", "shop", "A=1").ok().err
    assert cli("config", "set", "shop", "A=1", "--json").ok().json()["result"] == "unchanged"
    assert place.versions("shop") == ["Deploy"]


def test_a_config_with_which_the_app_does_not_come_up_is_put_back(
    cli: Cli, place: Place, runner: JobRunner
) -> None:
    place.live("shop", config={"A": Secret("1")})
    place.target.failure = RolloutError("web crashed")
    said = cli("config", "set", "shop", "A=2")
    assert said.code == 1
    assert "Putting v1 back" in said.err
    assert cli("config", "get", "shop", "A").ok().out == "1\n"


@pytest.mark.parametrize(
    ("words", "stdin", "code", "texts"),
    [
        (("set", "shop", "hush"), "", 2, ("word 1", "no '='")),
        (("set", "shop", "A=1", "hush"), "", 2, ("word 2",)),
        (("set", "shop", "A=1", "A=hush"), "", 2, ("A is set twice",)),
        (("set", "shop", "1A=hush"), "", 2, ("'1A' is not the name of a variable",)),
        (("set", "shop", "PORT=hush"), "", 2, ("PORT is given to every process",)),
        (("set", "shop", "GITRECEIVE_X=hush"), "", 2, ("GITRECEIVE_X is given",)),
        (("set", "shop", "=hush"), "", 2, ("'' is not the name",)),
        (("set", "shop", "A", "B", "--stdin"), "hush", 2, ("the name of one variable",)),
        (("set", "A", "--stdin"), "hush", 3, ("no app is named",)),
        (("set", "A=hush"), "", 3, ("no app is named",)),
        (("unset", "A", "B"), "", 3, ("no app is named",)),
        (("set", "shop", "A=hush", "--stdin"), "hush", 2, ("the name of one variable",)),
        (("set", "shop", "A", "--stdin"), "hush\0", 2, ("A holds a NUL byte",)),
        (("set", "shop", "A", "--stdin"), "x" * LONGEST_VALUE, 2, ("A is too long",)),
        (("set", "shop", "A", "--stdin"), "x" * 1_000_001, 2, ("more than 1000000 bytes",)),
        (("unset", "shop", "A"), "", 3, ("'A' is not set for shop",)),
        (("get", "shop", "A"), "", 3, ("'A' is not set for shop", "config list shop")),
        (("get", "nobody", "A"), "", 3, ("nobody",)),
        (("import", "shop", "--format", "json"), "A=hush", 2, ("is not JSON",)),
        (("import", "shop"), "A=1\n\nhush\n", 2, ("line 3 of standard input has no '='",)),
        (("import", "shop"), "A=1\nB='hush\n", 2, ("line 2 of standard input cannot be read",)),
        (("import", "shop"), "A=hush\nA=2", 2, ("'A' is there twice",)),
        (("import", "shop"), "A=-----BEGIN\nhush+/==", 2, ("line 2", "no name of a variable")),
        (("export", "shop", "A"), "", 2, ("'A' is too much",)),
        (("list", "--app", "shop", "A"), "", 2, ("'A' is too much",)),
        (("get", "shop", "A", "B"), "", 2, ("one variable",)),
        (("set", "--app", "shop", "hush"), "", 2, ("word 1", "no '='")),
        (("import", "shop"), "[" * 100_000, 2, ("is not JSON",)),
        (("import", "shop"), '["hush"]', 2, ("is not a JSON object",)),
        (("import", "shop"), '{"A": 1e3}', 2, ("the value of 'A' is not a text", "in quotes")),
        (("import", "shop"), '{"A": {"B": "hush"}}', 2, ("the value of 'A' is not a text",)),
        (("import", "shop"), '{"A": "hush", "A": "x"}', 2, ("'A' is there twice",)),
        (("import", "shop"), '{"A": "hush\\udc80"}', 2, ("A is not UTF-8",)),
        (("import", "shop"), '{"A-B": "hush"}', 2, ("'A-B' is not the name",)),
    ],
)
def test_what_cannot_be_done_is_refused_without_a_value(
    cli: Cli, place: Place, words: tuple[str, ...], stdin: str, code: int, texts: tuple[str, ...]
) -> None:
    said = cli("config", *words, stdin=stdin)
    said.failed(code, *texts)
    assert "hush" not in said.err
    assert place.ledger.config(SHOP) == {}


def test_without_a_server_nothing_is_asked_for(cli: Cli, place: Place) -> None:
    place.live("shop")
    cli("config", "set", "shop", "A=1").failed(7, "no server works on")
    assert len(place.ledger.jobs(SHOP)) == 1


def test_only_who_may_configure_sees_values_and_sets(cli: Cli, place: Place) -> None:
    cli("config", "set", "shop", "A=hush").ok()
    has_key(place.ledger, "bob")
    for words in (("list",), ("export",), ("get", "A"), ("unset", "A"), ("set", "A=1"), ("import",)):
        cli("config", words[0], "shop", *words[1:], stdin='{"A": "1"}', acting="bob").failed(5, "bob may not")
