from pathlib import Path

import pytest

from gitreceive.lifecycle.env import BUILD_PATHS, LAUNCH_PATHS, apply_folder, apply_layer


def _write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


@pytest.mark.parametrize(
    ("files", "before", "after"),
    [
        ({"A": "new"}, "old", "new"),
        ({"A__override": "new"}, "old", "new"),
        ({"A__default": "new"}, "old", "old"),
        ({"A__default": "new"}, None, "new"),
        ({"A__append": "new"}, "old", "oldnew"),
        ({"A__append": "new", "A__delim": ":"}, "old", "old:new"),
        ({"A__prepend": "new", "A__delim": ":"}, "old", "new:old"),
        ({"A__prepend": "new", "A__delim": ":"}, None, "new"),
        ({"A__append": "new", "A__delim": ":"}, "", "new"),
        ({"A__override": "line\n"}, None, "line\n"),
    ],
)
def test_a_files_suffix_says_how_it_changes_the_variable(
    files: dict[str, str], before: str | None, after: str, tmp_path: Path
) -> None:
    env = {} if before is None else {"A": before}
    apply_folder(env, str(_write(tmp_path / "env", **files)))
    assert env == {"A": after}


def test_a_file_with_an_unknown_suffix_changes_nothing(tmp_path: Path) -> None:
    env: dict[str, str] = {}
    apply_folder(env, str(_write(tmp_path, **{"a.b": "1", "a.b.append": "2"})))
    assert env == {}


def test_a_folder_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    env = {"A": "1"}
    apply_folder(env, str(tmp_path / "env"))
    assert env == {"A": "1"}


def test_a_layers_folders_are_put_before_the_paths(tmp_path: Path) -> None:
    for name in ("bin", "lib", "include", "pkgconfig"):
        (tmp_path / name).mkdir()
    env = {"PATH": "/usr/bin"}
    apply_layer(env, str(tmp_path), (), BUILD_PATHS)
    assert env == {
        "PATH": f"{tmp_path}/bin:/usr/bin",
        "LD_LIBRARY_PATH": f"{tmp_path}/lib",
        "LIBRARY_PATH": f"{tmp_path}/lib",
        "CPATH": f"{tmp_path}/include",
        "PKG_CONFIG_PATH": f"{tmp_path}/pkgconfig",
    }


def test_what_is_for_compilers_is_not_there_at_launch(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    env: dict[str, str] = {}
    apply_layer(env, str(tmp_path), (), LAUNCH_PATHS)
    assert env == {}


def test_variables_of_the_phase_come_after_those_of_all_phases(tmp_path: Path) -> None:
    _write(tmp_path / "env", A="all")
    _write(tmp_path / "env.build", A="build")
    env: dict[str, str] = {}
    apply_layer(env, str(tmp_path), ("env", "env.build"), BUILD_PATHS)
    assert env == {"A": "build"}
