"""Buildpack API, "Launch", "Exec.d", "Environment Variable Modification Rules"; Platform API, "launcher"."""

import pytest

from tests.conformance.workshop import Made, Workshop

_LAYER = """
layer() { mkdir -p $CNB_LAYERS_DIR/$1; printf '[types]\\nlaunch = true\\n' > $CNB_LAYERS_DIR/$1.toml; }
put() { mkdir -p "$(dirname "$CNB_LAYERS_DIR/$1")"; printf '%b' "$2" > "$CNB_LAYERS_DIR/$1"; }
program() { put "$1" "#!/bin/bash\\n$2\\n"; chmod +x "$CNB_LAYERS_DIR/$1"; }
layer one; layer two
"""
_SAY = """
cat > $CNB_LAYERS_DIR/launch.toml <<'END'
[[processes]]
type = "web"
command = ["printenv", "A"]
[[processes]]
type = "other"
command = ["printenv", "A"]
END
"""


def _built(shop: Workshop, *scripts: str, api: str = "0.12", files: dict[str, str] | None = None) -> Made:
    names = "abcdef"[: len(scripts)]
    for name, script in zip(names, scripts, strict=True):
        shop.buildpack(name, _LAYER + script, api=api)
    shop.order(" ".join(names))
    made = shop.build(files)
    assert made.event["event"] == "done", made.event
    return made


