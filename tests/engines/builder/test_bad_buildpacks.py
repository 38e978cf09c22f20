"""Buildpacks that break the contract: each is named, with the file, and leaves nothing behind."""

import os
import tracemalloc
from pathlib import Path

import docker
import pytest

from gitreceive.errors import BuildError, BuildLimitError, ConfigError, DetectError, GitreceiveError
from gitreceive.model import AppName, Stack
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

_LARGE = "head -c 10000000 /dev/zero | tr '\\0' '#'"


@pytest.mark.parametrize(
    ("build", "said"),
    [
        ("echo '[[' > $1/launch.toml", r"test/one failed: launch\.toml cannot be read: .*at line 1"),
        ("echo 'processes = 1' > $1/launch.toml", r"launch\.toml: processes must be an array of tables"),
        (
            "printf '[[labels]]\\nkey = \"a\"\\n' > $1/launch.toml",
            r"launch\.toml: a label needs a key and a value",
        ),
        ("echo 'types = 1' > $1/deps.toml", r"deps\.toml: types must be a table"),
        ("echo 'unmet = 1' > $1/build.toml", r"build\.toml: unmet must be an array of tables"),
        ("printf 'metadata = 1' > $1/store.toml", r"store\.toml: metadata must be a table"),
        (_LARGE + " > $1/deps.toml", r"deps\.toml cannot be read: it is larger than 1 MiB"),
        (
            "printf 'a = %s' $(printf '[%.0s' {1..50000}) > $1/deps.toml",
            r"deps\.toml cannot be read: .*too deeply",
        ),
        ("mkfifo $1/deps.toml", r"deps\.toml cannot be read: it is no regular file"),
        ("mkdir $1/launch.toml $1/deps.toml", r"deps\.toml cannot be read: it is no regular file"),
    ],
)
def test_a_file_that_breaks_the_contract_is_named(
    build: str, said: str, make: Make, packs: Path, stack: Stack
) -> None:
    write_buildpack(packs, "one", build=build)
    write_order(packs, ("one",))
    with pytest.raises(BuildError, match=said):
        fails(make(), request({"hello": b""}, stack))


@pytest.mark.parametrize(
    ("detect", "said"),
    [
        ("echo '[[' > $2", "its build plan cannot be used"),
        ("echo 'provides = 1' > $2", "each of provides and requires must be a table with a name"),
        (f"{_LARGE} > $2", "it is larger than 1 MiB"),
        ("rm $2; mkfifo $2", "it is no regular file"),
        ("for i in {1..20000}; do printf '[[or]]\\n'; done > $2", "combine in more than 10000 ways"),
        ("head -c 200000000 /dev/zero; exit 3", "exit code 3"),
    ],
)
def test_a_detection_that_breaks_the_contract_is_named(
    detect: str, said: str, make: Make, packs: Path, stack: Stack
) -> None:
    write_buildpack(packs, "one", build=WEB, detect=detect)
    write_order(packs, ("one",))
    log = HeardLog()
    with pytest.raises(DetectError, match="no buildpack matched"):
        fails(make(), request({"hello": b""}, stack), log)
    assert "test/one 1.0" in log.text
    assert said in log.text


@pytest.mark.parametrize("program", ["detect", "build"])
@pytest.mark.parametrize("what", ["mode", "interpreter", "no interpreter"])
def test_a_program_that_cannot_be_run_is_named(
    what: str, program: str, make: Make, packs: Path, stack: Stack
) -> None:
    write_buildpack(packs, "one", build=WEB)
    write_order(packs, ("one",))
    file = packs / "one" / "bin" / program
    if what == "mode":
        file.chmod(0o644)
    else:
        file.write_text("#!/there/is/no/sh\n" if what == "interpreter" else "echo plain text\n")
    log = HeardLog()
    with pytest.raises(GitreceiveError) as caught:
        fails(make(), request({"hello": b""}, stack), log)
    said = f"{caught.value}\n{log.text}"
    assert "test/one" in said
    reason = {
        "mode": "it is not executable",
        "interpreter": "its interpreter is not there",
        "no interpreter": "it says no interpreter in its first line",
    }
    assert f"bin/{program} cannot be run: {reason[what]}" in said


