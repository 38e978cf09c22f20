"""Buildpack API, "Phase #1: Detection", "Order Resolution", "Buildpack API Compatibility", "Targets"."""

import os

import pytest

from gitreceive.lifecycle.detect import Detection, detect_here
from gitreceive.lifecycle.folder import FolderError, load
from tests.conformance.workshop import Workshop


def _detect(shop: Workshop, env: dict[str, str] | None = None) -> Detection:
    shop.place.app.mkdir(exist_ok=True)
    folder = load(shop.packs)
    return detect_here(folder, folder.order, shop.place.app, os.environ, env or {})


def _chosen(shop: Workshop) -> str:
    return " ".join(buildpack.id.removeprefix("test/") for buildpack in _detect(shop).group)


def _plan(text: str) -> str:
    """``+x`` provides, ``-x`` requires, ``|`` is an alternative."""
    lines = ""
    for at, option in enumerate(text.split("|")):
        lines += "[[or]]\n" if at else ""
        for word in option.split():
            kind = "provides" if word[0] == "+" else "requires"
            lines += f'[[{"or." if at else ""}{kind}]]\nname = "{word[1:]}"\n'
    return f"cat > $CNB_BUILD_PLAN_PATH <<'END'\n{lines}END"


@pytest.mark.parametrize(
    ("codes", "order", "chosen"),
    [
        ({"a": 0}, ["a"], "a"),
        ({"a": 100}, ["a"], ""),
        ({"a": 1}, ["a"], ""),
        ({"a": 101}, ["a"], ""),
        ({"a": 100, "b": 0}, ["a", "b"], "b"),
        ({"a": 100, "b": 0}, ["a b", "b"], "b"),
        ({"a": 100, "b": 0}, ["a? b"], "b"),
        ({"a": 1, "b": 0}, ["a? b"], "b"),
        ({"a": 0, "b": 0}, ["a? b?"], "a b"),
        ({"a": 100, "b": 100}, ["a? b?"], ""),
        ({"a": 0, "b": 0}, ["b a", "a"], "b a"),
    ],
)
def test_process_by_exit_status(codes: dict[str, int], order: list[str], chosen: str, shop: Workshop) -> None:
    for name, code in codes.items():
        shop.buildpack(name, detect=f"exit {code}")
    shop.order(*order)
    assert _chosen(shop) == chosen


@pytest.mark.parametrize(("code", "exit_code"), [(100, 20), (1, 21), (127, 21), (0, 0)])
def test_exit_codes_of_the_phase(code: int, exit_code: int, shop: Workshop) -> None:
    shop.buildpack("a", detect=f"exit {code}")
    shop.order("a")
    assert _detect(shop).exit_code == exit_code


@pytest.mark.parametrize(
    ("plans", "order", "chosen"),
    [
        ({"a": "+x", "b": "-x"}, ["a b"], "a b"),
        ({"a": "+x -x"}, ["a"], "a"),
        ({"a": "+x"}, ["a"], ""),
        ({"a": "-x"}, ["a"], ""),
        ({"a": "-x", "b": "+x"}, ["a b"], ""),
        ({"a": "+x", "b": "+x", "c": "-x"}, ["a b c"], "a b c"),
        ({"a": "+x", "b": "-x", "c": "-x"}, ["a b c"], "a b c"),
        ({"a": "+x", "b": ""}, ["a? b"], "b"),
        ({"a": "-x", "b": ""}, ["a? b"], "b"),
        ({"a": "+x", "b": "-x +y", "c": ""}, ["a b? c"], ""),
        ({"a": "+x", "b": "-x +y", "c": ""}, ["a? b? c"], "c"),
        ({"a": "+x|", "b": ""}, ["a b"], "a b"),
        ({"a": "+x|+y", "b": "-y"}, ["a b"], "a b"),
        ({"a": "+x|+y", "b": "-z|-y"}, ["a b"], "a b"),
        ({"a": "+x|+y", "b": "-z"}, ["a b", "a? "], ""),
    ],
)
def test_trials_of_build_plans(plans: dict[str, str], order: list[str], chosen: str, shop: Workshop) -> None:
    for name, plan in plans.items():
        shop.buildpack(name, detect=_plan(plan))
    shop.order(*order)
    assert _chosen(shop) == chosen


def test_trials_select_left_to_right_depth_first(shop: Workshop) -> None:
    shop.buildpack("a", detect=_plan("+x|+y"))
    shop.buildpack("b", detect=_plan("-y|-x"))
    shop.order("a b")
    assert [entry.name for entry in _detect(shop).entries] == ["x"]


@pytest.mark.parametrize(
    ("order", "expanded"),
    [
        (["e O f"], ["e a b f", "e c d f"]),
        (["O P"], ["a b e f", "a b g h", "c d e f", "c d g h"]),
        (["e O? f"], ["e a b f", "e c d f", "e f"]),
        (["O?"], ["a b", "c d"]),
        (["N"], ["a b e", "c d e", "f"]),
        (["O O"], ["a b a b", "a b c d", "c d a b", "c d c d"]),
    ],
)
def test_order_resolution(order: list[str], expanded: list[str], shop: Workshop) -> None:
    for name in "abcdefgh":
        shop.buildpack(name)
    shop.composite("O", "a b", "c d")
    shop.composite("P", "e f", "g h")
    shop.composite("N", "O e", "f")
    shop.order(*order)
    groups = [" ".join(m.id.removeprefix("test/") for m in group) for group in load(shop.packs).expand()]
    assert groups == expanded


