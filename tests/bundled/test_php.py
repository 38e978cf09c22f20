import json
import time
from pathlib import Path

import pytest
from phppack import cnb, composing, constraints, debian, detection, manifest, runtime, serving


def _write(app: Path, **files: object) -> Path:
    for name, content in files.items():
        path = app / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return app


@pytest.mark.parametrize(
    ("constraint", "fits", "does_not"),
    [
        ("^8.1", "8.2.36", "9.0.0"),
        ("~8.2", "8.9.0", "8.1.9"),
        ("~8.2.0", "8.2.36", "8.3.0"),
        (">=7.4 <8.3", "8.2.36", "8.3.0"),
        (">= 7.4, < 8.3", "8.2.36", "7.3.9"),
        ("^7.4 || ^8.0", "8.2.36", "9.1.0"),
        ("^7.4|^8.0", "7.4.33", "7.3.0"),
        ("8.2.*", "8.2.1", "8.3.0"),
        ("8.1 - 8.2", "8.2.36", "8.3.0"),
        ("8.1 - 8.2.3", "8.2.3", "8.2.4"),
        ("8.2.36", "8.2.36", "8.2.35"),
        ("!=8.2.1", "8.2.2", "8.2.1"),
        ("^0.3", "0.3.9", "0.4.0"),
        ("*", "5.6.0", ""),
    ],
)
def test_a_constraint_allows_what_composer_says_it_allows(constraint: str, fits: str, does_not: str) -> None:
    assert constraints.satisfies(constraints.parse(fits), constraint)
    assert not does_not or not constraints.satisfies(constraints.parse(does_not), constraint)


def test_a_constraint_that_is_not_understood_is_said_to_be_so() -> None:
    with pytest.raises(ValueError, match="'dev-main' is not understood"):
        constraints.satisfies((8, 2, 0), "dev-main")


def test_detection_takes_an_index_in_the_folders_that_frameworks_have(tmp_path: Path) -> None:
    assert not detection.decide(tmp_path).passed
    assert detection.decide(_write(tmp_path, public__index_php="")).reason == "public/index.php"


def test_detection_points_at_a_misspelling(tmp_path: Path) -> None:
    assert "compser.json: is it misspelt" in detection.decide(_write(tmp_path, compser_json={})).reason


def test_a_manifest_names_php_extensions_and_packages(tmp_path: Path) -> None:
    own = {
        "require": {"php": "^8.1", "ext-GD": "*", "acme/shop": "^1"},
        "autoload": {"psr-4": {"A\\": "src"}},
    }
    lock = {
        "packages": [
            {"require": {"ext-intl": "*", "ext-redis": "*", "ext-ctype": "*"}},
            {"require": [], "provide": {"ext-redis": "*"}},
        ]
    }
    found = manifest.read_manifest(_write(tmp_path, composer_json=own, composer_lock=lock))
    assert (found.php, found.source) == ("^8.1", "composer.json")
    assert found.extensions == {"gd", "intl", "ctype"}
    assert found.packages == ("acme/shop",)
    assert found.locked
    assert found.needs_composer


def test_a_version_file_stands_above_composer_json_and_may_leave_the_patch_open(tmp_path: Path) -> None:
    app = _write(tmp_path, composer_json={"require": {"php": "^8.3"}})
    (app / ".php-version").write_text("8.2\n")
    found = manifest.read_manifest(app)
    assert (found.php, found.source) == ("8.2.*", ".php-version")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"composer_json": "{"}, "composer.json cannot be read"),
        ({"composer_json": "[]"}, "not a JSON object"),
        ({"composer_lock": {"packages": []}}, "no composer.json"),
        ({"composer_json": {"config": {"vendor-dir": "../lib"}}}, "vendor-dir"),
    ],
)
def test_a_manifest_that_cannot_be_followed_is_refused(
    tmp_path: Path, files: dict[str, object], words: str
) -> None:
    with pytest.raises(cnb.Refusal, match=words):
        manifest.read_manifest(_write(tmp_path, **files))


def test_an_app_without_composer_json_needs_no_composer(tmp_path: Path) -> None:
    assert not manifest.read_manifest(_write(tmp_path, index_php="")).needs_composer


def test_public_is_served_before_web_and_the_root(tmp_path: Path) -> None:
    app = _write(tmp_path, index_php="")
    assert serving.find_site(app) == serving.Site(app / ".", front=True)
    _write(app, public__index_php="")
    assert serving.find_site(app).root == app / "public"
    (app / "htdocs").mkdir()
    assert serving.find_site(app, "htdocs/") == serving.Site(app / "htdocs", front=False)