def _says(shop: Workshop, made: Made, *argv: str, env: dict[str, str] | None = None) -> str:
    done = shop.launch(made, *argv, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


@pytest.mark.parametrize(
    ("puts", "given", "seen"),
    [
        (["a one/env/A 1"], None, "1"),
        (["a one/env/A 1"], "0", "1"),
        (["a one/env/A.override 1"], "0", "1"),
        (["a one/env.launch/A 1"], None, "1"),
        (["a one/env.launch/web/A 1"], None, "1"),
        (["a one/env.launch/other/A 1", "a one/env/A 0"], None, "0"),
        (["a one/env.build/A 1", "a one/env/A 0"], None, "0"),
        (["a one/env/A 1", "a one/env.launch/A 2", "a one/env.launch/web/A 3"], None, "3"),
        (["a one/env/A 1", "a two/env/A 2"], None, "2"),
        (["a two/env/A 1", "b one/env/A 2"], None, "2"),
        # append
        (["a one/env/A.append 1"], "0", "01"),
        (["a one/env/A.append 1", "a two/env/A.append 2", "b one/env/A.append 3"], "0", "0123"),
        (
            ["a one/env/A.append 1", "a one/env.launch/A.append 2", "a one/env.launch/web/A.append 3"],
            "0",
            "0123",
        ),
        # prepend
        (["a one/env/A.prepend 1"], "0", "10"),
        (["a one/env/A.prepend 1", "a two/env/A.prepend 2", "b one/env/A.prepend 3"], "0", "3210"),
        (
            ["a one/env/A.prepend 1", "a one/env.launch/A.prepend 2", "a one/env.launch/web/A.prepend 3"],
            "0",
            "3210",
        ),
        # default
        (["a one/env/A.default 1"], "0", "0"),
        (["a one/env/A.default 1"], None, "1"),
        (["a one/env/A.default 1"], "", "1"),
        (["a one/env/A.default 1", "a two/env/A.default 2", "b one/env/A.default 3"], None, "1"),
        (["a one/env/A.default 1", "a one/env.launch/A.default 2"], None, "1"),
        # delimiter
        (["a one/env/A.append 1", "a one/env/A.delim :"], "0", "0:1"),
        (["a one/env/A.append 1", "a one/env/A.delim :"], None, "1"),
        (["a one/env/A.prepend 1", "a one/env/A.delim ::"], "0", "1::0"),
        (["a one/env/A.append 1", "a one/env/A.delim :", "a two/env/A.append 2"], "0", "0:12"),
        (["a one/env.launch/A.append 1", "a one/env/A.delim :"], "0", "0:1"),
        # names and contents
        (["a one/env/A.unknown 1"], "0", "0"),
        (["a one/env/A.b.append 1"], "0", "0"),
        (["a one/env/A $HOME`x`"], None, "$HOME`x`"),
    ],
)
def test_environment_variable_modification_rules(
    puts: list[str], given: str | None, seen: str, shop: Workshop
) -> None:
    scripts = {"a": _SAY, "b": ""}
    for put in puts:
        buildpack, path, value = put.split(" ")
        scripts[buildpack] += f"put {path} '{value}'\n"
    made = _built(shop, *scripts.values())
    assert _says(shop, made, "/cnb/process/web", env={} if given is None else {"A": given}) == seen


@pytest.mark.parametrize(("variable", "folder"), [("PATH", "bin"), ("LD_LIBRARY_PATH", "lib")])
def test_layer_paths(variable: str, folder: str, shop: Workshop) -> None:
    made = _built(shop, f"mkdir $1/{{one,two}}/{folder}", f"mkdir $1/one/{folder}")
    seen = _says(shop, made, "launcher", "--", "/usr/bin/printenv", variable).split(":")
    expected = [f"{shop.path(name)}/{folder}" for name in ("test_b/one", "test_a/two", "test_a/one")]
    assert seen[:3] == expected
    assert "/cnb/process" not in seen


@pytest.mark.parametrize("variable", ["CPATH", "PKG_CONFIG_PATH", "LIBRARY_PATH"])
def test_layer_paths_of_the_build_are_not_there(variable: str, shop: Workshop) -> None:
    made = _built(shop, "mkdir $1/one/{lib,include,pkgconfig}")
    assert shop.launch(made, "launcher", "--", "printenv", variable).returncode == 1


@pytest.mark.parametrize(
    "variable", ["CNB_APP_DIR", "CNB_LAYERS_DIR", "CNB_PROCESS_TYPE", "CNB_PLATFORM_API"]
)
def test_variables_of_the_launcher_are_not_for_the_process(variable: str, shop: Workshop) -> None:
    made = _built(shop, "")
    assert shop.launch(made, "launcher", "--", "printenv", variable, env={variable: "x"}).returncode == 1


def test_exec_d_runs_in_order_in_the_apps_folder(shop: Workshop) -> None:
    note = """echo "A = '$A${0#$PWD/../layers/} '" >&3; [ -f in-the-app ]"""
    note = note.replace("$", "\\$").replace('"', '\\"')
    made = _built(
        shop,
        _SAY
        + "".join(
            f'program {path} "{note}"\n'
            for path in (
                "one/exec.d/web/1",
                "one/exec.d/2",
                "one/exec.d/1",
                "two/exec.d/1",
                "two/exec.d/other/1",
            )
        ),
        f'program one/exec.d/1 "{note}"\n',
        files={"in-the-app": ""},
    )
    seen = _says(shop, made, "/cnb/process/web").replace(f"{shop.place.layers}/", "").split()
    assert seen == [
        "test_a/one/exec.d/1",
        "test_a/one/exec.d/2",
        "test_a/two/exec.d/1",
        "test_b/one/exec.d/1",
        "test_a/one/exec.d/web/1",
    ]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "failed with exit code 3"),
        ("echo nonsense >&3", "wrote no TOML"),
        ("echo A = 1 >&3", "A must be a string"),
    ],
)
def test_exec_d_that_fails_stops_the_launch(script: str, said: str, shop: Workshop) -> None:
    made = _built(shop, f"{_SAY}program one/exec.d/it '{script}'")
    done = shop.launch(made, "/cnb/process/web")
    assert done.returncode in range(80, 90)
    assert said in done.stderr


def test_exec_d_sees_what_layers_set_and_its_output_is_the_log(shop: Workshop) -> None:
    made = _built(
        shop, _SAY + 'put one/env/A x; program one/exec.d/it \'echo out; echo "A = \\\\"${A}y\\\\"" >&3\''
    )
    assert _says(shop, made, "/cnb/process/web") == "out\nxy"


def _echo(api: str, args: str) -> str:
    command = '["echo", "own"]' if api == "0.12" else '"echo"'
    return (
        f"cat > $1/launch.toml <<'END'\n[[processes]]\ntype = \"web\"\ncommand = {command}\nargs = {args}\n"
        f"{'direct = true' if api == '0.8' else ''}\nEND\n"
    )


