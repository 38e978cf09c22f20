"""How the app is started, without npm in between: signals reach the program, and it starts sooner."""

import re
from dataclasses import dataclass
from pathlib import Path

from nodepack.manifest import Manifest

_FILES = ("server.js", "index.js", "main.js", "app.js", "index.mjs", "server.mjs")
_PLAIN = re.compile(r"[A-Za-z0-9_./@:=-]+(?:\s+[A-Za-z0-9_./@:=,-]+)*")


@dataclass(frozen=True)
class Start:
    """The command of ``web``, and why it is that."""

    command: tuple[str, ...]
    because: str


def find_start(app: Path, manifest: Manifest) -> Start | None:
    """``scripts.start``, else ``main``, else a file with a usual name; None where there is none of them."""
    script = manifest.scripts.get("start", "").strip()
    if script:
        return Start(_script(manifest, script), "scripts.start in package.json")
    if manifest.main and (app / manifest.main).is_file():
        return Start(("node", manifest.main), "main in package.json")
    name = next((name for name in _FILES if (app / name).is_file()), None)
    return Start(("node", name), f"{name} is there") if name else None


def programs_at_launch(app: Path, manifest: Manifest) -> set[str]:
    """The package managers that have to be in the image, because a process is started through them."""
    procfile = app / "Procfile"
    lines = procfile.read_text(encoding="utf-8", errors="replace") if procfile.is_file() else ""
    scripts = " ".join(manifest.scripts.get(name, "") for name in ("prestart", "start"))
    return _programs(f"{lines}\n{scripts}")


def programs_at_build(manifest: Manifest) -> set[str]:
    """The package managers that the app's scripts call."""
    return _programs("\n".join(manifest.scripts.values()))


def _programs(text: str) -> set[str]:
    called = {"npm": r"\bnp[mx]\b", "yarn": r"\byarn\b", "pnpm": r"\bpnp[mx]\b"}
    return {name for name, pattern in called.items() if re.search(pattern, text)}


def _script(manifest: Manifest, script: str) -> tuple[str, ...]:
    before = manifest.scripts.get("prestart", "").strip()
    if before:
        return ("bash", "-c", f"{before} && {script}")
    words = script.split()
    if _PLAIN.fullmatch(script) and "=" not in words[0]:
        return tuple(words)
    return ("bash", "-c", script)
