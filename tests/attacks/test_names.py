"""Names: of apps at each door, of refs, of commits."""

from urllib.parse import quote

import pytest

from tests.attacks.packs import Pack
from tests.attacks.target import ZERO, Fort

pytestmark = pytest.mark.usefixtures("untouched")

APPS = {
    "a command behind it": "app;id",
    "a command in it": "app$(id)",
    "backticks": "app`id`",
    "an end of line": "app\nid",
    "a carriage return": "app\rid",
    "a NUL": "app\0id",
    "an option": "-app",
    "a long option": "--upload-pack=id",
    "hidden": ".app",
    "the folder": ".",
    "the folder above": "..",
    "a path up": "../x",
    "a path through": "shop/../other",
    "a path from the root": "/etc/passwd",
    "a double slash": "//shop",
    "63 characters": "a" * 63,
    "254 characters": "a" * 254,
    "64 KiB": "a" * 65_000,
    "a hyphen at its end": "app-",
    "a capital": "Shop",
    "an underline": "sh_op",
    "a blank": "sh op",
    "a tab": "sh\top",
    "a star": "sh*p",
    "a tilde": "~root",
    "a percent": "sh%6fp",
    "a backslash": "..\\shop",
    "a colon": "shop:other",
    "its folder": "shop.git/config",
    "twice .git": "shop.git.git",
    "letters that look alike": "\u0455hop",
    "letters that fold alike": "\u017fhop",
    "digits of elsewhere": "sh\uff10p",
    "no width": "sh\u200bop",
    "backwards": "shop\u202e",
    "an escape sequence": "\x1b]0;x\x07",
    "a variable": "$HOME",
    "braces": "{shop,other}",
    "empty": "",
    "somebody else's": "other",
}


@pytest.mark.parametrize("service", ["receive-pack", "upload-pack"])
@pytest.mark.parametrize("name", APPS.values(), ids=APPS)
def test_no_other_app_is_reached_over_ssh(fort: Fort, name: str, service: str) -> None:
    heard = fort.ask(f"git-{service} '{name}'", b"0000")
    assert heard.code in {2, 3, 4, 5}, heard
    assert heard.out == b""
    assert heard.err.startswith(b"gitreceive: ")
    assert b"uid=" not in heard.err
    assert not set(heard.err.replace(b"\n", b"")) & set(range(32))


@pytest.mark.parametrize("name", APPS.values(), ids=APPS)
def test_no_other_app_is_reached_over_http(fort: Fort, name: str) -> None:
    for path in {quote(name), quote(name, safe=""), quote(quote(name, safe=""), safe="")}:
        line = f"GET /{path}/info/refs?service=git-receive-pack HTTP/1.1\r\n"
        heard = fort.speak(f"{line}Host: x\r\n{fort.basic('alice')}Connection: close\r\n\r\n".encode())
        status = int(heard.split()[1])
        assert status in {400, 403, 404, 414, 431}, heard


REFS = {
    "an option": "refs/heads/--exec=id",
    "a hyphen": "refs/heads/-x",
    "a command": "refs/heads/$(id)",
    "a command behind it": "refs/heads/main; x",
    "backticks": "refs/heads/`id`",
    "another branch": "refs/heads/feature",
    "no branch": "refs/heads/",
    "a branch below the one that deploys": "refs/heads/main/x",
    "in capitals": "refs/heads/MAIN",
    "with a lock": "refs/heads/main.lock",
    "two dots": "refs/heads/main..x",
    "a path up": "refs/heads/../../config",
    "a path from the root": "/etc/passwd",
    "the head": "HEAD",
    "a file of git's": "config",
    "no name": "",
    "the server's own": "refs/gitreceive/builds/1",
    "hidden among others": "refs/heads/../gitreceive/builds/1",
    "notes": "refs/notes/commits",
    "a pull request": "refs/pull/1/head",
    "what replaces objects": f"refs/replace/{'1' * 40}",
    "a stash": "refs/stash",
    "a remote": "refs/remotes/origin/main",
    "a blank": "refs/heads/main x",
    "a blank at its end": "refs/heads/main ",
    "a tab": "refs/heads/main\tx",
    "an end of line": "refs/heads/main\nrefs/heads/x",
    "an escape sequence": "refs/heads/\x1b[2J",
    "backwards": "refs/heads/\u202eniam",
    "no UTF-8": b"refs/heads/\xff\xfe",
    "a caret": "refs/heads/main^",
    "a colon": "refs/heads/main:x",
    "a reflog": "refs/heads/main@{0}",
    "at": "refs/heads/@",
    "a star": "refs/heads/*",
    "very long": "refs/heads/" + "a" * 5000,
    "a name longer than a file's": "refs/heads/" + "a" * 300,
    "letters that look alike": "refs/heads/m\u0430in",
    "twice heads": "refs/heads/refs/heads/main",
    "slashes": "refs//heads//main",
}


@pytest.mark.parametrize("ref", REFS.values(), ids=REFS)
def test_no_other_ref_is_written(fort: Fort, ref: str | bytes) -> None:
    heard = fort.push([(ref, ZERO, fort.head())], Pack().whole())
    assert heard.code is not None
    assert b"\nok " not in heard.out
    assert b"000eunpack ok" not in heard.out or b"ng " in heard.out, heard


COMMITS = {
    "an option": "--all" + "0" * 35,
    "in capitals": "ABCDEF" + "0" * 34,
    "short": "abc",
    "of another hash": "a" * 64,
    "what is not there": "d" * 40,
    "a name": "HEAD",
    "a range": "0" * 38 + "..",
    "an end of line": "a" * 39 + "\n",
    "a NUL": "a" * 39 + "\0",
}


@pytest.mark.parametrize("commit", COMMITS.values(), ids=COMMITS)
def test_nothing_but_the_id_of_a_commit_that_is_there_is_deployed(fort: Fort, commit: str) -> None:
    heard = fort.push([("refs/heads/main", fort.head(), commit)], Pack().whole())
    assert b"ok refs/heads/main" not in heard.out


def test_two_refs_of_one_push_are_each_checked(fort: Fort) -> None:
    now = fort.head()
    heard = fort.push([("refs/heads/x", ZERO, now), ("refs/heads/-y", ZERO, now)], Pack().whole())
    assert heard.out.count(b"ng ") == 2


def test_one_ref_named_twice_is_refused_both_times(fort: Fort) -> None:
    now = fort.head()
    heard = fort.push([("refs/tags/x", ZERO, now)] * 2, Pack().whole())
    assert b"ok refs/tags/x" not in heard.out


def test_the_branch_that_runs_is_not_deleted(fort: Fort) -> None:
    heard = fort.push([("refs/heads/main", fort.head(), ZERO)])
    assert b"ng refs/heads/main main cannot be deleted" in heard.out


def test_a_hundred_thousand_refs_are_refused_before_they_are_looked_at(fort: Fort) -> None:
    now = fort.head()
    heard = fort.push([(f"refs/tags/{number:06}", ZERO, now) for number in range(100_000)], Pack().whole())
    assert b"ok " not in heard.out.replace(b"unpack ok", b"")
    assert "too many refs" in heard.all


def test_as_many_refs_as_are_read_are_refused_too_where_they_are_more_than_one_push_may_have(
    fort: Fort,
) -> None:
    now = fort.head()
    heard = fort.push([(f"refs/tags/{number:06}", ZERO, now) for number in range(1001)], Pack().whole())
    assert b"ok refs" not in heard.out
    assert "1001 refs in one push" in heard.all
