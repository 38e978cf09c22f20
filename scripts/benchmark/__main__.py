"""scripts/bench: what is measured, in which order, and what is printed."""

import argparse
import json
import os
import platform
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.benchmark import sizes
from scripts.benchmark.figures import OURS, PLAIN, Results, table
from scripts.benchmark.ours import STACK, Ours
from scripts.benchmark.plain import Plain
from scripts.benchmark.source import AppSource, WarmUp, packages
from scripts.benchmark.watch import memory
from tests.e2e.world import run, running, wait_until

ROUNDS = {"cold": 2, "change": 5, "dependency": 3}
SIZES = "sizes"
_EXAMPLES = """\
examples:
  scripts/bench                                  cold, change and dependency; about 6 minutes
  scripts/bench change --rounds 10               one-line changes only (a cold deployment comes first, unmeasured)
  scripts/bench sizes                            how cost grows; about 4 minutes, and 4 GB of disk
  scripts/bench --json bench.json --expect       in CI: keep the figures, fail where one is missed

cold        an app that neither side has seen: no build cache, no pip cache; the base images are in the registry and on the node
change      one line of app.py is another
dependency  one package more in requirements.txt, which the app imports
sizes       gitreceive alone: sources of 5, 50 and 500 MB in 200 files, and of 5 MB in 20,000; each pushed first, and after a
            one-line change. The server's memory must not grow with them

Both sides get the same source, gunicorn settings, probe, resources and strategy, and take turns in going first. The time
runs from the start of `git push`, or of `docker build`, to the first answer of the new version through the app's NodePort.
Docker, registry and cluster are those of scripts/devcluster, or of DOCKER_HOST, GITRECEIVE_REGISTRY and KUBECONFIG.
"""


class Bench:
    """Both sides, and the source that they were given last."""

    def __init__(self, ours: Ours, plain: Plain, results: Results) -> None:
        self._ours = ours
        self._plain = plain
        self._results = results
        self._packages = packages()
        self._source = AppSource("0")
        self._turns = 0

    def measure(self, rounds: dict[str, int]) -> None:
        self._warm_up()
        for _ in range(rounds.get("cold", 0)):
            self._begin(AppSource("0").with_package(next(self._packages), _new_version()))
            self._round("cold")
        if "cold" not in rounds:
            say("an unmeasured cold deployment")
            self._begin(AppSource(_new_version()))
            self._plain.deploy(self._source)
            self._ours.deploy(self._source)
        for _ in range(rounds.get("change", 0)):
            self._source = self._source.changed(_new_version())
            self._round("change")
        for _ in range(rounds.get("dependency", 0)):
            self._source = self._source.with_package(next(self._packages), _new_version())
            self._round("dependency")

    def _warm_up(self) -> None:
        """An unrelated app first: the base images come to the node, and the server has pushed before, as a server has."""
        say("bringing the base images to the node (unmeasured)")
        source = WarmUp(_new_version())
        app = _new_name("warm")
        self._ours.begin(app)
        self._ours.deploy(source)
        self._like = _kubectl_json("--namespace", self._ours.namespace, "get", "deployment", "web")
        self._plain.begin(app, self._like)
        self._plain.deploy(source)

    def _begin(self, source: AppSource) -> None:
        app = _new_name("shop")
        self._source = source
        self._ours.begin(app)
        self._plain.begin(app, self._like)

    def _round(self, case: str) -> None:
        sides: list[tuple[str, Ours | Plain]] = [(PLAIN, self._plain), (OURS, self._ours)]
        self._turns += 1
        for name, side in sides if self._turns % 2 else reversed(sides):
            self._settle()
            sample = side.deploy(self._source)
            self._results.add(case, name, sample)
            phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in sample.phases.items())
            say(f"{case}, {name}: {sample.total:.2f} s ({phases})")

    def _settle(self) -> None:
        """Replaced pods end before the next is timed: their last seconds would be paid by whoever comes next."""
        spaces = {self._ours.namespace, self._plain.namespace}

        def settled() -> bool:
            pods = _kubectl_json("get", "pods", "--all-namespaces")["items"]
            return not any(
                "deletionTimestamp" in pod["metadata"]
                for pod in pods
                if pod["metadata"]["namespace"] in spaces
            )

        wait_until(settled, "replaced pods end", 90)
        time.sleep(0.5)


