"""Buildpack API, "Phase #5: Build", "Unmet Buildpack Plan Entries", "launch.toml", "Environment" as far as the build goes."""

import os
import tomllib

import pytest

from tests.conformance.workshop import Made, Workshop


def _reason(made: Made) -> str:
    assert made.event["event"] == "failed", made.event
    return str(made.event["reason"])


def _seen(made: Made, name: str = "seen") -> str:
    assert made.event["event"] == "done", made.event
    return made.contents[f"workspace/{name}"].decode()


def test_build_gets_arguments_and_variables(shop: Workshop) -> None:
    shop.buildpack(
        "a",
        """
        [ "$1" = "$CNB_LAYERS_DIR" ] && [ "$2" = "$CNB_PLATFORM_DIR" ] && [ "$3" = "$CNB_BP_PLAN_PATH" ]
        [ "$0" = "$CNB_BUILDPACK_DIR/bin/build" ] && [ "$(basename $CNB_LAYERS_DIR)" = test_a ]
        [ "$CNB_EXEC_ENV" = production ] && [ "$CNB_TARGET_OS" = linux ] && [ -n "$CNB_TARGET_ARCH" ]
        [ "$(cat $CNB_PLATFORM_DIR/env/BP_IT)" = mine ] && [ "$BP_IT" = mine ] && [ -f in-the-app ]
        touch seen
        """,
    )
    shop.order("a")
    assert _seen(shop.build({"in-the-app": ""}, env={"BP_IT": "mine"})) == ""


@pytest.mark.parametrize("code", [1, 100, 255])
def test_a_build_that_fails_ends_the_phase(code: int, shop: Workshop) -> None:
    shop.buildpack("a", f"exit {code}")
    shop.buildpack("b", "touch $CNB_LAYERS_DIR/ran")
    shop.order("a b")
    event = shop.build().event
    assert (event["event"], event["buildpack"], event["code"]) == ("failed", "test/a", code)
    assert not shop.path("test_b/ran").exists()


_ASK = """cat > $CNB_BUILD_PLAN_PATH <<'END'
[[provides]]
name = "x"
[[requires]]
name = "x"
version = "1"
[requires.metadata]
by = "a"
END"""


@pytest.mark.parametrize(
    ("unmet", "left"), [("", []), ('[[unmet]]\nname = "x"\n', [{"name": "x", "metadata": {"by": "b"}}])]
)
def test_unmet_entries_go_to_the_next_that_provides(unmet: str, left: list[object], shop: Workshop) -> None:
    shop.buildpack("a", f"printf '{unmet}' > $CNB_LAYERS_DIR/build.toml; cp $3 first", detect=_ASK)
    ask = _ASK.replace('by = "a"', 'by = "b"').replace('version = "1"\n', "")
    shop.buildpack("b", "cp $3 second", detect=ask)
    shop.order("a b")
    made = shop.build()
    first = [{"name": "x", "metadata": {"version": "1", "by": "a"}}, {"name": "x", "metadata": {"by": "b"}}]
    assert tomllib.loads(_seen(made, "first"))["entries"] == first
    assert tomllib.loads(_seen(made, "second"))["entries"] == [first[0], *left][len(left) == 0 :]


def test_an_entry_is_only_for_who_provides_it(shop: Workshop) -> None:
    shop.buildpack("a", "true", detect=_ASK)
    shop.buildpack("b", "cp $3 seen")
    shop.order("a b")
    assert tomllib.loads(_seen(shop.build())) == {"entries": []}


@pytest.mark.parametrize(
    ("api", "toml", "process"),
    [
        (
            "0.12",
            'command = ["a", "b"]\nargs = ["c"]',
            {"command": ["a", "b"], "args": ["c"], "direct": True},
        ),
        ("0.9", 'command = ["a"]', {"command": ["a"], "args": [], "direct": True}),
        ("0.8", 'command = "a b"\nargs = ["c"]', {"command": ["a b"], "args": ["c"], "direct": False}),
        ("0.7", 'command = "a"\ndirect = true', {"command": ["a"], "args": [], "direct": True}),
        ("0.8", 'command = "a"\nworking-dir = "/x"', {"working-dir": "/x"}),
        ("0.12", 'command = ["a"]\nexec-env = ["test"]', {"exec-env": ["test"]}),
        ("0.12", 'command = ["a"]', {"exec-env": ["*"]}),
    ],
)
def test_processes(api: str, toml: str, process: dict[str, object], shop: Workshop) -> None:
    shop.buildpack(
        "a", f"echo '[[processes]]\ntype = \"web\"\n{toml}' > $CNB_LAYERS_DIR/launch.toml", api=api
    )
    shop.order("a")
    made = shop.build()
    (found,) = tomllib.loads(made.contents["layers/config/metadata.toml"].decode())["processes"]
    assert process.items() <= found.items()