def test_a_loop_in_an_order_is_refused_before_anything_starts(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    for name, inner in (("one", "two"), ("two", "one")):
        write_buildpack(packs, name, build="")
        with (packs / name / "buildpack.toml").open("a") as file:
            file.write(f'[[order]]\n[[order.group]]\nid = "test/{inner}"\n')
    write_order(packs, ("one",))
    with pytest.raises(
        ConfigError, match=r"buildpack\.toml: buildpack test/one contains itself: test/one → test/two"
    ):
        fails(make(), request({"hello": b""}, stack))


def test_what_is_written_outside_a_layer_is_in_no_image_and_in_no_later_build(
    make: Make, packs: Path, stack: Stack
) -> None:
    stray = """
    find $1/.. -type f
    mkdir -p $1/../other $1/undeclared; echo x > $1/../other/file; echo x > $1/undeclared/file; echo x > /tmp/stray
    ! echo x > /cnb/stray; ! echo x > /usr/stray; ! echo x > /etc/passwd
    [ ! -e /tmp/was-here ]; touch /tmp/was-here
    """
    write_buildpack(packs, "one", build="set -e" + stray + LAYER + WEB)
    write_order(packs, ("one",))
    builder = make()
    for _ in range(2):
        _, log, contents = run(builder, request({"hello": b""}, stack, options=("nocache",)))
        assert "undeclared" not in log.output.decode()
        assert "other/file" not in log.output.decode()
        assert not [
            name for files in contents.values() for name in files if "stray" in name or name.endswith("/file")
        ]


def test_who_writes_into_anothers_layer_or_the_platforms_is_named_with_the_file(
    make: Make, packs: Path, stack: Stack
) -> None:
    write_buildpack(packs, "one", build=LAYER + "mkdir $layer/bin; echo a > $layer/bin/tool")
    stray = "echo b > $1/../test_one/deps/bin/tool2; mkdir $1/../mine; echo c > $2/env/SPY; touch $PWD/fine"
    write_buildpack(packs, "two", build=stray + WEB)
    write_order(packs, ("one", "two"))
    _, log, _ = run(make(), request({"hello": b""}, stack))
    warned = [line.partition(",")[0] for line in log.lines if line.startswith("! ")]
    assert warned == [
        "! test/two wrote to /layers/mine",
        "! test/two wrote to /layers/test_one/deps/bin/tool2",
        "! test/two wrote to /platform/env/SPY",
    ]


def test_what_a_buildpack_writes_onto_its_channel_is_its_failure(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    garbage = """
    for pid in /proc/[0-9]*; do
      (head -c 100000 /dev/urandom > $pid/fd/1; head -c 100000 $pid/fd/0 > /dev/null) 2> /dev/null &
    done
    sleep 1
    """
    write_buildpack(packs, "one", build=garbage + WEB)
    write_order(packs, ("one",))
    builder = make(timeout=60)
    with pytest.raises(BuildError, match=r"^test/one 1\.0 wrote onto the build's channel"):
        fails(builder, request({"hello": b""}, stack))
    assert not client.containers(all=True, filters={"label": [f"gitreceive.data={builder.owner}"]})


class _CountingLog(HeardLog):
    """Of what it is told in pieces it keeps the number of bytes."""

    heard = 0

    def write(self, chunk: bytes) -> None:
        self.heard += len(chunk)


def test_a_build_that_floods_the_log_is_heard_to_its_end_and_not_kept_in_memory(
    make: Make, packs: Path, stack: Stack
) -> None:
    write_buildpack(
        packs, "one", build="head -c 100000000 /dev/zero | tr '\\0' x; echo; echo 'error: the end'; exit 1"
    )
    write_order(packs, ("one",))
    log = _CountingLog()
    builder = make()
    tracemalloc.start()
    try:
        with pytest.raises(BuildError, match="the end"):
            fails(builder, request({"hello": b""}, stack), log)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert log.heard == 100_000_000 + len("\nerror: the end\n")


def test_processes_that_a_build_leaves_end_with_it(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    leave = "(while :; do echo still here; sleep 0.05; done) &\nsetsid sleep 1000 < /dev/null &\n"
    write_buildpack(packs, "one", build=leave + WEB)
    write_order(packs, ("one",))
    builder = make()
    build, _, _ = run(builder, request({"hello": b""}, stack))
    assert [process.name for process in build.processes] == ["web"]
    builder.forget(AppName("shop"))
    assert not client.containers(all=True, filters={"label": [f"gitreceive.data={builder.owner}"]})


def test_a_build_that_never_ends_and_never_stops_talking_is_stopped(
    make: Make, packs: Path, stack: Stack, client: docker.APIClient
) -> None:
    write_buildpack(packs, "one", build="trap '' TERM INT HUP\nwhile :; do echo still here; sleep 0.01; done")
    write_order(packs, ("one",))
    builder = make(timeout=3)
    with pytest.raises(BuildLimitError, match="longer than 3 seconds"):
        fails(builder, request({"hello": b""}, stack))
    assert not client.containers(all=True, filters={"label": [f"gitreceive.data={builder.owner}"]})


def test_a_detection_that_never_ends_is_stopped(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build=WEB, detect="sleep 1000")
    write_order(packs, ("one",))
    with pytest.raises(BuildLimitError, match="longer than 3 seconds"):
        fails(make(timeout=3), request({"hello": b""}, stack))


def test_too_many_processes_fail_the_build_and_not_the_machine(make: Make, packs: Path, stack: Stack) -> None:
    bomb = "python3 -c 'import os, time; [os.fork() or time.sleep(60) for _ in range(400)]' || exit 1"
    write_buildpack(packs, "one", build=bomb + WEB)
    write_order(packs, ("one",))
    with pytest.raises(BuildError, match=r"test/one failed.*temporarily unavailable"):
        fails(make(pids=64), request({"hello": b""}, stack))


def test_a_known_failure_has_the_hint_that_its_buildpack_declares(
    make: Make, packs: Path, stack: Stack
) -> None:
    write_buildpack(packs, "one", build="echo 'fatal: libpq-fe.h: No such file'; exit 1")
    with (packs / "one" / "buildpack.toml").open("a") as file:
        file.write(
            "[[metadata.gitreceive.hints]]\nmatch = '(\\S+)-fe\\.h: No such'\nhint = 'the stack lacks {1}-dev'\n"
        )
    write_order(packs, ("one",))
    with pytest.raises(BuildError, match=r"test/one failed \(exit 1\)") as caught:
        fails(make(), request({"hello": b""}, stack))
    assert caught.value.hint == "the stack lacks libpq-dev"


def test_a_hint_that_the_buildpack_says_itself_comes_first(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build="echo 'error: no libpq'; echo 'hint: ask ada'; exit 1")
    with (packs / "one" / "buildpack.toml").open("a") as file:
        file.write("[[metadata.gitreceive.hints]]\nmatch = 'libpq'\nhint = 'the stack lacks it'\n")
    write_order(packs, ("one",))
    with pytest.raises(BuildError, match="no libpq") as caught:
        fails(make(), request({"hello": b""}, stack))
    assert caught.value.hint == "ask ada"


def test_a_package_cache_in_a_layer_of_the_image_is_warned_of(make: Make, packs: Path, stack: Stack) -> None:
    cache = "mkdir -p $layer/.cache/pip; head -c 2500000 /dev/urandom > $layer/.cache/pip/wheel\n"
    write_buildpack(packs, "one", build=LAYER + cache + WEB)
    write_order(packs, ("one",))
    _, log, _ = run(make(), request({"hello": b""}, stack))
    assert (
        "! layer test/one:deps holds a cache of pip, 2.5 MB in /layers/test_one/deps/.cache/pip" in log.text
    )


def test_the_plan_is_told_with_who_provides(make: Make, packs: Path, stack: Stack) -> None:
    write_buildpack(packs, "one", build="", detect="printf '[[provides]]\\nname = \"lua\"\\n' > $2")
    write_buildpack(packs, "two", build=WEB, detect="printf '[[requires]]\\nname = \"lua\"\\n' > $2")
    write_order(packs, ("one", "two"))
    _, log, _ = run(make(), request({"hello": b""}, stack))
    assert "plan: lua, provided by test/one 1.0" in log.text


def test_a_folder_with_a_pipe_in_place_of_its_description_keeps_nobody_waiting(
    make: Make, packs: Path, stack: Stack
) -> None:
    write_buildpack(packs, "one", build=WEB)
    write_order(packs, ("one",))
    (packs / "one" / "buildpack.toml").unlink()
    os.mkfifo(packs / "one" / "buildpack.toml")
    with pytest.raises(ConfigError, match=r"buildpack\.toml cannot be read: it is no regular file"):
        fails(make(), request({"hello": b""}, stack))
