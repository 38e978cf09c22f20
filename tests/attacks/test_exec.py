"""What a client asks of SSH besides git: other commands, other channels, other requests."""

import asyncio
import re

import asyncssh
import pytest

from tests.attacks.packs import Pack
from tests.attacks.target import PATIENCE, ZERO, Fort, Heard

pytestmark = pytest.mark.usefixtures("untouched")

# what ends before any program is run
REFUSED: dict[str, bytes] = {
    "an open quote": b"git-receive-pack 'shop",
    "an open double quote": b'git-receive-pack "shop',
    "an escape at its end": b"git-receive-pack shop\\",
    "a NUL": b"git-receive-pack 'shop'\0",
    "a NUL in the name": b"git-receive-pack 'sh\0op'",
    "an end of line": b"git-receive-pack 'shop'\nid",
    "a carriage return": b"git-receive-pack 'shop'\rid",
    "an escape sequence": b"\x1b[2Jgit-receive-pack 'shop'",
    "a DEL": b"git-receive-pack 'shop'\x7f",
    "a second command": b"git-receive-pack 'shop'; id",
    "a second command if the first is well": b"git-receive-pack 'shop' && id",
    "a second command if it is not": b"git-receive-pack 'nothing' || id",
    "a pipe": b"git-receive-pack 'shop' | id",
    "in the background": b"git-receive-pack 'shop' & id",
    "into a file": b"git-receive-pack 'shop' > /tmp/x",
    "from a file": b"git-upload-pack 'shop' < /etc/passwd",
    "a command in a command": b'git-upload-pack "$(id)"',
    "another app behind it": b"git-receive-pack 'shop' 'other'",
    "an option in front": b"git-upload-pack --strict 'shop'",
    "an option that runs something": b"git-upload-pack --upload-pack=id shop",
    "the option that no hook is run by": b"git-receive-pack --skip-connectivity-check 'shop'",
    "the advertisement alone": b"git-receive-pack --stateless-rpc --advertise-refs 'shop'",
    "a name in pieces": b"git-receive-pack 'sh''op'';id'",
    "no name": b"git-receive-pack ",
    "an empty name": b"git-receive-pack ''",
    "two blanks": b"git-receive-pack  'other'",
    "a path": b"git-receive-pack '/srv/shop/../other'",
    "an archive": b"git-upload-archive 'shop'",
    "an archive, in the other spelling": b"git upload-archive shop",
    "a message of 70 KiB": b"x" * 70_000,
    "quotes alone": b"'",
    "no UTF-8": b"git-receive-pack '\xff\xfe'",
}  # fmt: skip


@pytest.mark.parametrize("command", REFUSED.values(), ids=REFUSED)
def test_what_is_not_exactly_one_command_of_gits_is_refused(fort: Fort, command: bytes) -> None:
    heard = fort.ask(command, b"0000")
    assert heard.code in {None, 2, 3, 5}, heard
    assert heard.out == b""
    assert "uid=" not in heard.all
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", heard.err)


# what the command line is given as words, and knows not
UNKNOWN: dict[str, bytes] = {
    "a program": b"id",
    "a shell by its path": b"/bin/sh -c id",
    "another git": b"GIT-RECEIVE-PACK 'shop'",
    "an assignment": b"LD_PRELOAD=/tmp/x.so git-receive-pack 'shop'",
    "what is the host's alone": b"server",
    "a help that is none": b"help ../../etc/passwd",
    "a format": b"%n%s%p{0.__class__}",
    "the administrator's": b"users list",
    "somebody else's app": b"apps destroy other --confirm other",
    "a name that is none": b"apps create 'a;id'",
    "another's config": b"config list --app other",
}


def test_what_is_no_command_of_ours_or_not_theirs_does_nothing(fort: Fort) -> None:
    async def all_at_once() -> list[Heard]:
        few = asyncio.Semaphore(3)

        async def one(command: bytes) -> Heard:
            await few.acquire()
            try:
                return await asyncio.wait_for(fort.asked(command), PATIENCE)
            finally:
                few.release()

        return await asyncio.gather(*map(one, UNKNOWN.values()))

    for label, heard in zip(UNKNOWN, fort.run(all_at_once(), 4 * PATIENCE), strict=True):
        assert heard.code not in {0, None, 255}, (label, heard)
        assert heard.out == b"", (label, heard)
        assert "uid=" not in heard.all
        assert "Traceback" not in heard.all, (label, heard)


@pytest.mark.parametrize("name", ["sftp", "scp", "netconf", "git-receive-pack", "-x", "x" * 70_000, "a\nb"])
def test_no_subsystem_is_served(fort: Fort, name: str) -> None:
    heard = fort.ask(None, subsystem=name)
    assert heard.code != 0
    assert heard.out == b""


