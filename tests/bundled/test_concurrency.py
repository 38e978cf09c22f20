"""WEB_CONCURRENCY from the memory limit, as a program of a layer's ``exec.d`` that the launcher runs."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from pythonpack.concurrency import cpus, follow_memory, memory_limit, workers

from gitreceive.lifecycle.launch import apply_layers


def _cgroup(root: Path, **files: str) -> str:
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return str(root)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory_DOT_max": "536870912"}, 536870912),
        ({"memory_DOT_max": "max"}, None),
        ({"memory__memory_DOT_limit_in_bytes": "268435456"}, 268435456),
        ({"memory__memory_DOT_limit_in_bytes": "9223372036854771712"}, None),
        ({}, None),
    ],
)
def test_the_limit_is_read_from_either_version_of_cgroups(
    tmp_path: Path, files: dict[str, str], limit: int | None
) -> None:
    assert memory_limit(_cgroup(tmp_path, **files)) == limit


@pytest.mark.parametrize(
    "files",
    [
        {"cpu_DOT_max": "50000 100000"},
        {"cpu__cpu_DOT_cfs_quota_us": "100000", "cpu__cpu_DOT_cfs_period_us": "100000"},
    ],
)
def test_a_quota_of_cpu_counts_as_cpus(tmp_path: Path, files: dict[str, str]) -> None:
    assert cpus(_cgroup(tmp_path, **files)) == 1


@pytest.mark.parametrize(
    "files",
    [
        {"cpu_DOT_max": "max 100000"},
        {"cpu__cpu_DOT_cfs_quota_us": "-1", "cpu__cpu_DOT_cfs_period_us": "100000"},
        {},
    ],
)
def test_without_a_quota_all_cpus_count(tmp_path: Path, files: dict[str, str]) -> None:
    assert cpus(_cgroup(tmp_path, **files)) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("megabytes", "processors", "count"), [(128, 2, 1), (512, 2, 2), (1024, 2, 4), (65536, 2, 5)]
)
def test_workers_fit_the_memory_and_do_not_outnumber_the_cpus_by_far(
    megabytes: int, processors: int, count: int
) -> None:
    assert workers(megabytes << 20, processors, 256) == count


def _told(layer: Path, **env: str) -> dict[str, str]:
    found = {"PATH": os.defpath, **env}
    apply_layers(found, {"layers": [str(layer)], "app": str(layer)}, "web")
    return found


def test_a_process_has_the_number_unless_it_was_set(tmp_path: Path) -> None:
    limit = memory_limit()
    follow_memory(tmp_path, megabytes=1, without_limit=7)
    counted = workers(limit, cpus(), 1) if limit else 7
    assert _told(tmp_path)["WEB_CONCURRENCY"] == str(counted)
    assert _told(tmp_path, WEB_CONCURRENCY="")["WEB_CONCURRENCY"] == str(counted)
    assert _told(tmp_path, WEB_CONCURRENCY="9")["WEB_CONCURRENCY"] == "9"


def test_what_a_worker_takes_can_be_set_and_nonsense_is_told_of(tmp_path: Path) -> None:
    follow_memory(tmp_path, megabytes=256, without_limit=2)
    program = tmp_path / "exec.d" / "web-concurrency"
    limits = "memory_limit = lambda: 1 << 30\ncpus = lambda: 8\n\ntell(256, 2)"
    program.write_text(program.read_text().replace("tell(256, 2)", limits))
    for asked, count, words in (("128", "8", ""), ("", "4", ""), ("much", "4", "WEB_MEMORY is 'much'")):
        command = ["bash", "-c", 'exec 3>&1 1>&2; exec "$0"', str(program)]
        done = subprocess.run(command, env={"WEB_MEMORY": asked}, capture_output=True, text=True, check=True)
        assert tomllib.loads(done.stdout) == {"WEB_CONCURRENCY": count}
        assert words in done.stderr
