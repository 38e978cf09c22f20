"""What a build does to its host when it does its worst: each limit, tried by a build that runs into it, and what stays behind."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import docker
import pytest

from gitreceive.errors import BuildError, BuildLimitError, ConfigError
from gitreceive.model import Stack
from tests.engines.builder.case import (
    LAYER,
    WEB,
    HeardLog,
    Make,
    fails,
    request,
    run,
    write_buildpack,
    write_order,
)

pytestmark = pytest.mark.docker


def _cache(client: docker.APIClient, owner: str) -> bool:
    return bool(client.volumes(filters={"name": f"gitreceive-cache-shop-{owner}"})["Volumes"])


def _nothing_left(client: docker.APIClient, owner: str) -> bool:
    return not client.containers(all=True, filters={"label": f"gitreceive.data={owner}"})


@pytest.mark.parametrize(
    ("script", "runtime"),
    [
        pytest.param("head -c 40M /dev/zero > /tmp/a; head -c 40M /dev/zero > a; sleep 60", "", id="files"),
        pytest.param(
            "for n in 3 4; do exec {fd}<>$1/x; head -c 40M /dev/zero >&$fd; rm $1/x; done; sleep 60",
            "",
            id="removed",
        ),
        # one that settings name is not looked into
        pytest.param(
            "head -c 40M /dev/zero > /tmp/a; head -c 40M /dev/zero > $1/a; sleep 60", "runc", id="beside"
        ),
    ],
)
def test_a_build_with_too_much_on_disk_is_stopped_and_its_cache_goes(
    script: str, runtime: str, make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    write_buildpack(packs, "one", build=script)
    write_order(packs, ("one",))
    builder = make(disk="64m", runtime=runtime)
    with pytest.raises(BuildLimitError, match=r"more than \d+m on disk") as caught:
        fails(builder, request({"hello": b""}, stack))
    assert "build.disk" in caught.value.hint
    assert not _cache(client, builder.owner)
    assert _nothing_left(client, builder.owner)


def test_a_flood_of_files_is_stopped_also_where_folders_hide_them(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    flood = r"""
    python3 - "$1" <<'END'
    import os, sys
    os.mkdir(sys.argv[1] + "/flood")
    os.chdir(sys.argv[1] + "/flood")
    os.umask(0o777)
    for n in range(20_000):
        os.close(os.open(f"f{n}", os.O_CREAT))
    END
    sleep 60
    """
    write_buildpack(packs, "one", build=flood.replace("\n    ", "\n"))
    write_order(packs, ("one",))
    builder = make(disk_files=5000)
    with pytest.raises(BuildLimitError, match="more than 5000 files and folders") as caught:
        fails(builder, request({"hello": b""}, stack))
    assert "build.disk_files" in caught.value.hint
    assert not _cache(client, builder.owner)
    # and the next build, on a new cache, is as any other
    packs.joinpath("one/bin/build").write_text(f"#!/bin/bash\n{LAYER}{WEB}")
    run(builder, request({"hello": b""}, stack))


def test_folders_in_folders_do_not_lead_out_of_sight(make: Make, packs: Path, stack: Stack) -> None:
    deep = """
    python3 -c '
    import os
    for n in range(3000):
        os.mkdir("d" * 200); os.chdir("d" * 200)
    '
    sleep 60
    """
    write_buildpack(packs, "one", build=deep.replace("\n    ", "\n"))
    write_order(packs, ("one",))
    with pytest.raises(BuildLimitError, match="nested more than 400 folders"):
        fails(make(), request({"hello": b""}, stack))


def test_one_file_cannot_be_larger_than_all_of_the_disk_from_the_first_moment(
    make: Make, packs: Path, stack: Stack
) -> None:
    """The kernel holds to this one, so 100 GB do not come about between two looks."""
    write_buildpack(
        packs, "one", build="truncate -s 100G huge; fallocate -l 100G /tmp/huge; ls -s huge /tmp/huge; exit 7"
    )
    write_order(packs, ("one",))
    log = HeardLog()
    with pytest.raises(BuildError, match="exit 7"):
        fails(make(disk="1g"), request({"hello": b""}, stack), log)
    # bash tells of the signal, who ignores that gets an error; neither file has come to be
    assert len(re.findall("File too large|File size limit exceeded", log.text)) == 2, log.text
    assert "0 huge" in log.text


def test_builds_stop_before_the_disk_is_full(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    write_buildpack(packs, "one", build="sleep 60")
    write_order(packs, ("one",))
    builder = make(disk_reserve="900000g")
    with pytest.raises(BuildLimitError, match=r"Docker's disk has only \d+ MB left") as caught:
        fails(builder, request({"hello": b""}, stack))
    assert "build.disk_reserve" in caught.value.hint
    assert _cache(client, builder.owner), "it is not the cache's fault"


def test_a_fork_bomb_ends_with_the_build_and_harms_nobody(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    write_buildpack(
        packs,
        "one",
        build="bomb() { bomb | bomb & }; bomb; sleep 2; exec {fd}</proc/self/status || exit 9; exit 9",
    )
    write_order(packs, ("one",))
    builder, began = make(pids=60, timeout=20), time.monotonic()
    with pytest.raises(BuildError):
        fails(builder, request({"hello": b""}, stack))
    assert time.monotonic() - began < 60
    assert _nothing_left(client, builder.owner)


def test_what_spins_or_sleeps_is_ended_by_the_clock_alone(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    write_buildpack(
        packs,
        "one",
        build="trap '' TERM INT HUP; (while :; do :; done) & (while :; do :; done) & sleep infinity",
    )
    write_order(packs, ("one",))
    builder = make(timeout=3, cpus=0.5)
    with pytest.raises(BuildLimitError, match="longer than 3 seconds"):
        fails(builder, request({"hello": b""}, stack))
    assert _nothing_left(client, builder.owner)


def test_a_daemon_that_a_build_leaves_behind_is_gone_with_it(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    daemon = "(setsid bash -c 'trap \"\" TERM HUP; exec -a left-behind sleep 600' > /dev/null 2>&1 < /dev/null &)\n"
    write_buildpack(packs, "one", build=daemon + WEB)
    write_order(packs, ("one",))
    builder, began = make(), time.monotonic()
    run(builder, request({"hello": b""}, stack))
    builder.sweep()
    assert time.monotonic() - began < 60
    assert not any("left-behind" in line for line in _command_lines())
    assert _nothing_left(client, builder.owner)


def _command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
            yield path.read_text(errors="replace")


def test_the_kernel_is_asked_for_little(make: Make, packs: Path, stack: Stack) -> None:
    probe = r"""
    grep -E '^(Seccomp|NoNewPrivs|CapAmb|CapInh|CapPrm):' /proc/self/status | tr -s '\t' ' '
    unshare -U true 2> /dev/null && echo "a user namespace"
    mount -t tmpfs none /tmp 2> /dev/null && echo "a mount"
    find / -xdev -perm /6000 -type f 2> /dev/null | head -1 | while read -r program; do echo "setuid: there is one"; done
    touch /proc/sys/kernel/domainname 2> /dev/null && echo "a sysctl"
    ls /dev | tr '\n' ' '
    """
    write_buildpack(packs, "one", build=probe.replace("\n    ", "\n") + WEB)
    write_order(packs, ("one",))
    _, log, _ = run(make(runtime="runc"), request({"hello": b""}, stack))
    for line in (
        "Seccomp: 2",
        "NoNewPrivs: 1",
        f"CapPrm: {'0' * 16}",
        f"CapInh: {'0' * 16}",
        f"CapAmb: {'0' * 16}",
    ):
        assert line in log.text
    for what in ("a user namespace", "a mount", "a sysctl", " sda", " vda", " kmsg", " mem "):
        assert what not in log.text


def test_a_runtime_that_docker_does_not_know_is_named(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build=WEB)
    write_order(packs, ("one",))
    builder = make(runtime="runsc-of-nobody")
    with pytest.raises(ConfigError, match="Docker knows no runtime 'runsc-of-nobody'") as caught:
        fails(builder, request({"hello": b""}, stack))
    assert "runc" in caught.value.hint
    for one, known in ((builder, False), (make(runtime="runc"), True)):
        assert [check.ok for check in one.check() if check.name == "build.runtime"] == [known]