def test_neither_ports_nor_sockets_nor_tunnels_are_opened_on_the_server(fort: Fort) -> None:
    async def tried() -> list[str]:
        connection = await fort.connect()
        try:
            return [
                await _refusal(connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 1)),
                await _refusal(connection.forward_remote_port("", 22, "127.0.0.1", 1)),
                await _refusal(connection.forward_remote_path("/tmp/x.sock", "/tmp/y.sock")),
                await _refusal(connection.open_unix_connection(str(fort.settings.socket), encoding=None)),
                await _refusal(connection.open_unix_connection("/var/run/docker.sock", encoding=None)),
                await _refusal(connection.open_tun()),
                await _refusal(connection.open_tap()),
                *[
                    await _refusal(connection.open_connection(host, port, encoding=None))
                    for host, port in (
                        ("127.0.0.1", fort.http_port),
                        ("localhost", fort.ssh_port),
                        ("169.254.169.254", 80),
                        ("fd00:ec2::254", 80),
                        ("0.0.0.0", 1),
                        ("", 1),
                        ("-x.shop", 80),
                        ("web.other", 80),
                        ("web.shop\0.example.com", 80),
                        ("web.shop.", 80),
                        ("a" * 70_000, 80),
                    )
                ],
            ]
        finally:
            connection.close()

    refusals = fort.run(tried())
    assert all(refusals), refusals


async def _refusal(attempt: object) -> str:
    try:
        await attempt  # type: ignore[misc]
    except (asyncssh.ChannelOpenError, asyncssh.ChannelListenError) as error:
        return str(error) or "refused"
    return ""


def test_neither_a_screen_nor_an_agent_is_taken_along(fort: Fort) -> None:
    heard = fort.ask(
        "git-upload-pack 'shop'", b"0000", x11_forwarding="ignore_failure", x11_display="127.0.0.1:9"
    )
    assert heard.code == 0


def test_a_push_needs_no_terminal_and_gets_none(fort: Fort) -> None:
    """With one, what is sent would be changed on its way, and its control characters would be signals."""
    heard = fort.ask(
        "git-receive-pack 'shop'", b"0000", term_type="x\x1b]0;x\x07" * 50, term_size=(0, 0, 0, 0)
    )
    assert heard.code == 0
    assert heard.out.startswith(b"00")


def test_no_more_sessions_are_opened_than_one_connection_may_have(fort: Fort) -> None:
    """Nobody has asked for anything on the first when the last is asked for. When they are closed, there is room for others."""

    async def many() -> list[int]:
        connection = await fort.connect()
        counts = []
        async with connection:
            for _ in range(2):
                wanted = [
                    connection.create_process("git-receive-pack 'shop'", encoding=None) for _ in range(30)
                ]
                opened = await asyncio.gather(*wanted, return_exceptions=True)
                processes = [one for one in opened if isinstance(one, asyncssh.SSHClientProcess)]
                assert all("Session refused" in str(one) for one in opened if one not in processes)
                counts.append(len(processes))
                for process in processes:
                    process.stdin.write(b"0000")
                    process.stdin.write_eof()
                await asyncio.gather(*(process.wait() for process in processes))
        return counts

    assert fort.run(many()) == [10, 10]


def test_signals_and_breaks_and_changed_windows_end_no_more_than_their_own_session(fort: Fort) -> None:
    async def disturbed() -> None:
        connection = await fort.connect()
        async with connection:
            process = await connection.create_process("git-receive-pack 'shop'", encoding=None)
            for name in ("INT", "KILL", "SEGV", "x" * 100):
                process.channel.send_signal(name)
            process.channel.send_break(1000)
            process.channel.change_terminal_size(1 << 31, 1 << 31)
            process.stdin.write_eof()
            await process.wait()

    fort.run(disturbed())
    assert fort.ask("git-upload-pack 'shop'", b"0000").code == 0


