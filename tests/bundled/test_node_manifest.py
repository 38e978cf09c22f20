import json
from pathlib import Path
from typing import Any

import pytest
from nodepack import detection
from nodepack.cnb import Refusal
from nodepack.explaining import explain
from nodepack.manifest import Manifest, read_manifest
from nodepack.start import find_start, programs_at_launch


def _manifest(app: Path, lock: dict[str, Any] | None = None, **package: Any) -> Manifest:
    (app / "package.json").write_text(json.dumps(package))
    if lock is not None:
        (app / "package-lock.json").write_text(json.dumps(lock))
    return read_manifest(app)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"name": "a",\n}', "line 2, column 1"),
        ("[]", "not a JSON object"),
        ('{"scripts": []}', "scripts must be an object of strings"),
        ('{"engines": {"node": 20}}', "engines must be an object of strings"),
    ],
)
def test_a_broken_package_json_is_refused_with_the_place(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "package.json").write_text(text)
    with pytest.raises(Refusal, match=words) as refusal:
        read_manifest(tmp_path)
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("locks", "package", "words", "hint"),
    [
        (["bun.lock"], {}, "the app is for bun", "npm, yarn or pnpm"),
        (["package-lock.json", "yarn.lock"], {}, "package-lock.json and yarn.lock", "git rm"),
        (
            ["yarn.lock"],
            {"packageManager": "pnpm@10.0.0"},
            "is pnpm, but there is a yarn.lock",
            "pnpm install",
        ),
        ([], {"packageManager": "yarn@4.1.0"}, "is yarn, but there is no yarn.lock", "`yarn install`"),
        ([], {"packageManager": "pnpm@^10"}, "packageManager is 'pnpm@\\^10'", "one version"),
        (["yarn.lock"], {}, "yarn.lock does not say its version", "`yarn install`"),
    ],
)
def test_a_lock_that_does_not_say_who_installs_is_refused_with_a_remedy(
    tmp_path: Path, locks: list[str], package: dict[str, Any], words: str, hint: str
) -> None:
    for name in locks:
        (tmp_path / name).write_text("{}")
    with pytest.raises(Refusal, match=words) as refusal:
        _manifest(tmp_path, **package)
    assert hint in refusal.value.hint


@pytest.mark.parametrize(
    ("name", "text", "manager", "versions"),
    [
        ("yarn.lock", "# yarn lockfile v1\n", "yarn", "1.x"),
        ("yarn.lock", "__metadata:\n  version: 6\n", "berry", "3.x"),
        ("yarn.lock", "__metadata:\n  version: 10\n", "berry", "4.x"),
        ("pnpm-lock.yaml", "lockfileVersion: 5.4\n", "pnpm", "7.x"),
        ("pnpm-lock.yaml", "lockfileVersion: '6.0'\n", "pnpm", "8.x"),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", "pnpm", "10.x"),
        ("package-lock.json", "{}", "npm", "*"),
    ],
)
def test_the_lock_says_which_manager_and_which_releases_of_it(
    tmp_path: Path, name: str, text: str, manager: str, versions: str
) -> None:
    (tmp_path / name).write_text(text)
    found = _manifest(tmp_path)
    assert (found.lock, found.manager, found.manager_range) == (name, manager, versions)


def test_a_pinned_manager_with_corepacks_digest_is_understood(tmp_path: Path) -> None:
    (tmp_path / "pnpm-lock.yaml").write_text("lockfileVersion: '9.0'\n")
    assert _manifest(tmp_path, packageManager="pnpm@10.1.0+sha512.00ff").pinned == {"pnpm": "10.1.0"}


def test_committed_modules_are_refused_but_a_link_is_not(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "node_modules").symlink_to("elsewhere")
    assert _manifest(tmp_path).lock is None
    (tmp_path / "node_modules").unlink()
    (tmp_path / "node_modules").mkdir()
    with pytest.raises(Refusal, match="node_modules/ is committed"):
        read_manifest(tmp_path)


def test_development_dependencies_are_seen_in_the_lock_too(tmp_path: Path) -> None:
    assert not _manifest(tmp_path, lock={"packages": {"": {}}}).has_development
    assert _manifest(tmp_path, lock={"packages": {"node_modules/a": {"dev": True}}}).has_development
    assert _manifest(tmp_path, devDependencies={"a": "1"}).has_development


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ({"scripts": {"start": "node server.js"}}, ("node", "server.js")),
        ({"scripts": {"start": "next start -p $PORT"}}, ("bash", "-c", "next start -p $PORT")),
        ({"scripts": {"start": "A=1 node x.js"}}, ("bash", "-c", "A=1 node x.js")),
        ({"scripts": {"prestart": "a", "start": "b"}}, ("bash", "-c", "a && b")),
        ({"main": "index.js"}, ("node", "index.js")),
        ({"main": "missing.js"}, ("node", "index.js")),
    ],
)
def test_the_start_command_goes_without_npm(
    tmp_path: Path, package: dict[str, Any], command: tuple[str, ...]
) -> None:
    (tmp_path / "index.js").write_text("")
    start = find_start(tmp_path, _manifest(tmp_path, **package))
    assert start is not None
    assert start.command == command


def test_a_manager_is_in_the_image_only_where_a_process_needs_it(tmp_path: Path) -> None:
    assert not programs_at_launch(tmp_path, _manifest(tmp_path, scripts={"start": "node a.js"}))
    assert programs_at_launch(tmp_path, _manifest(tmp_path, scripts={"start": "npm run a"})) == {"npm"}
    assert programs_at_launch(tmp_path, _manifest(tmp_path, scripts={"start": "pnpm run a"})) == {"pnpm"}
    (tmp_path / "Procfile").write_text("web: npm start\nworker: yarn work\n")
    assert programs_at_launch(tmp_path, _manifest(tmp_path)) == {"npm", "yarn"}


def test_detection_names_a_misspelling(tmp_path: Path) -> None:
    (tmp_path / "pakage.json").write_text("{}")
    assert "pakage.json: is it misspelt?" in detection.decide(tmp_path).reason
    (tmp_path / "package.json").write_text("{}")
    assert detection.decide(tmp_path).passed


def test_npms_failure_gets_a_hint() -> None:
    assert "commit package-lock.json" in explain(
        [
            "npm error `npm ci` can only install packages when your package.json and package-lock.json are in sync."
        ]
    )
    assert "words are above" in explain(["npm error something"])
    missing = [
        "../src/x.h:1:10: fatal error: cairo.h: No such file or directory",
        "npm error gyp ERR! build error",
    ]
    assert "into an Aptfile" in explain(missing)
    for line in (
        "error Your lockfile needs to be updated, but yarn was run with `--frozen-lockfile`.",
        "YN0028: │ The lockfile would have been modified by this install, which is explicitly forbidden.",
        "[ERR_PNPM_OUTDATED_LOCKFILE] Cannot install with frozen-lockfile",
    ):
        assert "run `yarn install` and commit yarn.lock" in explain([line], "yarn", "yarn.lock")
