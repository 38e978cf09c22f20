"""The detect phase: the first group of the order that fits. Those of a group that were not asked yet run side by side."""

import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gitreceive.lifecycle import toml
from gitreceive.lifecycle.folder import Buildpack, Folder, Group, applies, not_run
from gitreceive.lifecycle.place import EXEC_ENV, IN_CONTAINER, Variables, environment, prepare_platform
from gitreceive.lifecycle.plan import Candidate, Entry, Option, parse_options, resolve
from gitreceive.lifecycle.target import described, fits

PASS, FAIL, ERROR = "pass", "fail", "error"

_FAIL_CODE = 100
_OUTPUT_LIMIT = 16 << 10


@dataclass(frozen=True)
class Verdict:
    """What one ``bin/detect`` said. ``output`` is its stdout and stderr."""

    id: str
    version: str
    verdict: str
    code: int
    output: str
    options: tuple[Option, ...] = (Option(),)

    @property
    def reason(self) -> str:
        """The last line of its output that is not empty."""
        return next((line.strip() for line in reversed(self.output.splitlines()) if line.strip()), "")


@dataclass(frozen=True)
class Detection:
    """``group`` is empty where no group fits. ``reasons`` says why, for each group of the order before the one that fits."""

    group: tuple[Buildpack, ...]
    entries: tuple[Entry, ...]
    verdicts: tuple[Verdict, ...]
    reasons: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """The Platform API's: 20 where no group fits, 21 where moreover a buildpack is broken."""
        if self.group:
            return 0
        return 21 if any(verdict.verdict == ERROR for verdict in self.verdicts) else 20

    def as_json(self) -> dict[str, Any]:
        return {
            "group": [{"id": b.id, "version": b.version} for b in self.group],
            "verdicts": [
                {k: v for k, v in asdict(verdict).items() if k != "options"} | {"reason": verdict.reason}
                for verdict in self.verdicts
            ],
            "reasons": list(self.reasons),
        }


def detect(folder: Folder, order: Sequence[Group], app: Path, platform: Path, env: Variables) -> Detection:
    """Run each group's ``bin/detect`` in ``app``, none twice, until a group fits. Raises FolderError."""
    verdicts: dict[str, Verdict] = {}
    reasons: list[str] = []
    for group in folder.expand(order):
        new = {b.name: b for b in map(folder.find, group) if b.name not in verdicts}
        verdicts |= _run_all(list(new.values()), app, platform, env)
        outcome = _try_group(folder, group, verdicts)
        if not isinstance(outcome, str):
            chosen, entries = outcome
            return Detection(chosen, entries, tuple(verdicts.values()), tuple(reasons))
        reasons.append(f"{' + '.join(member.id for member in group)}: {outcome}")
    return Detection((), (), tuple(verdicts.values()), tuple(reasons))


def detect_here(
    folder: Folder, order: Sequence[Group], app: Path, base: Mapping[str, str], env: Mapping[str, str]
) -> Detection:
    """The detect phase outside a build container, with the same environment: ``base`` gives PATH, ``env`` is the
    operator's. Those that a build would not ask are asked too, to tell why not. Nothing is written to ``app``. Raises
    FolderError.
    """
    with tempfile.TemporaryDirectory(prefix="platform-") as name:
        place = replace(IN_CONTAINER, platform=Path(name))
        prepare_platform(place, env, {}, "")
        values = environment(place, base, env, {"os": "linux"}, ca=False)
        found = detect(folder, order, app.resolve(), place.platform, values)
        asked = {(verdict.id, verdict.version) for verdict in found.verdicts}
        every = (b for group in folder.expand(order) for b in map(folder.find, group))
        others = {b.name: b for b in every if (b.id, b.version) not in asked}
        rest = _run_all(list(others.values()), app.resolve(), place.platform, values)
        return replace(found, verdicts=(*found.verdicts, *rest.values()))


def _try_group(
    folder: Folder, group: Group, verdicts: Mapping[str, Verdict]
) -> tuple[tuple[Buildpack, ...], tuple[Entry, ...]] | str:
    candidates: list[Candidate] = []
    for member in group:
        name = folder.find(member).name
        verdict = verdicts[name]
        if verdict.verdict == PASS:
            candidates.append(Candidate(name, member.optional, verdict.options))
        elif not member.optional:
            return f"{name} does not take it" if verdict.verdict == FAIL else f"{name} is broken"
    outcome = resolve(candidates)
    if isinstance(outcome, str):
        return outcome
    by_name = {b.name: b for b in map(folder.find, group)}
    return tuple(by_name[key] for key in outcome.keys), outcome.entries


def _run_all(
    buildpacks: Sequence[Buildpack], app: Path, platform: Path, env: Variables
) -> dict[str, Verdict]:
    verdicts: dict[str, Verdict] = {}

    def run(buildpack: Buildpack) -> None:
        unfit = _unfit(buildpack, env.given)
        if unfit:
            verdicts[buildpack.name] = _verdict(buildpack, FAIL, _FAIL_CODE, unfit)
        else:
            verdicts[buildpack.name] = _run(buildpack, app, platform, env.seen(buildpack.clear_env))

    threads = [threading.Thread(target=run, args=(buildpack,)) for buildpack in buildpacks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {buildpack.name: verdicts[buildpack.name] for buildpack in buildpacks}


def _unfit(buildpack: Buildpack, env: Mapping[str, str]) -> str:
    """Why it is not even asked; empty where it is."""
    if not fits(buildpack.targets, env):
        made_for = ", ".join(str(target) for target in buildpack.targets)
        return f"made for {made_for}, and this is {described(env)}"
    if not applies(buildpack.exec_env):
        return f"made for the execution environment {', '.join(buildpack.exec_env)}, and this is {EXEC_ENV}"
    return ""


def _run(buildpack: Buildpack, app: Path, platform: Path, env: Mapping[str, str]) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="detect-") as work:
        plan = Path(work, "plan.toml")
        plan.touch()
        values = {
            **env,
            "CNB_BUILDPACK_DIR": str(buildpack.path),
            "CNB_PLATFORM_DIR": str(platform),
            "CNB_BUILD_PLAN_PATH": str(plan),
        }
        program = buildpack.path / "bin" / "detect"
        with open(Path(work, "output"), "w+b") as output:
            try:
                code = subprocess.run(
                    [*buildpack.command("detect"), str(platform), str(plan)],
                    cwd=app,
                    env=values,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=False,
                ).returncode
            except OSError as error:
                return _verdict(buildpack, ERROR, 126, not_run(program, error))
            output.seek(0)
            text = output.read(_OUTPUT_LIMIT).decode(errors="replace")
        return _judge(buildpack, code, text, plan)


def _judge(buildpack: Buildpack, code: int, output: str, plan: Path) -> Verdict:
    if code == _FAIL_CODE:
        return _verdict(buildpack, FAIL, code, output)
    if code != 0:
        return _verdict(buildpack, ERROR, code, output)
    try:
        options = parse_options(toml.read(plan))
    except ValueError as error:
        return _verdict(buildpack, ERROR, code, f"{output}\nits build plan cannot be used: {error}")
    return Verdict(buildpack.id, buildpack.version, PASS, code, output, options)


def _verdict(buildpack: Buildpack, verdict: str, code: int, output: str) -> Verdict:
    return Verdict(buildpack.id, buildpack.version, verdict, code, output)
