"""``bin/detect`` and ``bin/build``, run as a lifecycle runs them. Packages come from a folder; nothing is fetched."""

import base64
import hashlib
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.bundled.bench import APPS, Bench, Outcome


def _wheel(bench: Bench, name: str, version: str) -> None:
    """A package of one module and one program, as small as a wheel can be (PEP 427)."""
    folder = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\ndef main():\n    print(VERSION)\n",
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{folder}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    record = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(text)}")
    files[f"{folder}/RECORD"] = "\n".join([*record, f"{folder}/RECORD,,", ""])
    with zipfile.ZipFile(bench.folder / "wheels" / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


class _Index(BaseHTTPRequestHandler):
    """A simple index (PEP 503) over a folder of wheels, for those who have its credentials."""

    wheels: Path
    credentials: str

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(self.credentials.encode()).decode()
        if self.credentials and self.headers.get("Authorization") != expected:
            self._answer(401, b"")
        elif self.path.endswith("/"):
            names = [p.name for p in self.wheels.iterdir() if p.name.startswith(self.path.strip("/") + "-")]
            self._answer(
                200, "".join(f'<a href="/files/{n}#sha256={self._digest(n)}">{n}</a>' for n in names).encode()
            )
        else:
            self._answer(200, (self.wheels / Path(self.path).name).read_bytes())

    def do_HEAD(self) -> None:
        self.do_GET()

    def _digest(self, name: str) -> str:
        return hashlib.sha256((self.wheels / name).read_bytes()).hexdigest()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/zip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@contextmanager
def _private_index(folder: Path, secret: str) -> Iterator[str]:
    class Handler(_Index):
        wheels = folder
        credentials = secret

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _installed(bench: Bench) -> set[str]:
    return {path.name for path in bench.layers.glob("dependencies/lib/python*/site-packages/*.py")} - {
        "_virtualenv.py"
    }


def _python_app(bench: Bench, requirements: str) -> None:
    (bench.app / "requirements.txt").write_text(requirements)
    (bench.app / "main.py").write_text("print('hello')\n")


def test_python_installs_what_is_declared_into_a_layer_of_its_own(bench: Bench) -> None:
    _wheel(bench, "alpha", "1.0")
    _python_app(bench, "alpha\n")
    assert bench.detect("python") == Outcome(0, "requirements.txt\n")
    built = bench.build("python", SSL_CERT_FILE="")
    assert built.status == 0, built.output
    assert _installed(bench) == {"alpha.py"}
    assert bench.toml("dependencies")["types"] == {"launch": True, "build": True, "cache": True}
    assert bench.toml("cache")["types"] == {"launch": False, "build": False, "cache": True}
    assert bench.processes() == {"web": ["python", "main.py"]}
    program = subprocess.run(
        [bench.layers / "dependencies/bin/alpha"], capture_output=True, text=True, check=True
    )
    assert program.stdout == "1.0\n"


def test_python_does_the_same_with_pip_where_there_is_no_uv(bench: Bench) -> None:
    _wheel(bench, "alpha", "1.0")
    _wheel(bench, "beta", "1.0")
    _python_app(bench, "alpha\nbeta\n")
    built = bench.build("python", PATH="/usr/bin:/bin")
    assert built.status == 0, built.output
    assert "using pip" in built.output
    assert {"alpha.py", "beta.py"} <= _installed(bench)
    bench.restore()
    _python_app(bench, "beta\n")
    assert (
        "Installing everything anew: the declared packages changed"
        in bench.build("python", PATH="/usr/bin:/bin").output
    )
    assert "alpha.py" not in _installed(bench)


def test_python_leaves_the_layer_alone_while_nothing_changed(bench: Bench) -> None:
    _wheel(bench, "alpha", "1.0")
    _python_app(bench, "alpha\n")
    bench.build("python")
    module = next(bench.layers.glob("dependencies/lib/python*/site-packages/alpha.py"))
    before = module.stat()
    bench.restore()
    built = bench.build("python")
    assert built.status == 0
    assert "Using the packages of the last build" in built.output
    assert module.stat() == before
    assert bench.toml("dependencies")["types"]["launch"]


def test_python_removes_a_package_that_is_no_longer_declared(bench: Bench) -> None:
    for name in ("alpha", "beta"):
        _wheel(bench, name, "1.0")
    _python_app(bench, "alpha\nbeta\n")
    bench.build("python")
    assert _installed(bench) == {"alpha.py", "beta.py"}
    bench.restore()
    _python_app(bench, "beta\n")
    assert bench.build("python").status == 0
    assert _installed(bench) == {"beta.py"}


def test_python_does_not_trust_a_layer_that_a_failed_build_left(bench: Bench) -> None:
    _wheel(bench, "alpha", "1.0")
    _python_app(bench, "alpha\n")
    bench.build("python")
    bench.restore()
    _python_app(bench, "alpha\nnosuch==1\n")
    failed = bench.build("python")
    assert failed.status == 1
    assert "error: requirements.txt could not be installed" in failed.output
    assert "nosuch" in failed.output
    _python_app(bench, "alpha\n")
    built = bench.build("python")
    assert built.status == 0
    assert "Using the packages of the last build" not in built.output


def test_python_compiles_what_is_installed_so_that_a_fixed_time_does_not_make_it_stale(bench: Bench) -> None:
    _wheel(bench, "alpha", "1.0")
    _python_app(bench, "alpha\n")
    bench.build("python")
    compiled = next(bench.layers.glob("dependencies/lib/python*/site-packages/__pycache__/alpha.*.pyc"))
    assert compiled.read_bytes()[4:8] == b"\x01\0\0\0"  # unchecked hash, PEP 552
    bench.restore()
    _wheel(bench, "alpha", "2.0")
    _python_app(bench, "alpha==2.0\n")
    bench.build("python")
    program = subprocess.run(
        [bench.layers / "dependencies/bin/alpha"], capture_output=True, text=True, check=True
    )
    assert program.stdout == "2.0\n"


def test_python_says_what_the_stack_offers_where_another_version_is_asked_for(bench: Bench) -> None:
    _python_app(bench, "")
    (bench.app / ".python-version").write_text("3.99\n")
    built = bench.build("python")
    assert built.status == 1
    assert "error: .python-version asks for Python 3.99, and this stack has 3." in built.output
    assert "hint: ask for 3." in built.output


def test_python_depends_on_its_requirements_alone_where_a_procfile_names_web(bench: Bench) -> None:
    _wheel(bench, "alpha", "1.0")
    _python_app(bench, "alpha\n")
    bench.build("python")
    assert "**/*.py" in bench.inputs()
    (bench.app / "Procfile").write_text("web: python main.py\n")
    bench.build("python")
    assert "requirements.txt" in bench.inputs()
    assert not any(pattern.startswith("**") for pattern in bench.inputs())
    assert bench.processes() == {}


def test_python_uses_the_credentials_of_a_secret_and_keeps_them_out_of_layers_and_output(
    bench: Bench,
) -> None:
    _wheel(bench, "alpha", "1.0")
    _python_app(bench, "alpha\n")
    (bench.folder / "platform" / "secrets").mkdir()
    with _private_index(bench.folder / "wheels", "user:canary-3f9a") as address:
        secret = f"[global]\nindex-url = http://user:canary-3f9a@{address}/\n"
        (bench.folder / "platform" / "secrets" / "pip.conf").write_text(secret)
        built = bench.build("python", PIP_NO_INDEX="")
    assert built.status == 0, built.output
    assert _installed(bench) == {"alpha.py"}
    _python_app(bench, "alpha\nbeta\n")
    failed = bench.build("python", PIP_NO_INDEX="")
    assert "the package index was not reached" in failed.output
    for output in (built.output, failed.output):
        assert "canary-3f9a" not in output
    files = [path for path in bench.layers.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    assert not [path for path in files if b"canary-3f9a" in path.read_bytes()]


def test_a_lock_that_was_made_with_another_index_is_installed_from_the_one_that_is_set(bench: Bench) -> None:
    _wheel(bench, "alpha", "1.0")
    _wheel(bench, "alpha", "2.0")
    project = (
        '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["alpha<2"]\n'
    )
    (bench.app / "pyproject.toml").write_text(project)
    (bench.app / "main.py").write_text("")
    with _private_index(bench.folder / "wheels", "") as address:
        env = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "UV_DEFAULT_INDEX": f"http://{address}/",
        }
        subprocess.run(["uv", "lock", "--quiet", "--no-cache"], cwd=bench.app, env=env, check=True)
    with _private_index(bench.folder / "wheels", "") as address:
        built = bench.build("python", UV_DEFAULT_INDEX=f"http://{address}/", PIP_NO_INDEX="")
        assert built.status == 0, built.output
        assert "uv.lock was made with another index" in built.output
    assert _installed(bench) == {"alpha.py"}
    module = next(bench.layers.glob("dependencies/lib/python*/site-packages/alpha.py"))
    assert "1.0" in module.read_text()


def _lock_with_pipenv(bench: Bench, *names: str, digest: str = "") -> None:
    """What `pipenv lock` writes for a Pipfile without a source, of wheels that the bench has."""
    pins = {}
    for name in names:
        wheel = bench.folder / "wheels" / f"{name}-1.0-py3-none-any.whl"
        pins[name] = {
            "version": "==1.0",
            "hashes": [f"sha256:{digest or hashlib.sha256(wheel.read_bytes()).hexdigest()}"],
        }
    pins["colours"] = {"version": "==9", "hashes": ["sha256:00"], "markers": "sys_platform == 'win32'"}
    lock = {"_meta": {"hash": {"sha256": "0"}}, "default": pins, "develop": {"nosuch": {"version": "==1"}}}
    (bench.app / "Pipfile.lock").write_text(json.dumps(lock))
    (bench.app / "main.py").write_text("")


@pytest.mark.parametrize("path", ["uv", "pip"])
def test_pipenvs_lock_is_installed_as_it_is_pinned_and_without_development_packages(
    bench: Bench, path: str
) -> None:
    for name in ("alpha", "beta"):
        _wheel(bench, name, "1.0")
        _wheel(bench, name, "2.0")
    (bench.app / "Pipfile").write_text('[packages]\nalpha = "*"\n[dev-packages]\nnosuch = "*"\n')
    _lock_with_pipenv(bench, "alpha", "beta")
    env = {"PATH": "/usr/bin:/bin"} if path == "pip" else {}
    built = bench.build("python", **env)
    assert built.status == 0, built.output
    assert {"alpha.py", "beta.py"} <= _installed(bench)
    assert "1.0" in next(bench.layers.glob("dependencies/lib/python*/site-packages/beta.py")).read_text()
    assert {"Pipfile", "Pipfile.lock"} <= set(bench.inputs())
    bench.restore()
    assert "Using the packages of the last build" in bench.build("python", **env).output


def test_a_package_with_other_bytes_than_the_lock_has_is_not_installed(bench: Bench) -> None:
    _wheel(bench, "alpha", "1.0")
    (bench.app / "Pipfile").write_text('[packages]\nalpha = "*"\n')
    _lock_with_pipenv(bench, "alpha", digest="00" * 32)
    built = bench.build("python")
    assert built.status == 1
    assert "the index serves other bytes than were locked" in built.output
    assert _installed(bench) == set()


def test_poetrys_lock_is_installed_for_its_main_group_alone(bench: Bench) -> None:
    for name in ("alpha", "beta", "gamma"):
        _wheel(bench, name, "1.0")
    project = '[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\nalpha = "*"\n'
    (bench.app / "pyproject.toml").write_text(project)
    content = {"dependencies": {"alpha": "*"}, "source": None, "extras": None, "dev-dependencies": None}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    lock = f'[metadata]\nlock-version = "2.1"\npython-versions = "^3.11"\ncontent-hash = "{digest}"\n'
    for name, more in {
        "alpha": 'groups = ["main"]',
        "beta": 'groups = ["dev"]',
        "gamma": 'groups = ["main"]\nmarkers = "extra == \\"cache\\""',
    }.items():
        wheel = bench.folder / "wheels" / f"{name}-1.0-py3-none-any.whl"
        file = f'{{file = "{wheel.name}", hash = "sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"}}'
        lock += f'[[package]]\nname = "{name}"\nversion = "1.0"\n{more}\nfiles = [{file}]\n'
    (bench.app / "poetry.lock").write_text(lock)
    (bench.app / "main.py").write_text("")
    built = bench.build("python")
    assert built.status == 0, built.output
    assert "(from poetry.lock)" in built.output
    assert _installed(bench) == {"alpha.py"}
    (bench.app / "pyproject.toml").write_text(project + 'beta = "*"\n')
    stale = bench.build("python")
    assert "error: poetry.lock does not fit pyproject.toml" in stale.output
    assert "hint: run `poetry lock` and commit poetry.lock" in stale.output


def test_a_procfile_becomes_process_types(bench: Bench) -> None:
    (bench.app / "Procfile").write_text("web: serve --port $PORT\nworker: work\n")
    assert bench.detect("procfile") == Outcome(0, "Procfile\n")
    assert bench.build("procfile").status == 0
    assert bench.processes() == {
        "web": ["bash", "-c", "serve --port $PORT"],
        "worker": ["bash", "-c", "work"],
    }
    assert bench.inputs() == ["Procfile"]


@pytest.mark.parametrize("name", ["go", "python", "php", "ruby", "java", "nodejs", "static", "procfile"])
def test_an_empty_folder_is_nobodys(bench: Bench, name: str) -> None:
    outcome = bench.detect(name)
    assert outcome.status == 100
    assert outcome.output.startswith("no ")
    assert outcome.output.count("\n") == 1


def test_a_refusal_is_an_error_and_a_hint(bench: Bench) -> None:
    (bench.app / "package.json").write_text("{")
    (bench.app / "Procfile").write_text("web")
    for name in ("nodejs", "procfile"):
        outcome = bench.build(name)
        assert outcome.status == 1
        assert "error: " in outcome.output
        assert "hint: " in outcome.output
        assert "Traceback" not in outcome.output


SAMPLES = sorted(path.parent for path in APPS.glob("*/expect.json"))
DETECTED = {
    "broken-build": "python",
    "crashing": "python",
    "django": "python",
    "dockerfile": None,
    "express": "nodejs",
    "fastapi-uv": "python",
    "flask": "python",
    "go": "go",
    "heroku": "python",
    "jar": "java",
    "maven": "java",
    "multi": ("python", "nodejs"),
    "pipenv": "python",
    "poetry": "python",
    "php": "php",
    "pnpm": "nodejs",
    "procfile-worker": "python",
    "ruby": "ruby",
    "spa": ("nodejs", "static"),
    "static": "static",
    "system-packages": "python",
    "undetected": None,
    "workspaces": "nodejs",
    "yarn": "nodejs",
}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_each_sample_is_detected_by_its_language_alone(bench: Bench, sample: Path) -> None:
    at_sample = Bench(bench.folder)
    bench.app.rmdir()
    bench.app.symlink_to(sample)
    passed = [
        name
        for name in ("go", "python", "php", "ruby", "java", "nodejs", "static")
        if at_sample.detect(name).status == 0
    ]
    wanted = DETECTED[sample.name]
    assert passed == (list(wanted) if isinstance(wanted, tuple) else [wanted] if wanted else [])
    json.loads((sample / "expect.json").read_text())
