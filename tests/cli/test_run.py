"""``run``, ``exec`` and ``port-forward`` as they are typed, with a target in this process."""

import json
from pathlib import Path

import pytest

from gitreceive import wiring
from gitreceive.model import AppName, Secret
from tests.cli.conftest import Cli
from tests.cli.people import has_key
from tests.cli.place import Place


@pytest.fixture
def shop(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(wiring, "target", lambda *_: place.target)
    place.live("shop")
    has_key(place.ledger, "bob")
    return place


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "start", "--app", "shop"), "Missing argument 'CMD...'"),
        (("run", "--app", "shop", "--env", "hush-canary", "ls"), "--env has no '='"),
        (("run", "--app", "shop", "--env", "1A=x", "ls"), "1A"),
        (
            ("run", "--app", "shop", "--size", "2x", "--memory", "1Gi", "ls"),
            "--size and --memory say the same",
        ),
        (("run", "--app", "shop", "--size", "3x", "ls"), "3x"),
        (("run", "--app", "shop", "--memory", "lots", "ls"), "'lots' is no amount of memory"),
        (("run", "--app", "shop", "--cpu", "0", "ls"), "needs some CPU"),
        (("run", "--app", "shop", "--timeout", "0s", "ls"), "from a second to seven days"),
        (("run", "--app", "shop", "--timeout", "8d", "ls"), "from a second to seven days"),
        (("run", "stop", "web.1", "--app", "shop"), "names no one-off process"),
        (("port-forward", "--app", "shop", "x"), "names no ports"),
        (("port-forward", "--app", "shop", "0:80"), "names no ports"),
        (("port-forward", "--app", "shop", "80:65536"), "names no ports"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(
    words: tuple[str, ...], said: str, cli: Cli, shop: Place
) -> None:
    seen = cli(*words, acting="alice").failed(2, said)
    assert "canary" not in seen.err


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--app", "shop", "id"),
        ("run", "start", "--detach", "--app", "shop", "--", "id"),
        ("run", "list", "--app", "shop"),
        ("run", "stop", "run-abc123", "--app", "shop"),
        ("exec", "--app", "shop", "id"),
        ("port-forward", "--app", "shop", "8080"),
    ],
)
def test_who_may_not_change_the_app_may_not_run_in_it(words: tuple[str, ...], cli: Cli, shop: Place) -> None:
    cli(*words, acting="bob").failed(5, "bob may not")


def test_without_a_release_there_is_nothing_to_run(cli: Cli, place: Place) -> None:
    for words in (("run", "--app", "shop", "id"), ("exec", "--app", "shop", "id")):
        cli(*words, acting="alice").failed(3, "shop")


def test_what_is_run_has_the_live_release_and_its_exit_code(cli: Cli, shop: Place) -> None:
    shop.target.exit_code = 42
    assert cli("run", "--app", "shop", "-e", "A=1", "--", "ls", "--app", "other", acting="alice").code == 42
    assert cli("run", "--app", "shop", "ls", "--help", acting="alice").code == 42
    (release, asked), (_, other) = shop.target.asked
    assert (release.number, release.config) == (1, {"A": Secret("1")})
    assert (asked.line, asked.user, asked.kept, asked.terminal) == ("ls --app other", "alice", True, None)
    assert other.command[-1] == "ls --help"
    assert list(Path(cli.folder, "one-offs").iterdir()) == []


def test_what_is_left_to_itself_is_named_listed_and_stopped(cli: Cli, shop: Place) -> None:
    said = cli("run", "start", "-d", "--size", "2x", "--cpu", "0.5", "-a", "shop", "sleep 9").ok()
    name = said.out.strip()
    (_, asked) = shop.target.asked[0]
    assert (asked.limits.memory_bytes, asked.limits.milli_cpu, asked.kept) == (1 << 30, 500, False)
    assert json.loads(Path(cli.folder, "one-offs", name).read_text())["ends"]
    listed = cli("run", "list", "--app", "shop", "--json", acting="alice").ok().json()
    assert [(s["name"], s["state"], s["detached"], s["command"]) for s in listed] == [
        (name, "up", True, "sleep 9")
    ]
    assert name in cli("run", "list", "--app", "shop").ok().out
    stopped = cli("run", "stop", name, "--app", "shop", "--json", acting="alice").ok().json()
    assert stopped == {"app": "shop", "name": name, "result": "stopped"}
    assert list(Path(cli.folder, "one-offs").iterdir()) == []
    cli("run", "stop", name, "--app", "shop", acting="alice").failed(3, f"shop has no {name}")


def test_a_command_enters_the_instance_that_is_meant(cli: Cli, shop: Place) -> None:
    shop.target.live[AppName("shop")] = shop.ledger.release(AppName("shop"), 1)
    assert cli("exec", "--app", "shop", "ps", "--help", acting="alice").code == 0
    assert shop.target.calls == ["enter web.1: ps --help"]
    cli("exec", "--app", "shop", "--ps", "web.2", "ps").failed(3, "no web.2 that runs; there are: web.1")
    cli("port-forward", "--app", "shop", "--stdio", "8080").failed(3, "nothing listens on web.1:8080")
