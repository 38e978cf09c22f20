"""Where a clone is pushed to, read strictly: a git remote is text that anybody may have written."""

from pathlib import Path

import pytest
from dulwich.repo import Repo

from gitreceive.cli.remote import Remote, find, parse
from gitreceive.errors import UsageError
from gitreceive.model import AppName

SHOP = AppName.parse("shop")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ssh://git@paas.example.com:2222/shop", Remote("git", "paas.example.com", 2222, SHOP)),
        ("ssh://paas.example.com/shop.git", Remote("git", "paas.example.com", 22, SHOP)),
        ("ssh://git@[fd00::1]:2222/shop/", Remote("git", "fd00::1", 2222, SHOP)),
        ("git@paas:shop.git", Remote("git", "paas", 22, SHOP)),
        ("paas:/shop", Remote("git", "paas", 22, SHOP)),
    ],
)
def test_a_remote_is_read(url: str, expected: Remote) -> None:
    assert parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://github.com/acme/shop",
        "file:///srv/shop.git",
        "/srv/git/shop.git",
        "../shop",
        "ssh:///shop",
        "ssh://-oProxyCommand=touch%20x/shop",
        "-oProxyCommand=touch:shop",
        "ssh://git@-oProxyCommand=touch/shop",
        "ssh://-oProxyCommand=touch@host/shop",
        "ssh://git@host$(id)/shop",
        "ssh://git@host;id/shop",
        "ssh://git@ho st/shop",
        "ssh://git@host:99999/shop",
        "ssh://git@host:x/shop",
        "ssh://git@[::1/shop",
        "ext::sh -c touch% x",
        "ssh://git@host/team/shop",
        "ssh://git@host/",
        "ssh://git@host/Shop;id",
        "ssh://git@host/--json",
    ],
)
def test_what_is_no_servers_remote_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        parse(url)


@pytest.mark.parametrize(
    "url", ["https://paas/shop", "https://alice:secret@paas:8222/shop.git", "http://paas/shop/"]
)
def test_a_remote_of_https_takes_pushes_and_says_where_commands_go(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(url)
    assert caught.value.message.endswith("://paas/shop is for pushes, and commands go over SSH")
    assert "git remote add gitreceive ssh://git@paas:2222/shop" in caught.value.hint
    assert "ssh -p 2222 git@paas COMMAND --app shop" in caught.value.hint


def test_no_password_in_a_remote_is_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        parse("https://alice:secret@example.com/acme/shop")
    assert "'https://example.com/acme/shop' is no gitreceive server" in caught.value.message


def test_no_word_for_ssh_can_be_taken_for_an_option() -> None:
    assert parse("ssh://git@host:2222/shop").ssh == ["ssh", "-p", "2222", "--", "git@host"]


def _clone(folder: Path, **remotes: str) -> Path:
    with Repo.init(str(folder), mkdir=True) as repository:
        settings = repository.get_config()
        for name, url in remotes.items():
            settings.set((b"remote", name.encode()), b"url", url.encode())
        settings.write_to_path()
    return folder


def test_deploy_comes_before_gitreceive_and_nothing_else_counts(tmp_path: Path) -> None:
    both = _clone(tmp_path / "both", deploy="ssh://git@one/shop", gitreceive="ssh://git@two/shop")
    assert find(both) == Remote("git", "one", 22, SHOP)
    assert find(_clone(tmp_path / "second", gitreceive="ssh://git@two/shop")) == Remote(
        "git", "two", 22, SHOP
    )
    assert find(_clone(tmp_path / "neither", origin="ssh://git@three/shop")) is None
    assert find(tmp_path) is None


def test_a_deploy_remote_to_somewhere_else_does_not_hide_ours(tmp_path: Path) -> None:
    clone = _clone(tmp_path / "a", deploy="https://example.com/shop", gitreceive="ssh://git@two/shop")
    assert find(clone) == Remote("git", "two", 22, SHOP)
    with pytest.raises(UsageError, match=r"example\.com/shop is for pushes"):
        find(_clone(tmp_path / "b", deploy="https://example.com/shop"))


def test_a_clone_is_found_from_a_folder_inside_it(tmp_path: Path) -> None:
    inside = _clone(tmp_path / "a", deploy="ssh://git@one/shop") / "deep" / "er"
    inside.mkdir(parents=True)
    assert find(inside) == Remote("git", "one", 22, SHOP)