@pytest.mark.parametrize("folder", ["../etc", "a; return 200", "missing"])
def test_a_folder_that_is_not_the_apps_is_not_served(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        serving.find_site(tmp_path, folder)


def test_workers_follow_web_concurrency_else_the_memory() -> None:
    assert serving.worker_count({"WEB_CONCURRENCY": "7"}, 512 << 20) == 7
    assert serving.worker_count({}, 512 << 20) == 5
    assert serving.worker_count({}, 64 << 20) == 2
    assert serving.worker_count({}, 64 << 30) == 16
    assert serving.worker_count({}, None) == 4
    with pytest.raises(ValueError, match="WEB_CONCURRENCY is 'many'"):
        serving.worker_count({"WEB_CONCURRENCY": "many"}, None)


def test_a_path_that_is_no_file_is_index_phps_only_where_there_is_one(tmp_path: Path) -> None:
    site = serving.Site(tmp_path, front=True)
    assert "try_files $uri $uri/ /index.php$is_args$args;" in serving.render_nginx(site, 80, tmp_path, "x")
    site = serving.Site(tmp_path, front=False)
    assert "try_files $uri $uri/ =404;" in serving.render_nginx(site, 80, tmp_path, "x")


def _layer(tmp_path: Path, wish: dict[str, str], unpacked_at: int) -> cnb.Layer:
    layer = cnb.Layer(tmp_path / "runtime")
    layer.reset()
    layer.save("launch", metadata={"wish": wish, "unpacked_at": unpacked_at})
    return layer


def test_a_runtime_is_kept_while_nothing_that_it_follows_from_changes(tmp_path: Path) -> None:
    wish = {"the stack": "a", "the PHP that is asked for": "^8.1"}
    assert "nothing is kept" in debian.why_again(cnb.Layer(tmp_path / "runtime"), wish)
    layer = _layer(tmp_path, wish, int(time.time()))
    assert debian.why_again(layer, wish) == ""
    assert debian.why_again(layer, {**wish, "the stack": "b"}) == "the stack changed"
    assert "security fixes" in debian.why_again(_layer(tmp_path, wish, int(time.time()) - 8 * 86400), wish)


def test_a_runtimes_libraries_are_found_where_they_were_unpacked(tmp_path: Path) -> None:
    for name in (
        "usr/lib/x86_64-linux-gnu/libz.so.1",
        "lib/x86_64-linux-gnu/liby.so",
        "usr/lib/php/20/intl.so",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folders = debian.library_path(tmp_path).split(":")
    assert folders == [str(tmp_path / "lib/x86_64-linux-gnu"), str(tmp_path / "usr/lib/x86_64-linux-gnu")]


def test_extensions_are_loaded_in_the_order_that_their_packages_ask_for(tmp_path: Path) -> None:
    for name, text in (
        ("common/pdo", "; priority=10\nextension=pdo.so\n"),
        ("mysql/pdo_mysql", "extension=x\n"),
    ):
        path = tmp_path / f"usr/share/php8.2-{name.partition('/')[0]}" / f"{name}.ini"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (tmp_path / "usr/lib/php/20220829").mkdir(parents=True)
    runtime.set_up(tmp_path, "8.2")
    assert sorted(p.name for p in (tmp_path / "etc/conf.d").iterdir()) == ["10-pdo.ini", "20-pdo_mysql.ini"]
    assert f'extension_dir = "{tmp_path}/usr/lib/php/20220829"' in (tmp_path / "etc/php.ini").read_text()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Err:1 http://deb.example bookworm InRelease  Could not connect to deb.example:80", "APT_SOURCES"),
        ("E: The repository 'http://x bookworm Release' is not signed.", "signed-by"),
        ("401  Unauthorized [IP: 10.0.0.1 80]", "apt-auth.conf"),
        ("something else", "own words"),
    ],
)
def test_apts_failure_is_explained(line: str, words: str) -> None:
    assert words in debian.explain([line])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "- acme/shop 1.2.0 requires php ^8.4 -> your php version (8.2.36) does not satisfy",
            "acme/shop asks for PHP ^8.4",
        ),
        ('- Required package "a/b" is not present in the lock file.', "composer update --lock"),
        ("- acme/shop requires ext-redis * -> it is missing from your system.", "ext-redis is missing"),
        (
            "curl error 6 while downloading https://repo.example/packages.json: Could not resolve host",
            "COMPOSER_MIRROR",
        ),
        (
            "Root composer.json requires acme/nosuch, it could not be found in any version",
            "check its spelling",
        ),
        ("something else", "own words"),
    ],
)
def test_composers_failure_is_explained(line: str, words: str) -> None:
    assert words in composing.explain([line])
