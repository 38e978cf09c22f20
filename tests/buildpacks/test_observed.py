"""What is said of a build that read more than its buildpacks declare."""

from pathlib import Path
from typing import Any

from gitreceive.buildpacks.observed import Reading, readings, undeclared
from gitreceive.lifecycle.folder import Buildpack

LUA = Buildpack("acme/lua", "1.0.0", (0, 10), Path(), inputs=("main.lua", "lib"))


def _seen(*read: str, changed: tuple[str, ...] = (), whole: bool = True) -> dict[str, Any]:
    return {"read": list(read), "changed": list(changed), "whole": whole}


def _observed(
    build: dict[str, Any],
    detect: dict[str, Any] | None = None,
    *,
    inputs: tuple[str, ...] | None = LUA.inputs,
    source_changed: bool = False,
    **others: dict[str, Any],
) -> dict[str, Any]:
    return {
        "parts": {"detect": detect or _seen(), "acme/lua": build, **others},
        "trouble": "",
        "inputs": {"acme/lua": inputs, **dict.fromkeys(others, ())},
        "source_changed": source_changed,
    }


def _said(observed: dict[str, Any]) -> list[str]:
    return [str(finding) for finding in undeclared(observed, [LUA])]


def test_what_inputs_cover_is_not_told() -> None:
    assert _said(_observed(_seen("main.lua", "lib/a/b.lua"), _seen("main.lua"))) == []


def test_each_file_beside_them_is_told_with_what_to_add() -> None:
    beside, pattern = _said(_observed(_seen("main.lua", "lock", "conf/a[1]")))
    assert beside == (
        "buildpack.toml: warning: bin/build of acme/lua reads lock, "
        'which metadata.gitreceive.inputs does not cover: add "lock"'
    )
    assert pattern.endswith(
        'reads conf/a[1], which metadata.gitreceive.inputs does not cover: add "conf/a[[]1]"'
    )


def test_many_files_of_one_folder_are_one_glob() -> None:
    (said,) = _said(_observed(_seen(*(f"conf/{number}" for number in range(4)))))
    assert said.endswith(
        'reads 4 files of conf/, which metadata.gitreceive.inputs does not cover: add "conf/**"'
    )


def test_of_detection_anybodys_inputs_count() -> None:
    other = _observed(_seen(), _seen("Procfile"), other=_seen())
    assert [text.partition("reads ")[2][:8] for text in _said(other)] == ["Procfile"]
    other["inputs"]["other"] = ("Procfile",)
    assert _said(other) == []


def test_a_build_that_says_nothing_or_depends_on_all_has_nothing_to_declare() -> None:
    for inputs in (None, ("**",)):
        seen = _seen("lock", changed=("made",))
        assert _said(_observed(seen, _seen("x"), inputs=inputs, source_changed=True)) == []


def test_a_list_that_the_build_wrote_itself_is_named_by_its_file() -> None:
    (said,) = _said(_observed(_seen("lock"), inputs=("main.lua",)))
    assert said.startswith("store.toml: warning: ")


def test_a_build_that_writes_into_the_app_is_told_where_it_left_something() -> None:
    seen = _seen(changed=("a", "b", "c", "d"))
    assert _said(_observed(seen)) == []
    (said,) = _said(_observed(seen, source_changed=True))
    assert "writes into the app's folder (a, b, c and 1 more), so every push builds" in said


def test_what_could_not_be_watched_is_told() -> None:
    (said,) = _said(_observed(_seen(whole=False)))
    assert "bin/build of acme/lua opened more files at once than could be watched" in said
    nothing = {"parts": {}, "trouble": "No space left", "inputs": {"acme/lua": ()}, "source_changed": False}
    assert _said(nothing) == [
        "buildpack.toml: warning: what the build reads could not be watched: No space left"
    ]


def test_what_was_read_is_listed_by_part() -> None:
    assert readings(_observed(_seen("lock", "main.lua"))) == (
        Reading("bin/detect", ()),
        Reading("bin/build of acme/lua", ("lock", "main.lua")),
    )
