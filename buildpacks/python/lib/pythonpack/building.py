"""Build a Python app: interpreter, dependencies, static files, start command."""

import re
from collections.abc import Mapping
from pathlib import Path

from pythonpack.cnb import Context, Process, Refusal, say
from pythonpack.concurrency import follow_memory
from pythonpack.detection import LOCKS, dependencies
from pythonpack.django import collect_static, find_django
from pythonpack.frameworks import Start, find_start
from pythonpack.installers import installer_env
from pythonpack.installing import Installation, Tools, find_uv, install
from pythonpack.runtime import choose_python

# files that, when they appear or change, choose another Python, another manager or an error
_DECIDING = (
    *LOCKS,
    "pyproject.toml",
    ".python-version",
    "runtime.txt",
    "Pipfile",
    "setup.py",
    "*/pyvenv.cfg",
    "Procfile",
)


def make(context: Context) -> None:
    """The whole build. Raises Refusal."""
    chosen = dependencies(context.app)
    env = installer_env(context)
    uv = find_uv(env)
    python = choose_python(context, chosen, uv, env)
    installation = install(context, chosen, Tools(python, uv, env))
    django = _installed(installation.layer.path, "django")
    if django:
        _static_files(context, installation)
    procfile = _names_web(context.app)
    start = None if procfile else find_start(context.app, installation.has)
    if not procfile:
        _announce(start)
    context.write_launch([Process("web", start.command, default=True)] if start else [])
    _set_launch_env(installation, start)
    # Django's settings say what becomes of the static files, and they are a program
    everything = django or installation.declared.local
    # without a Procfile the start command follows from the source as well
    inputs = [*_DECIDING, *installation.declared.files, *([] if procfile else ["**/*.py"])]
    context.write_inputs(["**"] if everything else inputs)


def _static_files(context: Context, installation: Installation) -> None:
    django = find_django(context.app)
    python = installation.layer.path / "bin" / "python"
    if django is not None:
        collect_static(context, django, python, _run_env(context.env, installation.layer.path))


def _run_env(env: Mapping[str, str], venv: Path) -> dict[str, str]:
    return {**env, "VIRTUAL_ENV": str(venv), "PATH": f"{venv / 'bin'}:{env.get('PATH', '/usr/bin:/bin')}"}


def _installed(venv: Path, package: str) -> bool:
    return any(venv.glob(f"lib/python*/site-packages/{package}/__init__.py"))


def _names_web(app: Path) -> bool:
    """Whether a Procfile says how ``web`` starts; the buildpack that reads it checks it."""
    path = app / "Procfile"
    return path.is_file() and bool(re.search(rb"^web\s*:", path.read_bytes(), re.MULTILINE))


def _announce(start: Start | None) -> None:
    if start is None:
        if not Path("Procfile").is_file():
            raise Refusal(
                "no start command was found: no Django, Flask or FastAPI app, no main.py, app.py or server.py",
                "add a Procfile with a line such as: web: python serve.py",
            )
        return
    say(
        f"Process web: {start.command[-1] if start.command[0] == 'bash' else ' '.join(start.command)} ({start.because})"
    )
    if start.warning:
        say(f"warning: {start.warning}")


def _set_launch_env(installation: Installation, start: Start | None) -> None:
    # an event loop serves many requests at once, and a second worker of uvicorn doubles memory and boot time
    loop = start is not None and start.server == "uvicorn"
    follow_memory(installation.layer.path, megabytes=512 if loop else 256, without_limit=1 if loop else 2)
    # gunicorn's heartbeat on a disk-backed /tmp can block its workers
    installation.layer.set_env({"GUNICORN_CMD_ARGS.default": "--worker-tmp-dir /dev/shm"}, when="launch")
