from pathlib import Path

import pytest
from pythonpack.django import find_django
from pythonpack.frameworks import Start, find_start

FLASK = "from flask import Flask\n{} = Flask(__name__)\n"
MANAGE = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"


def _write(app: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return app


def _start(app: Path, *programs: str) -> Start:
    start = find_start(app, lambda name: name in programs)
    assert start is not None
    return start


@pytest.mark.parametrize(
    ("files", "target"),
    [
        ({"app.py": FLASK.format("app")}, "app:app"),
        ({"zoo.py": FLASK.format("application")}, "zoo:application"),
        ({"web/__init__.py": FLASK.format("app")}, "web:app"),
        ({"src/web/site.py": FLASK.format("app")}, "web.site:app"),
        ({"app.py": "import flask\napp: flask.Flask = flask.Flask('x')\n"}, "app:app"),
        (
            {"app.py": "from flask import Flask\ndef create_app(x=1):\n    return Flask('x')\n"},
            "app:create_app()",
        ),
        ({"lib.py": FLASK.format("a"), "main.py": FLASK.format("b")}, "main:b"),
        ({"tests/app.py": FLASK.format("a"), "deep/er/api.py": FLASK.format("b")}, "deep.er.api:b"),
    ],
)
def test_a_flask_app_is_found_where_it_is_made(tmp_path: Path, files: dict[str, str], target: str) -> None:
    assert _start(_write(tmp_path, files), "gunicorn").command == ("gunicorn", target)


def test_flask_without_gunicorn_starts_with_a_warning(tmp_path: Path) -> None:
    start = _start(_write(tmp_path, {"app.py": FLASK.format("app")}))
    assert start.command == ("bash", "-c", "exec flask --app 'app:app' run --host 0.0.0.0 --port \"$PORT\"")
    assert "add gunicorn" in start.warning


def test_fastapi_starts_with_uvicorn_on_the_port_that_is_given(tmp_path: Path) -> None:
    app = _write(tmp_path, {"main.py": "from fastapi import FastAPI\napp = FastAPI()\n"})
    start = _start(app, "uvicorn")
    assert start.command[:2] == ("bash", "-c")
    assert start.command[2].startswith('exec uvicorn main:app --host 0.0.0.0 --port "$PORT"')
    assert start.server == "uvicorn"
    assert not start.warning


def test_an_app_that_is_only_mentioned_is_not_taken(tmp_path: Path) -> None:
    app = _write(tmp_path, {"app.py": '"""app = Flask(__name__)"""\n# app = Flask(__name__)\n'})
    assert _start(app, "gunicorn").command == ("python", "app.py")


def test_a_factory_with_required_arguments_is_not_called(tmp_path: Path) -> None:
    app = _write(tmp_path, {"web.py": "def create_app(config):\n    return Flask('x')\n"})
    assert find_start(app, lambda _: True) is None


def test_a_source_that_does_not_parse_is_passed_over(tmp_path: Path) -> None:
    app = _write(tmp_path, {"app.py": "app = Flask(\n", "web.py": FLASK.format("site")})
    assert _start(app, "gunicorn").command == ("gunicorn", "web:site")


@pytest.mark.parametrize(
    ("folder", "command"),
    [("", ("gunicorn", "shop.wsgi")), ("back/", ("gunicorn", "--chdir", "back", "shop.wsgi"))],
)
def test_django_is_found_by_manage_py_and_its_settings(
    tmp_path: Path, folder: str, command: tuple[str, ...]
) -> None:
    app = _write(
        tmp_path, {f"{folder}manage.py": MANAGE, f"{folder}shop/wsgi.py": "", f"{folder}other/wsgi.py": ""}
    )
    assert _start(app, "gunicorn").command == command


def test_django_settings_in_a_package_lead_to_the_project_above(tmp_path: Path) -> None:
    manage = MANAGE.replace("shop.settings", "shop.settings.production")
    found = find_django(
        _write(tmp_path, {"manage.py": manage, "shop/wsgi.py": "", "shop/settings/production.py": ""})
    )
    assert found is not None
    assert found.project == "shop"


def test_a_main_py_is_the_last_resort_and_nothing_is_nothing(tmp_path: Path) -> None:
    assert find_start(tmp_path, lambda _: True) is None
    assert _start(_write(tmp_path, {"main.py": "print()\n"})).command == ("python", "main.py")
