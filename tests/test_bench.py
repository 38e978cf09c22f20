"""The pure parts of scripts/bench."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.benchmark.figures import (
    OURS,
    PLAIN,
    Growth,
    Results,
    Sample,
    Spread,
    parse_summary,
    phase_spreads,
    table,
)
from scripts.benchmark.plain import manifests
from scripts.benchmark.sizes import Size, load
from scripts.benchmark.source import AppSource, WarmUp, packages
from scripts.benchmark.watch import descendants_memory, forget_peak, memory, peak


def results(case: str, ours: float, plain: float) -> Results:
    made = Results()
    made.add(case, PLAIN, Sample(plain, {"build": plain}))
    made.add(case, OURS, Sample(ours, {"roll out": ours}))
    return made


def test_the_summary_line_is_taken_apart_into_total_and_phases() -> None:
    line = "remote: -----> shop v2 is live after 4.2 s (build 1.2 s, publish 0.3 s, release 0.1 s, roll out 2.6 s)"
    assert parse_summary(line) == (
        4.2,
        {"build": 1.2, "publish": 0.3, "release": 0.1, "roll out": 2.6},
    )


def test_a_summary_without_phases_is_one_too() -> None:
    assert parse_summary("-----> shop v3 is live after 0.9 s ()") == (0.9, {})


def test_another_line_is_no_summary() -> None:
    assert parse_summary("remote: -----> Rolling out v2: web=1") is None


def test_a_summary_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="'build fast' is no phase"):
        parse_summary("-----> shop v2 is live after 4.2 s (build fast)")


def test_the_ratio_is_of_the_medians() -> None:
    made = Results()
    for ours, plain in ((1.0, 2.0), (9.0, 2.5), (2.0, 50.0)):
        made.add("change", OURS, Sample(ours, {}))
        made.add("change", PLAIN, Sample(plain, {}))
    assert made.ratio("change") == pytest.approx(2.0 / 2.5)
    assert made.best_ratio("change") == pytest.approx(1.0 / 2.0)


@pytest.mark.parametrize(("case", "limit"), [("cold", 0.6), ("change", 0.9), ("dependency", 0.4)])
def test_an_expectation_is_missed_above_its_ratio_and_met_at_it(case: str, limit: float) -> None:
    assert results(case, limit, 1.0).missed() == []
    (missed,) = results(case, limit + 0.01, 1.0).missed()
    assert missed.startswith(case)


def test_a_change_that_takes_more_beside_the_roll_out_misses_what_is_expected() -> None:
    made = results("change", 1.0, 4.0)
    made.samples["change"][OURS] = [
        Sample(2.0, {"receive": 0.3, "publish": more, "roll out": 1.6, "answer": 0.2})
        for more in (0.05, 0.06, 0.9)
    ]
    (missed,) = made.missed()
    assert missed == "change: 0.36 s on top of the roll-out, expected at most 0.35 s"


def test_a_server_that_holds_120_mb_misses_what_is_expected() -> None:
    made = results("change", 0.8, 1.0)
    made.memory = {"before the first push": 119.9, "after the last push": 120.0}
    assert made.missed() == ["server memory after the last push: 120 MB, expected under 120 MB"]


def grown(size: str, seconds: float, server: float) -> Growth:
    return Growth(
        size, {"first push": Sample(seconds, {}), "one-line change": Sample(seconds / 2, {})}, server, 50.0
    )


def test_a_server_whose_memory_grows_with_the_source_misses_what_is_expected() -> None:
    made = Results(
        growth=[grown("small", 2.0, 100.0), grown("middle", 3.0, 120.0), grown("large", 4.0, 120.1)]
    )
    (missed,) = made.missed()
    assert missed.startswith(
        "large: the server held 120 MB, expected at most 20 MB more than the 100 MB for small"
    )


def test_the_table_says_how_cost_grows_from_the_smallest_size() -> None:
    text = table(Results(growth=[grown("small", 2.0, 100.0), grown("large", 6.0, 103.0)]))
    assert "first push 6.00, one-line change 3.00" in text
    assert "from small to large: first push +4.00, one-line change +2.00 s, server +3 MB" in text


def test_a_source_of_a_size_is_the_same_each_time_and_has_its_bytes_and_files(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name / ".git" / "info").mkdir(parents=True)
        load(tmp_path / name, Size(1, 250))
        files = sorted((tmp_path / name / "weight").rglob("*.bin"))
        found.append([file.read_bytes() for file in files])
    assert found[0] == found[1]
    assert (len(found[0]), sum(map(len, found[0])), len(set(found[0]))) == (250, 1_000_000, 250)


def test_the_peak_of_a_process_is_seen_after_it_has_let_go_of_the_memory() -> None:
    program = "import sys; b = bytearray(80_000_000); del b; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        assert peak(child.pid) > 80
        forget_peak(child.pid)
        assert peak(child.pid) < 60
        assert memory(os.getpid()) > descendants_memory(os.getpid()) > 1
        child.communicate()


def test_memory_that_programs_share_counts_once() -> None:
    program = (
        "import os, sys\n"
        "b = os.urandom(40_000_000)\n"
        "[os.fork() for _ in range(2)]\n"
        "os.write(1, b'ready\\n')\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert [child.stdout.readline() for _ in range(4)] == [b"ready\n"] * 4
        assert 25 < descendants_memory(child.pid) < 100
        child.communicate()


def test_a_round_without_a_phase_counts_as_no_time_in_it() -> None:
    rounds = [Sample(3.0, {"build": 2.0, "roll out": 1.0}), Sample(1.0, {"roll out": 3.0})]
    assert phase_spreads(rounds) == {"build": Spread(1.0, 0.0, 2.0), "roll out": Spread(2.0, 1.0, 3.0)}


def test_the_table_has_both_sides_and_the_ratio() -> None:
    text = table(results("dependency", 1.0, 4.0))
    assert "plain      4.00 (4.00..4.00)      build 4.00 (4.00..4.00)" in text
    assert "gitreceive / plain: 0.25  (expected at most 0.40; of the quickest rounds: 0.25)" in text


def test_the_json_holds_every_round_with_its_lines() -> None:
    made = Results()
    made.add("cold", PLAIN, Sample(2.0, {"build": 2.0}))
    made.add("cold", OURS, Sample(1.0, {"build": 0.5}, [(0.1, "remote: -----> Python")]))
    case = made.as_json()["cases"]["cold"]
    assert case["ratio"] == 0.5
    assert case["sides"][OURS]["rounds"][0]["lines"] == [(0.1, "remote: -----> Python")]
    assert case["sides"][PLAIN]["phases"]["build"] == {"median": 2.0, "least": 2.0, "most": 2.0}


def test_a_change_is_one_line_and_a_dependency_is_required_and_imported() -> None:
    first = AppSource("1")
    second = first.changed("2")
    old, new = first.files(), second.files()
    assert [name for name in new if new[name] != old[name]] == ["app.py"]
    assert len(set(new["app.py"].splitlines()) - set(old["app.py"].splitlines())) == 1
    third = second.with_package(("tabulate==0.9.0", "tabulate"), "3").files()
    assert "tabulate==0.9.0\n" in third["requirements.txt"]
    assert "import tabulate\n" in third["app.py"]


def test_the_warm_up_shares_no_dependency_layer_with_what_is_measured() -> None:
    assert WarmUp("1").files()["requirements.txt"] != AppSource("1").files()["requirements.txt"]
    compile(WarmUp("1").files()["app.py"], "app.py", "exec")


def test_packages_that_have_run_out_are_an_error_that_says_so() -> None:
    taken = packages()
    with pytest.raises(ValueError, match="ask for fewer"):
        list(taken)


def test_the_plain_deployment_gets_the_probe_resources_and_strategy_of_ours() -> None:
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    container = {
        "name": "web",
        "image": "ours",
        "command": ["gunicorn"],
        "envFrom": [{"secretRef": {"name": "config-v1"}}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": probe,
        "resources": {"limits": {"memory": "512Mi"}},
    }
    pod = {"terminationGracePeriodSeconds": 35, "serviceAccountName": "app", "containers": [container]}
    like = {"spec": {"replicas": 1, "strategy": {"type": "RollingUpdate"}, "template": {"spec": pod}}}
    _, deployment, service = manifests("plain-shop", "plain:1", like)["items"]
    made = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["strategy"] == {"type": "RollingUpdate"}
    assert made["terminationGracePeriodSeconds"] == 35
    assert "serviceAccountName" not in made
    assert made["containers"] == [
        {
            "name": "web",
            "image": "plain:1",
            "env": [{"name": "PORT", "value": "8080"}],
            "ports": [{"containerPort": 8080}],
            "readinessProbe": probe,
            "resources": {"limits": {"memory": "512Mi"}},
        }
    ]
    assert service["spec"]["ports"][0]["targetPort"] == 8080
