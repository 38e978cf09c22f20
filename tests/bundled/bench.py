"""An app, its layers, and a buildpack's two programs, run on them as a lifecycle runs them."""

import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BUILDPACKS = ROOT / "buildpacks"
APPS = ROOT / "tests" / "apps"


@dataclass(frozen=True)
class Outcome:
    status: int
    output: str


@dataclass(frozen=True)
class Bench:
    """An app's folder, a layers folder that stays from build to build, and an index that is a folder of wheels."""

    folder: Path

    @property
    def app(self) -> Path:
        return self.folder / "app"

    @property
    def layers(self) -> Path:
        return self.folder / "layers"

    def detect(self, name: str) -> Outcome:
        return self._run(name, "detect", [self.folder / "platform", self.folder / "plan"])

    def build(self, name: str, **env: str) -> Outcome:
        self.layers.mkdir(exist_ok=True)
        return self._run(name, "build", [self.layers, self.folder / "platform", self.folder / "plan"], **env)

    def restore(self) -> None:
        """What a lifecycle leaves of a cached layer: its content, and its TOML without types."""
        for path in self.layers.glob("*.toml"):
            if path.name in ("launch.toml", "store.toml") or not self.toml(path.stem)["types"]["cache"]:
                path.unlink()
            else:
                lines = path.read_text().splitlines(keepends=True)
                start = next((i for i, line in enumerate(lines) if line.startswith("[metadata")), len(lines))
                path.write_text("".join(lines[start:]))

    def toml(self, name: str) -> dict[str, Any]:
        return tomllib.loads((self.layers / f"{name}.toml").read_text())

    def processes(self) -> dict[str, list[str]]:
        return {p["type"]: p["command"] for p in self.toml("launch").get("processes", [])}

    def inputs(self) -> list[str]:
        return list(self.toml("store")["metadata"]["gitreceive"]["inputs"])

    def _run(self, name: str, program: str, arguments: list[Path], **env: str) -> Outcome:
        wheels = str(self.folder / "wheels")
        given = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",  # where the tests' own uv is
            "HOME": str(self.folder / "home"),
            "CNB_BUILDPACK_DIR": str(BUILDPACKS / name),
            "UV_NO_CONFIG": "1",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": wheels,
            "PIP_CONFIG_FILE": os.devnull,
        }
        done = subprocess.run(
            [BUILDPACKS / name / "bin" / program, *arguments],
            cwd=self.app,
            env={**given, **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.stderr == ""
        return Outcome(done.returncode, done.stdout)