@pytest.mark.parametrize("way", [["A"], ["B"]])
def test_an_order_that_leads_back_to_itself_is_refused(way: list[str], shop: Workshop) -> None:
    shop.composite("A", "B")
    shop.composite("B", "A")
    shop.order(*way)
    with pytest.raises(FolderError, match="contains itself"):
        load(shop.packs)


def test_an_order_that_explodes_is_refused(shop: Workshop) -> None:
    for name in "ab":
        shop.buildpack(name)
    shop.composite("C0", "a", "b")
    for depth in range(1, 30):
        shop.composite(f"C{depth}", f"C{depth - 1} C{depth - 1}")
    shop.order("C29")
    with pytest.raises(FolderError, match="stands for more than 1000 groups"):
        load(shop.packs)


@pytest.mark.parametrize("api", ["0.7", "0.8", "0.9", "0.10", "0.11", "0.12"])
def test_buildpack_api_compatibility(api: str, shop: Workshop) -> None:
    shop.buildpack("a", api=api)
    shop.order("a")
    assert _chosen(shop) == "a"


@pytest.mark.parametrize("api", ["0.6", "0.13", "1", "1.0", "0.7.1", "x", ""])
def test_another_buildpack_api_is_refused_with_exit_code_12(api: str, shop: Workshop) -> None:
    shop.buildpack("a", api=api)
    shop.order("a")
    with pytest.raises(
        FolderError, match=r"a/buildpack\.toml: Buildpack API .* known are 0\.7 to 0\.12"
    ) as caught:
        load(shop.packs)
    assert caught.value.exit_code == 12


@pytest.mark.parametrize(
    ("toml", "chosen"),
    [
        ("", "a"),
        ('[[targets]]\nos = "linux"\n', "a"),
        ('[[targets]]\nos = "windows"\n', ""),
        ('[[targets]]\nos = "windows"\n[[targets]]\nos = "linux"\n', "a"),
        ('[[targets]]\narch = "s390x"\n', ""),
        ('[[targets]]\nos = "linux"\n[[targets.distros]]\nname = "nosuch"\n', ""),
        ('[[stacks]]\nid = "*"\n', "a"),
        ('[[stacks]]\nid = "io.buildpacks.stacks.bionic"\n', ""),
        ('[[stacks]]\nid = "io.buildpacks.stacks.bionic"\n[[stacks]]\nid = "*"\n', "a"),
        ('[[targets]]\nos = "linux"\n[[stacks]]\nid = "other"\n', "a"),
        ('[[buildpack.exec-env]]\nname = "production"\n', "a"),
        ('[[buildpack.exec-env]]\nname = "test"\n', ""),
    ],
)
def test_targets_and_execution_environments(toml: str, chosen: str, shop: Workshop) -> None:
    shop.buildpack("a", toml=toml, detect="echo asked")
    shop.order("a")
    assert _chosen(shop) == chosen
    (verdict,) = _detect(shop).verdicts
    assert (verdict.output == "asked\n") == bool(chosen)


def test_a_member_of_a_group_may_be_for_another_execution_environment(shop: Workshop) -> None:
    for name in "ab":
        shop.buildpack(name)
    shop.order("a b")
    with (shop.packs / "order.toml").open("a") as file:
        file.write('exec-env = ["test"]\n')
    assert _chosen(shop) == "a"
    assert shop.build().event["buildpacks"] == ["test/a@1.0.0"]


@pytest.mark.parametrize(("toml", "seen"), [("", "mine"), ("clear-env = true\n", "none")])
def test_detect_gets_arguments_and_variables(toml: str, seen: str, shop: Workshop) -> None:
    shop.buildpack(
        "a",
        toml=toml,
        detect="""
        [ "$PWD" = "$(dirname $CNB_BUILDPACK_DIR)/../workspace" ] || [ "$(basename $PWD)" = workspace ]
        [ "$1" = "$CNB_PLATFORM_DIR" ] && [ "$2" = "$CNB_BUILD_PLAN_PATH" ] && [ -f "$2" ]
        [ -x "$0" ] && [ "$0" = "$CNB_BUILDPACK_DIR/bin/detect" ] && [ "$CNB_EXEC_ENV" = production ]
        [ "$CNB_TARGET_OS" = linux ] && [ -n "$CNB_TARGET_ARCH" ]
        [ "$(cat $CNB_PLATFORM_DIR/env/BP_IT)" = mine ]
        echo ${BP_IT:-none}
        """,
    )
    shop.order("a")
    (verdict,) = _detect(shop, {"BP_IT": "mine"}).verdicts
    assert (verdict.verdict, verdict.reason) == ("pass", seen)
