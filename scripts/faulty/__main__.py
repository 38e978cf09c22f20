"""scripts/faults: what is pushed, what is checked after each push, and what is printed."""

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.faulty.pushes import App, Outcome, Pushed
from tests.e2e.world import Server, running
from tests.faults.kinds import Faults
from tests.faults.ways import all_behind

_SYSTEMS = ("docker", "registry", "cluster")
_ENOUGH = 0.99
_EXAMPLES = """\
examples:
  scripts/faults                                                 20 pushes, 10 % of requests fail and 1 % of connections are reset
  scripts/faults --pushes 100 --errors 0.10 --resets 0.01 --seed 7 --expect
  scripts/faults --target kubernetes --pushes 20 --json faults.json

The server finds Docker, the registry and the cluster through proxies alone. An error is 500, 503 or 429 in place of an answer; a reset
comes before the request is seen, after it was done, or within the answer. After each push the app itself is asked for its version, past
the proxies, and what runs is compared with the digest of the release: an accepted push that is not live is a false success.
With one seed the same faults are drawn in the same order; which requests they meet depends on the machine.
"""


def main() -> int:
    asked = _arguments()
    faults = {
        name: Faults(asked.seed + place, asked.errors, asked.resets) for place, name in enumerate(_SYSTEMS)
    }
    with tempfile.TemporaryDirectory(prefix="gitreceive-faults-") as folder:
        outcomes, seconds = _push(asked, faults, Path(folder))
    report = _report(asked, faults, outcomes, seconds)
    _tell(report)
    if asked.json:
        Path(asked.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    missed = report["false_successes"] or report["success_rate"] < _ENOUGH or len(outcomes) < asked.pushes
    return 1 if asked.expect and missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/faults",
        description="Real pushes with Docker, the registry and the cluster behind proxies that fail them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pushes", type=int, default=20, metavar="N")
    parser.add_argument(
        "--apps", type=int, default=4, metavar="N", help="apps that are pushed to at once (4)"
    )
    parser.add_argument("--errors", type=float, default=0.10, metavar="PART", help="of requests (0.10)")
    parser.add_argument("--resets", type=float, default=0.01, metavar="PART", help="of requests (0.01)")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--target", choices=("docker", "kubernetes"), default="docker")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--expect", action="store_true", help="fail unless 99 %% succeed and none succeeds falsely"
    )
    return parser.parse_args()


def _push(asked: argparse.Namespace, faults: dict[str, Faults], folder: Path) -> tuple[list[Outcome], float]:
    with all_behind(faults, dict(os.environ), folder) as behind:
        server = Server(folder / "server", asked.target, behind)
        _make_stack(server, behind["GITRECEIVE_REGISTRY"])
        with running(server):
            began = time.monotonic()
            developer = server.developer("faults", admin=True)
            apps = [App(developer, asked.target, number, asked.seed) for number in range(asked.apps)]
            share = [asked.pushes // len(apps) + (n < asked.pushes % len(apps)) for n in range(len(apps))]
            outcomes = _at_once(apps, share)
            seconds = time.monotonic() - began
            for system in faults.values():
                system.errors = system.resets = 0.0  # what is to go may go
        return outcomes, seconds


def _at_once(apps: list[App], share: list[int]) -> list[Outcome]:
    """Interrupted, it waits for the pushes that are under way and begins no other; what was done counts."""
    stop, outcomes = threading.Event(), list[Outcome]()
    with ThreadPoolExecutor(len(apps)) as pool:
        going = [pool.submit(_each, app, n, stop, outcomes) for app, n in zip(apps, share, strict=True)]
        try:
            for each in going:
                each.result()
        except KeyboardInterrupt:
            say("interrupted; the pushes that are under way are waited for")
        finally:
            stop.set()
    return outcomes


def _each(app: App, pushes: int, stop: threading.Event, outcomes: list[Outcome]) -> None:
    for _ in range(pushes):
        if stop.is_set():
            return
        outcome = app.push()
        say(
            f"{app.name} {outcome.version}: {outcome.how} after {outcome.seconds:.1f} s {outcome.reason}".rstrip()
        )
        outcomes.append(outcome)


def _make_stack(server: Server, registry: str) -> None:
    """The images are those of GITRECEIVE_TEST_STACK, asked for through the proxy."""
    stack = json.loads(os.environ["GITRECEIVE_TEST_STACK"])[0]
    direct = os.environ.get("GITRECEIVE_REGISTRY") or "127.0.0.1:5000"
    images = [stack[kind].replace(direct, registry, 1) for kind in ("build", "run")]
    server.cli("stack", "create", stack["name"], "--build-image", images[0], "--run-image", images[1]).ok()


def _report(
    asked: argparse.Namespace, faults: dict[str, Faults], outcomes: list[Outcome], seconds: float
) -> dict[str, object]:
    def count(how: Pushed) -> int:
        return sum(outcome.how is how for outcome in outcomes)

    times = sorted(outcome.seconds for outcome in outcomes)
    return {
        "target": asked.target,
        "pushes": len(outcomes),
        "apps": asked.apps,
        "errors": asked.errors,
        "resets": asked.resets,
        "seed": asked.seed,
        "succeeded": count(Pushed.LIVE),
        "success_rate": count(Pushed.LIVE) / max(1, len(outcomes)),
        "false_successes": count(Pushed.FALSELY),
        "failed": [f"{o.app} {o.version}: {o.reason}" for o in outcomes if o.how is not Pushed.LIVE],
        "built": sum(outcome.built for outcome in outcomes),
        "seconds": round(seconds, 1),
        "seconds_of_a_push": {
            "median": round(times[len(times) // 2], 1) if times else None,
            "longest": round(times[-1], 1) if times else None,
        },
        "exchanges": {name: dict(sorted(system.counts.items())) for name, system in faults.items()},
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
    }


def _tell(report: dict[str, object]) -> None:
    rate = float(str(report["success_rate"]))
    say("")
    say(
        f"{report['succeeded']} of {report['pushes']} pushes to {report['apps']} apps ({report['target']}) succeeded: {rate:.1%}; "
        f"{report['false_successes']} falsely; {report['built']} with a build; {report['seconds']} s"
    )
    exchanges = report["exchanges"]
    assert isinstance(exchanges, dict)
    for name, counts in exchanges.items():
        if counts:
            say(f"  {name:9} " + ", ".join(f"{kind} {count}" for kind, count in counts.items()))
    failed = report["failed"]
    assert isinstance(failed, list)
    for line in failed:
        say(f"  not live: {line}")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