ENVIRONMENT = {
    "a library": {"LD_PRELOAD": "/tmp/x.so", "LD_LIBRARY_PATH": "/tmp", "LD_AUDIT": "/tmp/x.so"},
    "other programs": {"PATH": "{place}", "GIT_EXEC_PATH": "{place}"},
    "a trace": {"GIT_TRACE": "{place}/trace", "GIT_TRACE2": "{place}/trace", "GIT_TRACE_PACKET": "{place}/trace"},
    "another repository": {"GIT_DIR": "{place}", "GIT_OBJECT_DIRECTORY": "{place}", "GIT_WORK_TREE": "{place}"},
    "other settings": {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath", "GIT_CONFIG_VALUE_0": "{place}"},
    "settings in a file": {"GIT_CONFIG": "{place}/c", "GIT_CONFIG_GLOBAL": "{place}/c", "GIT_CONFIG_PARAMETERS": "'core.hooksPath={place}'"},
    "another hook's server": {"GITRECEIVE_HOOK_SOCKET": "{place}/s", "GITRECEIVE_SESSION": "x"},
    "objects of elsewhere": {"GIT_ALTERNATE_OBJECT_DIRECTORIES": "{place}", "GIT_QUARANTINE_PATH": "{place}"},
    "a shell's": {"BASH_ENV": "{place}/x", "ENV": "{place}/x", "IFS": "/", "PS4": "$(id)"},
    "Python's": {"PYTHONPATH": "{place}", "PYTHONSTARTUP": "{place}/x", "PYTHONHOME": "{place}"},
    "options that nobody sent": {"GIT_PUSH_OPTION_COUNT": "1", "GIT_PUSH_OPTION_0": "nocache"},
    "a protocol with a command": {"GIT_PROTOCOL": "version=2;id"},
    "a protocol with an end of line": {"GIT_PROTOCOL": "version=2\nGIT_DIR=/tmp"},
    "a protocol that is long": {"GIT_PROTOCOL": "version=2:" * 5000},
    "a name that is none": {"A=B": "1", "": "x", "é": "ü", "a\nb": "c"},
}  # fmt: skip


@pytest.mark.parametrize("variables", ENVIRONMENT.values(), ids=ENVIRONMENT)
def test_no_variable_of_the_clients_reaches_git(fort: Fort, variables: dict[str, str]) -> None:
    place = fort.folder / "place"
    place.mkdir(exist_ok=True)
    for name in ("git", "git-receive-pack", "pre-receive", "proc-receive", "x"):
        (place / name).write_text(f"#!/bin/sh\ntouch {place}/ran\n")
        (place / name).chmod(0o755)
    given = {name: value.format(place=place) for name, value in variables.items()}
    before = sorted(place.iterdir())
    heard = fort.push([("refs/heads/x", ZERO, fort.head())], Pack().whole(), env=given)
    assert b"ng refs/heads/x x is not deployed" in heard.out, heard
    assert sorted(place.iterdir()) == before


def test_no_variable_of_the_clients_reaches_the_command_line(fort: Fort) -> None:
    who = {"GITRECEIVE_ACTING_USER": "root", "GITRECEIVE_ACTING_KEY": "x", "GITRECEIVE_DATA_DIR": "/tmp"}
    how = {
        "GITRECEIVE_DATABASE": "sqlite:////tmp/x.db",
        "PYTHONPATH": "/tmp",
        "PYTHONINSPECT": "1",
        "LD_PRELOAD": "/tmp/x.so",
    }
    heard = fort.ask("users info --json", env=who | how)
    assert (heard.code, b'"name": "alice"' in heard.out) == (0, True), heard


OPTIONS: dict[str, list[bytes]] = {
    "a command": [b"nocache; id"],
    "a command in it": [b"buildpack=$(id)"],
    "an end of line": [b"nocache\nreview"],
    "a header behind an end of line": [b"x\nX-Deploy: 1"],
    "a flag with a value": [b"nocache=1"],
    "one twice": [b"nocache", b"nocache"],
    "in capitals": [b"NOCACHE"],
    "a blank": [b" nocache"],
    "an option": [b"--exec=id"],
    "no name": [b"=x"],
    "nothing": [b""],
    "JSON": [b'{"nocache": true, "admin": true}'],
    "a field of the server's own": [b"user=root"],
    "a path up": [b"buildpack=../../etc"],
    "a path from the root": [b"buildpack=/etc"],
    "a file": [b"buildpack=file:///etc/passwd"],
    "a password": [b"buildpack=https://u:p@example.com/x.tgz"],
    "a folder as an option": [b"buildpack=-x"],
    "no UTF-8": [b"nocache\xff"],
    "an escape sequence": [b"\x1b]0;x\x07"],
    "64 KiB": [b"x" * 65_000],
    "a thousand": [b"nocache"] * 1000,
    "more than are read": [b"x" * 60_000] * 40,
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_push_option_that_is_not_known_refuses_the_push(fort: Fort, options: list[bytes]) -> None:
    now = fort.head()
    heard = fort.push([("refs/heads/main", now, now)], Pack().whole(), options)
    assert b"ok refs/heads/main" not in heard.out, heard
    assert b"ng refs/heads/main" in heard.out or heard.code != 0, heard
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", heard.err)
    assert "uid=" not in heard.all
