"""Find out how the app is started, by reading its source and running none of it."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pythonpack.django import find_django

_FIRST = ("app", "main", "wsgi", "asgi", "server", "api", "run")
_SKIPPED = {
    "tests",
    "test",
    "docs",
    "node_modules",
    "venv",
    "env",
    "build",
    "dist",
    "migrations",
    "site-packages",
}
_SCRIPTS = ("main.py", "app.py", "server.py")
_LARGEST = 1 << 20  # bytes of a source file that is looked into
_DEEPEST = 3


@dataclass(frozen=True)
class Start:
    """How ``web`` is started, and why so."""

    command: tuple[str, ...]
    because: str
    warning: str = ""

    @property
    def server(self) -> str:
        """The program that serves, whichever way it is started."""
        words = self.command[-1].split() if self.command[0] == "bash" else self.command
        return next((word for word in words if word != "exec"), "")


def find_start(app: Path, has: Callable[[str], bool]) -> Start | None:
    """The default ``web`` process; ``has`` tells whether a program is installed. None when nothing is recognised."""
    django = find_django(app)
    if django:
        return _django(django.folder, django.project, has)
    for path in _sources(app):
        found = _application(path)
        if found:
            framework, name = found
            target = f"{_module(path.relative_to(app))}:{name}"
            return (_fastapi if framework == "FastAPI" else _flask)(target, path.relative_to(app), has)
    script = next((name for name in _SCRIPTS if (app / name).is_file()), None)
    return Start(("python", script), f"{script} is there") if script else None


def with_port(command: str) -> tuple[str, ...]:
    """A command whose arguments need $PORT. The shell is replaced by the program, so that signals reach it."""
    return ("bash", "-c", f"exec {command}")


def _django(folder: Path, project: str, has: Callable[[str], bool]) -> Start:
    because = f"{(folder / 'manage.py').as_posix()} with {project}.wsgi"
    where = "" if folder == Path() else folder.as_posix()
    if has("gunicorn"):
        chdir = ("--chdir", where) if where else ()
        return Start(("gunicorn", *chdir, f"{project}.wsgi"), because)
    manage = (folder / "manage.py").as_posix()
    return Start(
        with_port(f'python {manage} runserver --noreload "0.0.0.0:$PORT"'),
        because,
        "Django's development server is used: add gunicorn to the dependencies",
    )


def _fastapi(target: str, path: Path, has: Callable[[str], bool]) -> Start:
    because = f"FastAPI in {path.as_posix()}"
    warning = "" if has("uvicorn") else "uvicorn is not installed: add it to the dependencies"
    factory = "--factory " if target.endswith("()") else ""
    return Start(
        with_port(f'uvicorn {factory}{target.removesuffix("()")} --host 0.0.0.0 --port "$PORT"'),
        because,
        warning,
    )


def _flask(target: str, path: Path, has: Callable[[str], bool]) -> Start:
    because = f"Flask in {path.as_posix()}"
    if has("gunicorn"):
        return Start(("gunicorn", target), because)
    return Start(
        with_port(f"flask --app '{target}' run --host 0.0.0.0 --port \"$PORT\""),
        because,
        "Flask's development server is used: add gunicorn to the dependencies",
    )


def _sources(app: Path) -> Iterator[Path]:
    """Python files, likely names first, shallow before deep."""
    files = [path for path in _walk(app, 0) if path.stat().st_size <= _LARGEST]

    def order(path: Path) -> tuple[int, int, str]:
        place = _FIRST.index(path.stem) if path.stem in _FIRST else len(_FIRST)
        return len(path.relative_to(app).parts), place, path.as_posix()

    yield from sorted(files, key=order)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith((".", "test_")) or path.name in _SKIPPED or path.is_symlink():
            continue
        if path.is_dir() and depth < _DEEPEST - 1:
            yield from _walk(path, depth + 1)
        elif path.suffix == ".py" and path.is_file():
            yield path


def _application(path: Path) -> tuple[str, str] | None:
    """``("Flask", "app")`` for a module that makes an application at its top level or in a factory."""
    source = path.read_bytes()
    if b"Flask(" not in source and b"FastAPI(" not in source:
        return None
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None  # Python says so itself, with the line, when the app is started
    for node in tree.body:
        found = _assigned(node)
        if found:
            return found
    for node in tree.body:
        if (
            isinstance(node, ast.FunctionDef)
            and node.name in ("create_app", "make_app")
            and not _required(node)
        ):
            made = next((kind for inner in ast.walk(node) if (kind := _kind(inner))), None)
            if made:
                return made, f"{node.name}()"
    return None


def _assigned(node: ast.stmt) -> tuple[str, str] | None:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    kind = _kind(getattr(node, "value", None))
    name = next((target.id for target in targets if isinstance(target, ast.Name)), None)
    return (kind, name) if kind and name else None


def _kind(node: ast.AST | None) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    return name if name in ("Flask", "FastAPI") else None


def _required(function: ast.FunctionDef) -> bool:
    return len(function.args.args) > len(function.args.defaults)


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    parts = parts[1:] if parts[0] == "src" and len(parts) > 1 else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