_PROCESS = '[[processes]]\ntype = "{}"\ncommand = ["x"]\n'


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("launch.toml", _PROCESS.format("a b"), "may have letters, digits and . _ - only"),
        ("launch.toml", _PROCESS.format("a/b"), "may have letters, digits and . _ - only"),
        ("launch.toml", _PROCESS.format("w") * 2, "process type 'w' is there twice"),
        (
            "launch.toml",
            f"{_PROCESS.format('a')}default = true\n{_PROCESS.format('b')}default = true",
            "a and b cannot both be the default",
        ),
        ("launch.toml", '[[processes]]\ntype = "w"\ncommand = "x"', "an array as command"),
        (
            "launch.toml",
            '[[processes]]\ntype = "w"\ncommand = [1]',
            "command of w must be an array of strings",
        ),
        ("launch.toml", "processes = 1", "processes must be an array of tables"),
        ("launch.toml", '[[labels]]\nkey = "a"', "a label needs a key and a value"),
        ("launch.toml", '[[labels]]\nkey = "a"\nvalue = "1"\n' * 2, "label 'a' is there twice"),
        ("launch.toml", '[[slices]]\npaths = ["../x"]', "leads out of the app's folder"),
        ("launch.toml", '[[slices]]\npaths = ["/etc/*"]', "leads out of the app's folder"),
        ("launch.toml", '[[slices]]\npaths = ["[a"]', "is not a glob"),
        ("launch.toml", "[[", "launch.toml cannot be read"),
        ("build.toml", '[[unmet]]\nname = "y"', "'y', which the buildpack was not asked for"),
        ("build.toml", "unmet = 1", "unmet must be an array of tables"),
        ("store.toml", "metadata = 1", "metadata must be a table"),
        ("deps.toml", "[types]\nlaunch = 1", "types.launch must be true or false"),
        ("deps.toml", "types = 1", "types must be a table"),
        ("deps.toml", "\\xff", "deps.toml cannot be read"),
        ("deps.sbom.xml", "<x/>", "known are .sbom.cdx.json, .sbom.spdx.json, .sbom.syft.json"),
        ("launch/x", "", "launch/ cannot be a layer"),
        ("build/x", "", "build/ cannot be a layer"),
        ("store/x", "", "store/ cannot be a layer"),
    ],
)
def test_what_breaks_the_contract_is_named(file: str, text: str, said: str, shop: Workshop) -> None:
    shop.buildpack("a", f"mkdir -p $(dirname $1/{file}); printf '{text}' > $1/{file}")
    shop.order("a")
    assert said in _reason(shop.build())


_LAYER = (
    'layer() { mkdir -p $CNB_LAYERS_DIR/$1; printf "[types]\\n$2 = true\\n" > $CNB_LAYERS_DIR/$1.toml; }\n'
)


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("PATH", "bin"),
        ("LD_LIBRARY_PATH", "lib"),
        ("LIBRARY_PATH", "lib"),
        ("CPATH", "include"),
        ("PKG_CONFIG_PATH", "pkgconfig"),
    ],
)
def test_layer_paths_of_earlier_buildpacks_come_first(variable: str, folder: str, shop: Workshop) -> None:
    make = f"layer one build; layer two build; layer no launch; mkdir $1/{{one,two,no}}/{folder}"
    shop.buildpack("a", _LAYER + make)
    shop.buildpack("b", _LAYER + make)
    shop.buildpack("c", f"printf %s ${variable} > seen")
    shop.order("a b c")
    places = [
        f"{shop.path(name)}/{folder}" for name in ("test_b/two", "test_b/one", "test_a/two", "test_a/one")
    ]
    expected = [*places, *([os.environ["PATH"]] if variable == "PATH" else [])]
    assert _seen(shop.build()) == ":".join(expected)
    assert _seen(shop.build(env={variable: "/mine"})) == ":".join(["/mine", *expected])


@pytest.mark.parametrize(
    ("toml", "seen"), [("", "user user layer"), ("clear-env = true\n", "layer none layer")]
)
def test_variables_of_users_and_of_layers(toml: str, seen: str, shop: Workshop) -> None:
    make = "layer one build; mkdir $1/one/env.build; printf layer | tee $1/one/env.build/{A,C} > /dev/null"
    shop.buildpack("a", _LAYER + make)
    shop.buildpack("b", 'printf "%s %s %s" $A ${B:-none} $C > seen', toml=toml)
    shop.order("a b")
    assert _seen(shop.build(env={"A": "user", "B": "user"})) == seen


@pytest.mark.parametrize(
    ("flag", "folder", "seen"),
    [
        ("build", "env", "x"),
        ("build", "env.build", "x"),
        ("build", "env.launch", ""),
        ("launch", "env", ""),
        ("launch", "env.build", ""),
        ("cache", "env", ""),
    ],
)
def test_which_folders_of_variables_later_builds_see(
    flag: str, folder: str, seen: str, shop: Workshop
) -> None:
    shop.buildpack("a", f"{_LAYER}layer one {flag}; mkdir $1/one/{folder}; printf x > $1/one/{folder}/A")
    shop.buildpack("b", "printf %s $A > seen")
    shop.order("a b")
    assert _seen(shop.build()) == seen


def test_a_build_layer_for_another_execution_environment_is_not_seen(shop: Workshop) -> None:
    only = "printf '[metadata]\\nexec-env = [\"test\"]\\n' >> $1/one.toml"
    shop.buildpack("a", f"{_LAYER}layer one build; {only}; mkdir $1/one/env; printf x > $1/one/env/A")
    shop.buildpack("b", "printf %s $A > seen")
    shop.order("a b")
    assert _seen(shop.build()) == ""
