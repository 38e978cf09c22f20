import pytest

from gitreceive.errors import UsageError
from gitreceive.receive.commands import CliCommand, GitCommand, Greeting, git_protocol, parse


@pytest.mark.parametrize(
    "text",
    [
        "git-receive-pack 'shop'",
        "git-receive-pack 'shop.git'",
        "git-receive-pack '/shop.git'",
        "git-receive-pack '/shop/'",
        "git-receive-pack shop",
        'git-receive-pack "/shop"',
        "git receive-pack 'shop'",
    ],
)
def test_what_git_push_sends_is_understood(text: str) -> None:
    parsed = parse(text)
    assert parsed == GitCommand("receive-pack", parsed.app if isinstance(parsed, GitCommand) else None)  # type: ignore[arg-type]
    assert isinstance(parsed, GitCommand)
    assert parsed.app == "shop"


@pytest.mark.parametrize(
    "name",
    [
        "app;id",
        "app$(id)",
        "app`id`",
        "-app",
        ".app",
        "../x",
        "..",
        "a/b",
        "//shop",
        "a" * 64,
        "a" * 254,
        "app-",
        "Shop",
        "",
        "shop.git.git",
        "shop\\",
        "--upload-pack=x",
        "~root",
        "shop .git",
        "shöp",
    ],
)
@pytest.mark.parametrize("service", ["git-receive-pack", "git-upload-pack"])
def test_a_hostile_app_name_is_refused(name: str, service: str) -> None:
    with pytest.raises(UsageError):
        parse(f"{service} '{name}'")


@pytest.mark.parametrize(
    "text",
    [
        "git-receive-pack 'shop",
        "git-receive-pack 'shop' 'blog'",
        "git-receive-pack 'shop'; id",
        "git-receive-pack --strict 'shop'",
        "git-receive-pack 'shop'\nid",
        "git-receive-pack 'shop'\0",
        "git-upload-archive 'shop'",
        "apps list\nid",
        "apps 'list",
        "apps\x7f",
        "apps " + "x" * (64 << 10),
        "\t",
    ],
)
def test_a_malformed_command_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_other_commands_are_words_and_nothing_is_expanded() -> None:
    assert parse("config set 'A=1 2' B=$(id) *;x") == CliCommand(("config", "set", "A=1 2", "B=$(id)", "*;x"))


@pytest.mark.parametrize("text", [None, "", "  "])
def test_no_command_is_a_greeting(text: str | None) -> None:
    assert parse(text) == Greeting()


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("version=2", True),
        ("version=0", True),
        ("version=3", False),
        ("version=2:x", False),
        ("version=2\n", False),
        ("", False),
        (None, False),
    ],
)
def test_only_a_plain_git_protocol_version_is_taken(value: str | None, taken: bool) -> None:
    assert git_protocol(value) == (value if taken else None)
