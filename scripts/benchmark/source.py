"""The app that is deployed, the same for both sides: the Flask sample with a version, and packages added to it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.e2e.world import SAMPLES

COMMAND = ("gunicorn", "--workers", "2", "--worker-tmp-dir", "/dev/shm", "app:app")  # noqa: S108  # not a file

# (requirement, module): what rounds add, one each. Small and pure, so that the index's speed matters little.
_PACKAGES = (
    ("tabulate==0.9.0", "tabulate"),
    ("humanize==4.9.0", "humanize"),
    ("cachetools==5.3.3", "cachetools"),
    ("attrs==23.2.0", "attr"),
    ("packaging==24.0", "packaging"),
    ("python-slugify==8.0.4", "slugify"),
    ("markdown==3.6", "markdown"),
    ("pytz==2024.1", "pytz"),
    ("pygments==2.18.0", "pygments"),
    ("more-itertools==10.2.0", "more_itertools"),
    ("python-dateutil==2.9.0", "dateutil"),
    ("jsonpointer==2.4", "jsonpointer"),
)
_LIBRARY_ONLY = """\
VERSION = "{version}"


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"version {{VERSION}}".encode()]
"""


@dataclass(frozen=True)
class AppSource:
    """``version`` is in the app's answer. ``packages`` are installed and imported, so an app without them does not start."""

    version: str
    packages: tuple[tuple[str, str], ...] = ()

    @property
    def answer(self) -> str:
        return f"version {self.version}"

    def changed(self, version: str) -> "AppSource":
        return replace(self, version=version)

    def with_package(self, package: tuple[str, str], version: str) -> "AppSource":
        return replace(self, version=version, packages=(*self.packages, package))

    def files(self) -> dict[str, str]:
        sample = SAMPLES / "flask"
        text = (sample / "app.py").read_text()
        if 'VERSION = "1"' not in text or "import time\n" not in text:
            raise ValueError(f"{sample / 'app.py'} has no VERSION, or no line to put an import after")
        imports = "".join(f"import {module}\n" for _, module in self.packages)
        text = text.replace('VERSION = "1"', f'VERSION = "{self.version}"')
        requirements = (sample / "requirements.txt").read_text()
        return {
            "app.py": text.replace("import time\n", f"import time\n{imports}", 1),
            "requirements.txt": requirements + "".join(f"{line}\n" for line, _ in self.packages),
            "Procfile": f"web: {' '.join(COMMAND)}\n",
        }


@dataclass(frozen=True)
class WarmUp(AppSource):
    """An app that shares no dependency layer with the one that is measured; it brings the stack to the node."""

    def files(self) -> dict[str, str]:
        return {
            "app.py": _LIBRARY_ONLY.format(version=self.version),
            "requirements.txt": "gunicorn==23.*\n",
            "Procfile": f"web: {' '.join(COMMAND)}\n",
        }


def packages() -> Iterator[tuple[str, str]]:
    """Each once. Layers are reproducible, so a second cold app with equal packages would find its layer on the node."""
    yield from _PACKAGES
    raise ValueError(
        f"there are packages for {len(_PACKAGES)} rounds of cold and dependency together: ask for fewer"
    )
