"""Django: where its project is, and its static files."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pythonpack.cnb import Context, Refusal, run, say

_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE['"]\s*,\s*['"]([\w.]+)['"]""")
_STATIC_ROOT = re.compile(r"^\s*STATIC_ROOT\s*[:=]", re.MULTILINE)
_DEPTHS = ("manage.py", "*/manage.py", "*/*/manage.py")
_OFF = {"1", "true", "yes", "on"}


@dataclass(frozen=True)
class Django:
    """``folder`` holds manage.py, relative to the app; ``project`` is the package that has ``wsgi.py``."""

    folder: Path
    project: str


def find_django(app: Path) -> Django | None:
    """The shallowest manage.py, at most three levels deep, that has a ``wsgi.py`` beside its settings."""
    for pattern in _DEPTHS:
        for manage in sorted(app.glob(pattern)):
            project = _project(manage)
            if project:
                return Django(manage.parent.relative_to(app), project)
    return None


def collect_static(context: Context, django: Django, python: Path, env: Mapping[str, str]) -> None:
    """Run ``collectstatic`` where the settings have a STATIC_ROOT.

    Raises Refusal when it fails: without its static files the release would answer, but look broken.
    """
    if context.env.get("DISABLE_COLLECTSTATIC", "").lower() in _OFF:
        say("Leaving out collectstatic (DISABLE_COLLECTSTATIC is set)")
        return
    if not _has_static_root(context.app / django.folder):
        say("Leaving out collectstatic (no STATIC_ROOT in the settings)")
        return
    say("Running manage.py collectstatic --noinput")
    manage = (django.folder / "manage.py").as_posix()
    status, lines = run(
        [str(python), manage, "collectstatic", "--noinput"],
        cwd=context.app,
        env={**env, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},
    )
    if status:
        raise Refusal("manage.py collectstatic failed", _hint(lines))


def _project(manage: Path) -> str | None:
    try:
        match = _SETTINGS.search(manage.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return None
    package = match[1].split(".")[:-1] if match else []
    while package:  # proj.settings, and proj.settings.production as well
        if (manage.parent.joinpath(*package) / "wsgi.py").is_file():
            return ".".join(package)
        package = package[:-1]
    others = sorted(manage.parent.glob("*/wsgi.py"))
    return others[0].parent.name if match and others else None


def _has_static_root(folder: Path) -> bool:
    settings = {
        *folder.glob("*settings*.py"),
        *folder.glob("*/*settings*.py"),
        *folder.glob("*/settings/*.py"),
    }
    settings |= {
        *folder.glob("*/*/settings/*.py"),
        *folder.glob("*/*/settings.py"),
        *folder.glob("settings/*.py"),
    }
    return any(_STATIC_ROOT.search(path.read_text(encoding="utf-8", errors="replace")) for path in settings)


def _hint(lines: list[str]) -> str:
    text = "\n".join(lines)
    missing = re.search(
        r"KeyError: '(\w+)'|[Ss]et the (\w+) environment variable|(SECRET_KEY) setting must not be empty",
        text,
    )
    if missing:
        name = next(group for group in missing.groups() if group)
        return (
            f"{name} is not set while the app is built: config belongs to releases, not images.\n"
            f"Give the settings a default for {name} that is used only then, or set DISABLE_COLLECTSTATIC=1 in build.env"
        )
    return "Run it on your own machine, or set DISABLE_COLLECTSTATIC=1 in build.env to leave it out"
