from pathlib import Path

import pytest
from rubypack import bundling, cnb, detection, manifest, runtime, start

_LOCK = """\
GEM
  remote: https://gems.example/
  specs:
    nio4r (2.5.8)
    puma (5.6.5)
      nio4r (~> 2.0)

PLATFORMS
  x86_64-linux
"""


def _write(app: Path, **files: str) -> Path:
    for name, content in files.items():
        (app / name.replace("_", ".")).write_text(content)
    return app


@pytest.mark.parametrize(
    ("requirement", "fits", "does_not"),
    [
        ("~> 3.1", "3.9.0", "4.0.0"),
        ("~> 3.1.0", "3.1.7", "3.2.0"),
        ("~> 3.1.4", "3.1.7", "3.1.3"),
        (">= 2.7, < 3.2", "3.1.7", "3.2.0"),
        ("3.1.7", "3.1.7", "3.1.6"),
        ("!= 3.1.6", "3.1.7", "3.1.6"),
        ("", "1.8.7", None),
    ],
)
def test_a_requirement_allows_what_rubygems_says_it_allows(
    requirement: str, fits: str, does_not: str | None
) -> None:
    assert manifest.satisfies(fits, requirement)
    assert does_not is None or not manifest.satisfies(does_not, requirement)


def test_a_requirement_that_is_not_understood_is_said_to_be_so() -> None:
    with pytest.raises(ValueError, match="'head' is not understood"):
        manifest.satisfies("3.1.7", "head")


@pytest.mark.parametrize(
    ("line", "requirement"),
    [
        ('ruby "~> 3.1"', "~> 3.1"),
        ("ruby '>= 3.0', '< 3.2' # as the servers", ">= 3.0,< 3.2"),
        ('ruby("3.1.7")', "3.1.7"),
        ('# ruby "2.7"', ""),
    ],
)
def test_the_gemfile_says_which_ruby(tmp_path: Path, line: str, requirement: str) -> None:
    found = manifest.read_manifest(_write(tmp_path, Gemfile=f'source "https://gems.example"\n{line}\n'))
    assert found.requirement == requirement
    assert found.gemfile
    assert not found.locked


def test_a_version_file_chooses_the_series_and_its_patch_level_is_not_followed(tmp_path: Path) -> None:
    app = _write(tmp_path, Gemfile='ruby file: ".ruby-version"\n')
    (app / ".ruby-version").write_text("ruby-3.1.2\n")
    found = manifest.read_manifest(app)
    assert (found.requirement, found.source) == ("~> 3.1.0", ".ruby-version")


def test_a_version_file_outside_the_app_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("3.1.7")
    (tmp_path / "app").mkdir()
    found = manifest.read_manifest(_write(tmp_path / "app", Gemfile='ruby file: "../secret"\n'))
    assert found.requirement == ""


def test_the_lock_names_gems_and_not_what_they_ask_for(tmp_path: Path) -> None:
    found = manifest.read_manifest(_write(tmp_path, Gemfile="", Gemfile_lock=_LOCK))
    assert found.gems == {"nio4r", "puma"}
    assert not found.local


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"Gemfile_lock": _LOCK}, "no Gemfile"),
        ({"Gemfile": "gem 'a'", "Gemfile_lock": "<<<<<<< HEAD\n"}, "conflict markers"),
        ({"_ruby-version": "jruby-9.4"}, "jruby-9.4"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, files: dict[str, str], words: str) -> None:
    with pytest.raises(cnb.Refusal, match=words):
        manifest.read_manifest(_write(tmp_path, **files))


def test_detection_tells_what_was_looked_for_and_points_at_a_misspelling(tmp_path: Path) -> None:
    assert detection.decide(tmp_path).reason == "no Gemfile, Gemfile.lock, config.ru"
    assert "Gemfle: is it misspelt" in detection.decide(_write(tmp_path, Gemfle="")).reason
    assert detection.decide(_write(tmp_path, config_ru="")).passed


def test_a_rack_app_is_started_by_the_server_that_is_locked(tmp_path: Path) -> None:
    app = _write(tmp_path, config_ru="", Gemfile="", Gemfile_lock=_LOCK)
    found = start.find_start(app, manifest.read_manifest(app))
    assert found is not None
    assert found.command == ("bash", "-c", 'exec bundle exec puma -p "${PORT:-8080}"')


def test_a_rack_app_without_server_is_refused_with_a_remedy(tmp_path: Path) -> None:
    app = _write(tmp_path, config_ru="")
    with pytest.raises(cnb.Refusal, match="no server") as refused:
        start.find_start(app, manifest.read_manifest(app))
    assert "bundle add puma" in refused.value.hint


def test_a_script_is_started_with_the_bundle_only_where_there_is_one(tmp_path: Path) -> None:
    app = _write(tmp_path, app_rb="")
    assert start.find_start(app, manifest.Manifest()) == start.Start(("ruby", "app.rb"), "app.rb")
    found = start.find_start(app, manifest.Manifest(gemfile=True))
    assert found is not None
    assert found.command == ("bundle", "exec", "ruby", "app.rb")


def test_a_procfile_that_names_web_wins(tmp_path: Path) -> None:
    app = _write(tmp_path, app_rb="", Procfile="web: ruby other.rb\n")
    assert start.find_start(app, manifest.Manifest()) is None


def test_nothing_to_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(cnb.Refusal, match="no start command"):
        start.find_start(tmp_path, manifest.Manifest())


def test_programs_start_the_ruby_that_they_were_unpacked_with(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/bundle3.1").write_text("#!/usr/bin/ruby3.1\nload 'x'\n")
    runtime.set_up(tmp_path, "3.1")
    assert (tmp_path / "bin/bundle").read_text() == f"#!{tmp_path}/bin/ruby\nload 'x'\n"
    for name in ("ruby", "ruby3.1"):
        assert (tmp_path / "bin" / name).readlink() == Path("../usr/bin/ruby3.1")
    assert (tmp_path / "usr/lib/ruby/3.1.0/rubygems/defaults/operating_system.rb").is_file()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Could not find puma-5.6.5 in locally installed gems", "bundle cache"),
        ("Could not find gem 'nosuch' in any of the sources", "nosuch is not there"),
        ("You are trying to install in deployment mode after changing your Gemfile.", "bundle install"),
        ("Your Ruby version is 3.1.7, but your Gemfile specified 2.7.0", "Ruby is 3.1.7 here"),
        ("Could not reach host rubygems.example. Check your network connection", "BUNDLE_MIRROR__ALL"),
        ("Authentication is required for gems.example", "bundle-config"),
        ("something else", "own words"),
    ],
)
def test_bundlers_failure_is_explained(line: str, words: str) -> None:
    assert words in bundling.explain([line])
