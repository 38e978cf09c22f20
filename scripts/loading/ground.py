"""What the scenarios stand on: a server, people with keys, a repository of sources, and pushes that tell when they were accepted."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.benchmark.watch import descendants_memory, forget_peak, peak
from tests.e2e.world import Developer, Said, Server, run

ZERO = "0" * 40
BUILT = {
    "server.py": "print('it is the Procfile that says what runs')\n",
    "Procfile": "web: python3 -m http.server $PORT\n",
    "app.json": '{"formation": {"web": {"quantity": 0}}}\n',
}  # a real build and a real release, of which no process runs
REFUSED = {"app.json": "no JSON\n"}  # received, queued and read, and no container is begun for it

_QUEUED = re.compile(r"Build (\d+) of ")
_LOOK = 0.1  # seconds between looks at what the server's programs hold
_SHARE = 5  # so many times as long as a look took is waited for the next: hundreds of programs are measured in no moment


@dataclass(frozen=True)
class Pushed:
    """One push. Seconds from its start: ``accepted``, to the line that says which build it is, None where none came; ``ended``, to git's
    end. ``left`` says that nobody waited for that.
    """

    user: str
    app: str
    commit: str
    code: int
    build: int | None
    accepted: float | None
    ended: float
    said: str
    left: bool = False

    @property
    def reason(self) -> str:
        """Git's status line, where the push was refused."""
        return next((line.strip() for line in self.said.splitlines() if "rejected]" in line), "")


@dataclass
class Ground:
    """A server that runs, and what it is loaded with."""

    server: Server
    _people: dict[str, Developer] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        assert self.server.process is not None
        return self.server.process.pid

    def people(self, number: int) -> list[Developer]:
        """So many, the same each time. They are administrators, so that each may push to every app."""
        names = [f"person-{one}" for one in range(number)]
        with ThreadPoolExecutor(4) as pool:
            missing = [name for name in names if name not in self._people]
            made = pool.map(lambda name: self.server.developer(name, admin=True), missing)
            self._people |= {developer.name: developer for developer in made}
        return [self._people[name] for name in names]

    def apps(self, owned: Iterable[tuple[Developer, str]]) -> None:
        with ThreadPoolExecutor(4) as pool:
            for said in pool.map(lambda pair: pair[0].ssh("apps", "create", pair[1]), owned):
                said.ok()

    def destroy(self, apps: Iterable[str]) -> None:
        with ThreadPoolExecutor(4) as pool:
            for said in pool.map(lambda app: self.server.cli("apps", "destroy", app, "--confirm", app), apps):
                said.ok()

    def url(self, app: str) -> str:
        return f"ssh://git@127.0.0.1:{self.server.ssh_port}/{app}"

    def sources(self, name: str) -> "Sources":
        return Sources(self.server.folder / f"sources-{name}.git")


@dataclass(frozen=True)
class Sources:
    """One bare repository, from which everybody pushes."""

    folder: Path

    def commits(self, files: Sequence[Mapping[str, str]], parent: str = "") -> list[str]:
        """A commit for each set of files, all on the same parent, or on none. They share a ref: a push reads all that its repository has."""
        if not self.folder.exists():
            self.git("init", "--quiet", "--bare", "--initial-branch=main").ok()
        marks = self.folder / "marks"
        stream = "".join(_as_import(number, one, parent) for number, one in enumerate(files, 1))
        self.git("fast-import", "--quiet", "--force", f"--export-marks={marks}", stdin=stream).ok()
        by_mark = dict(line.removeprefix(":").split() for line in marks.read_text().splitlines())
        return [by_mark[str(number)] for number in range(1, len(files) + 1)]

    def git(self, *words: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Said:
        return run(["git", f"--git-dir={self.folder}", *words], stdin=stdin, env=env, timeout=600)


def push(
    who: Developer, sources: Sources, commit: str, app: str, *, leave: bool = False, patience: float = 900
) -> Pushed:
    """Of a commit to the app's branch, as ``git push`` does it, with its whole log. ``leave``: Ctrl-C, once the build is queued."""
    url = f"ssh://git@127.0.0.1:{who.server.ssh_port}/{app}"
    command = ["git", f"--git-dir={sources.folder}", "push", url, f"{commit}:refs/heads/main"]
    began = time.monotonic()
    accepted, build, said = None, None, []
    with subprocess.Popen(
        command,
        env=who.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        clock = threading.Timer(patience, process.kill)
        clock.start()
        try:
            assert process.stderr is not None
            for line in process.stderr:
                said.append(line)
                if build is None and (found := _QUEUED.search(line)):
                    accepted, build = time.monotonic() - began, int(found[1])
                    if leave:
                        os.killpg(process.pid, signal.SIGINT)
        finally:
            clock.cancel()
    ended = time.monotonic() - began
    return Pushed(who.name, app, commit, process.returncode, build, accepted, ended, "".join(said), leave)


@contextmanager
def watched(pid: int) -> Iterator[dict[str, float]]:
    """Inside: ``before`` is the MB of RSS that the server held at first; at the end, ``server`` is the most that it held, and ``programs``
    the most that those that it started held together, where what they share counts once.
    """
    forget_peak(pid)
    most = {"before": peak(pid), "server": 0.0, "programs": 0.0}
    done = threading.Event()

    def look() -> None:
        took = 0.0
        while not done.wait(max(_LOOK, _SHARE * took)):
            began = time.monotonic()
            most["programs"] = max(most["programs"], descendants_memory(pid))
            took = time.monotonic() - began

    watching = threading.Thread(target=look, daemon=True)
    watching.start()
    try:
        yield most
    finally:
        done.set()
        watching.join()
        most["server"] = peak(pid)


def _as_import(number: int, files: Mapping[str, str], parent: str) -> str:
    """One commit (git-fast-import(1))."""
    head = (
        f"reset refs/heads/made\n\ncommit refs/heads/made\nmark :{number}\n"
        f"committer load <load@example.com> {1_700_000_000 + number} +0000\n{_data(f'change {number}')}"
    )
    start = f"from {parent}\n" if parent else ""
    return (
        head
        + start
        + "".join(f"M 100644 inline {name}\n{_data(text)}" for name, text in files.items())
        + "\n"
    )


def _data(text: str) -> str:
    return f"data {len(text.encode())}\n{text}\n"