def main() -> int:
    arguments = _arguments()
    rounds = {case: arguments.rounds or ROUNDS[case] for case in arguments.cases if case != SIZES}
    stack, registry = _stack(), _required("GITRECEIVE_REGISTRY")
    results = Results(ground=_ground())
    with tempfile.TemporaryDirectory(prefix="gitreceive-bench-") as folder:
        try:
            if rounds:
                _both_sides(Path(folder), stack, registry, results, rounds)
            if SIZES in arguments.cases:
                _sizes(Path(folder), stack, results)
        except (AssertionError, RuntimeError, TimeoutError, ValueError) as error:
            print(f" !     {error}", file=sys.stderr)
            return 2
    print("\n" + table(results), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results.as_json(), indent=2) + "\n")
    missed = results.missed()
    for text in missed:
        print(f" !     {text}", file=sys.stderr)
    return 1 if missed and arguments.expect else 0


def _both_sides(
    folder: Path, stack: dict[str, str], registry: str, results: Results, rounds: dict[str, int]
) -> None:
    ours = Ours(folder / "ours", stack)
    env = dict(
        line.split("=", 1) for line in os.environ.get("GITRECEIVE_TEST_BUILD_ENV", "").splitlines() if line
    )
    plain = Plain(folder / "plain", registry, stack, env, os.environ.get("GITRECEIVE_TEST_CA_BUNDLE", ""))
    try:
        with running(ours.server) as server:
            assert server.process is not None
            time.sleep(5)
            results.memory["before the first push"] = memory(server.process.pid)
            Bench(ours, plain, results).measure(rounds)
            time.sleep(5)
            results.memory["after the last push"] = memory(server.process.pid)
    finally:
        plain.remove()


def _sizes(folder: Path, stack: dict[str, str], results: Results) -> None:
    ours = Ours(folder / SIZES, stack)
    with running(ours.server) as server:
        assert server.process is not None
        ours.begin(_new_name("warm"))
        ours.deploy(sizes.Weight(_new_version()))  # a server has pushed before
        results.growth += sizes.measure(ours, server.process.pid, _new_name, _new_version, say)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Seconds from git push to the first answer of the new version, beside docker build, docker push and kubectl.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "cases",
        nargs="*",
        metavar="CASE",
        type=_case,
        help=f"some of {', '.join((*ROUNDS, SIZES))}; default: {', '.join(ROUNDS)}",
    )
    parser.add_argument(
        "--rounds",
        type=_positive,
        metavar="N",
        help="rounds of each case; default: "
        + ", ".join(f"{case} {number}" for case, number in ROUNDS.items()),
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--expect", action="store_true", help="exit with 1 where an expectation is missed")
    arguments = parser.parse_args()
    arguments.cases = [case for case in (*ROUNDS, SIZES) if case in (arguments.cases or ROUNDS)]
    return arguments


def _case(text: str) -> str:
    if text not in {*ROUNDS, SIZES}:
        raise argparse.ArgumentTypeError(
            f"there is no case {text!r}; there are {', '.join((*ROUNDS, SIZES))}"
        )
    return text


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds: 1 or more")
    return int(text)


def _stack() -> dict[str, str]:
    stacks: list[dict[str, str]] = json.loads(_required("GITRECEIVE_TEST_STACK"))
    return next(entry for entry in stacks if entry["name"] == STACK)


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        sys.exit(f" !     {name} is not set: run scripts/bench, which sets it")
    return value


def _ground() -> dict[str, str]:
    """What the figures depend on, for whoever compares them later."""
    docker = run(["docker", "version", "--format", "{{.Server.Version}}"]).ok().out.strip()
    builder = "buildx" if run(["docker", "buildx", "version"]).code == 0 else "classic"
    return {
        "cpus": str(os.cpu_count()),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "docker": docker,
        "docker build": builder,
        "kubernetes": _kubectl_json("version")["serverVersion"]["gitVersion"],
    }


def _kubectl_json(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = run(["kubectl", *words, "-o", "json"]).ok().json()
    return found


def _new_name(start: str) -> str:
    return f"{start}-{secrets.token_hex(3)}"


def _new_version() -> str:
    return f"n{secrets.token_hex(4)}"


def say(text: str) -> None:
    print(f"       {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
