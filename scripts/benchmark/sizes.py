"""How the cost of a push grows with its source: in bytes, and in files. gitreceive's side alone; the server's memory with it."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.benchmark.figures import Growth, Sample
from scripts.benchmark.ours import Ours
from scripts.benchmark.source import AppSource
from scripts.benchmark.watch import descendants_memory, forget_peak, peak

_LOOK = 0.1  # seconds between looks at what the server's programs hold
_SERVE = """\
import http.server
import os


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"version {version}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Answer).serve_forever()
"""


@dataclass(frozen=True)
class Size:
    """A source of so many 10⁶ bytes in so many files, none of which can be compressed."""

    megabytes: int
    files: int

    def __str__(self) -> str:
        return f"{self.megabytes} MB in {self.files:,} files"


SIZES = (Size(5, 200), Size(50, 200), Size(500, 200), Size(5, 20_000))


@dataclass(frozen=True)
class Weight(AppSource):
    """An app of the standard library alone, beside the files that are the weight. It needs no build but its Procfile's."""

    def files(self) -> dict[str, str]:
        return {"serve.py": _SERVE.format(version=self.version), "Procfile": "web: python3 serve.py\n"}


def measure(
    ours: Ours,
    pid: int,
    new_name: Callable[[str], str],
    version: Callable[[], str],
    say: Callable[[str], None],
) -> Iterator[Growth]:
    """Each size in turn: the first push, and one after a one-line change."""
    for size in SIZES:
        ours.begin(new_name("size"))
        load(ours.folder, size)
        source = Weight(version())
        samples: dict[str, Sample] = {}
        with _watched(pid) as most:
            for case in ("first push", "one-line change"):
                samples[case] = ours.deploy(source)
                source = replace(source, version=version())
                phases = ", ".join(f"{name} {seconds:.2f}" for name, seconds in samples[case].phases.items())
                say(f"{size}, {case}: {samples[case].total:.2f} s ({phases})")
        yield Growth(str(size), samples, most["server"], most["programs"])


def load(folder: Path, size: Size) -> None:
    """Put the files there: the same bytes each time, in folders of a hundred."""
    noise = random.Random(f"{size}")  # noqa: S311  not for secrets
    each = size.megabytes * 1_000_000 // size.files
    for number in range(size.files):
        path = folder / "weight" / f"{number // 100:03}" / f"{number:05}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise.randbytes(each))
    # the client would seek deltas among them for minutes, and find none
    (folder / ".git" / "info" / "attributes").write_text("weight/** -delta\n")


@contextmanager
def _watched(pid: int) -> Iterator[dict[str, float]]:
    """The most MB of RSS that the server held while inside, and the most that the programs it started held together; known at the end."""
    most, done = {"server": 0.0, "programs": 0.0}, threading.Event()

    def look() -> None:
        while not done.wait(_LOOK):
            most["programs"] = max(most["programs"], descendants_memory(pid))

    forget_peak(pid)
    watching = threading.Thread(target=look, daemon=True)
    watching.start()
    try:
        yield most
    finally:
        done.set()
        watching.join()
        most["server"] = peak(pid)