@pytest.mark.parametrize(
    ("api", "argv", "said"),
    [
        ("0.12", ["/cnb/process/web"], "own default"),
        ("0.12", ["/cnb/process/web", "given", "two words"], "own given two words"),
        ("0.8", ["/cnb/process/web"], "default"),
        ("0.8", ["/cnb/process/web", "given"], "default given"),
        ("0.12", ["launcher"], "own default"),
        ("0.12", ["launcher", "--", "echo", "$HOME"], "$HOME"),
        ("0.12", ["launcher", "echo $((1 + 1))"], "2"),
        ("0.12", ["launcher", "echo", "$WHO", 'a "b" \\ c'], 'me and you a "b" \\ c'),
    ],
)
def test_which_command_with_which_arguments(api: str, argv: list[str], said: str, shop: Workshop) -> None:
    made = _built(shop, _echo(api, '["default"]'), api=api)
    assert _says(shop, made, *argv, env={"WHO": "me and you"}) == said


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["/cnb/process/nosuch"], "no process type 'nosuch'; there are: other, web"),
        (["launcher", "--", "/no/such/program"], "No such file"),
    ],
)
def test_errors_of_the_launcher_have_its_exit_codes(argv: list[str], said: str, shop: Workshop) -> None:
    done = shop.launch(_built(shop, _SAY), *argv)
    assert done.returncode in range(80, 90)
    assert said in done.stderr


def test_without_a_default_the_launcher_needs_a_command(shop: Workshop) -> None:
    script = _SAY.replace('"web"', '"more"')
    done = shop.launch(_built(shop, script), "launcher")
    assert (done.returncode, "no process is the default; there are: more, other" in done.stderr) == (82, True)


def test_the_exit_code_is_that_of_the_process(shop: Workshop) -> None:
    assert shop.launch(_built(shop, ""), "launcher", "exit 7").returncode == 7


@pytest.mark.parametrize(
    ("api", "command", "sourced"),
    [("0.12", '["bash", "-c", "echo $SEEN"]', False), ("0.8", '"echo $SEEN"', True)],
)
def test_profiles_are_for_the_shell(api: str, command: str, sourced: bool, shop: Workshop) -> None:
    made = _built(
        shop,
        "put one/profile.d/2.sh 'SEEN+=2'; put one/profile.d/1.sh 'export SEEN=1'; "
        "put one/profile.d/web/1.sh 'SEEN+=w'; put two/profile.d/1.sh 'SEEN+=3'; "
        "put two/profile.d/other/1.sh 'SEEN+=o'\n"
        f"cat > $1/launch.toml <<'END'\n[[processes]]\ntype = \"web\"\ncommand = {command}\nEND\n",
        api=api,
        files={".profile": "[ -f .profile ] && SEEN+=p"},
    )
    assert _says(shop, made, "/cnb/process/web") == ("123wp" if sourced else "")


@pytest.mark.parametrize("api", ["0.8", "0.12"])
@pytest.mark.parametrize("folder", ["", "sub", "/usr"])
def test_working_directory(api: str, folder: str, shop: Workshop) -> None:
    command = '["pwd"]' if api == "0.12" else '"pwd"'
    made = _built(
        shop,
        f'mkdir sub; echo \'[[processes]]\ntype = "web"\ncommand = {command}\nworking-dir = "{folder}"\' > $1/launch.toml',
        api=api,
    )
    assert _says(shop, made, "/cnb/process/web") == str(shop.place.app / folder)


@pytest.mark.parametrize(
    ("exec_env", "given", "runs"),
    [
        ('["test"]', None, False),
        ('["test"]', "test", True),
        ('["production"]', None, True),
        ('["*"]', "test", True),
        ("[]", "test", True),
    ],
)
def test_processes_by_execution_environment(
    exec_env: str, given: str | None, runs: bool, shop: Workshop
) -> None:
    made = _built(
        shop,
        f'echo \'[[processes]]\ntype = "web"\ncommand = ["true"]\nexec-env = {exec_env}\' > $1/launch.toml',
    )
    done = shop.launch(made, "/cnb/process/web", env={"CNB_EXEC_ENV": given} if given else {})
    assert (done.returncode == 0) == runs, done.stderr


@pytest.mark.parametrize(("given", "seen"), [(None, ""), ("test", "x")])
def test_layers_by_execution_environment(given: str | None, seen: str, shop: Workshop) -> None:
    made = _built(shop, "put one/env/A x; printf '[metadata]\\nexec-env = [\"test\"]\\n' >> $1/one.toml")
    env = {"CNB_EXEC_ENV": given} if given else {}
    assert _says(shop, made, "launcher", "echo $A", env=env) == seen
