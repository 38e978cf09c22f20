import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.lifecycle.release_yaml import Release, ReleaseError, parse_release


def test_what_published_buildpacks_print_is_read() -> None:
    text = (
        "---\naddons:\n  - heroku-postgresql\nconfig_vars:\n  LANG: en_US.UTF-8\n"
        "default_process_types:\n  web: bundle exec rails server -p ${PORT:-5000} # why\n  worker: 'it''s here'\n"
    )
    assert parse_release(text) == Release(
        processes={"web": "bundle exec rails server -p ${PORT:-5000}", "worker": "it's here"},
        config_vars={"LANG": "en_US.UTF-8"},
        addons=("heroku-postgresql",),
    )


@pytest.mark.parametrize(
    "text",
    ["", "---\n", "--- \n# nothing\n", "addons: []\ndefault_process_types: {}\n", "addons:\nconfig_vars:\n"],
)
def test_nothing_is_an_empty_release(text: str) -> None:
    assert parse_release(text) == Release()


def test_a_list_may_stand_at_the_indentation_of_its_key() -> None:
    assert parse_release("addons:\n- a\n- b\n").addons == ("a", "b")


def test_escapes_in_double_quotes_are_read() -> None:
    text = 'default_process_types:\n  web: "echo \\"a: b\\" # no comment" # one\n'
    assert parse_release(text).processes == {"web": 'echo "a: b" # no comment'}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("default_process_types:\n  web: &a x\n", "line 2, 'web: &a x': this kind of value"),
        ("default_process_types:\n  web: |\n    x\n", "line 2"),
        ("default_process_types:\n  web: run a: b\n", "put it in quotes"),
        ("default_process_types:\n  web: 'x\n", "quotes do not fit"),
        ('default_process_types:\n  web: "\\x41"\n', "escapes"),
        ("default_process_types:\n  web: a\n    worker: b\n", "line 3, 'worker: b': it is indented"),
        ("default_process_types:\n  web: a\n  web: b\n", "web comes twice"),
        ("addons: []\naddons: []\n", "addons comes twice"),
        ("default_process_types: {web: x}\n", "on lines of its own"),
        ("default_process_types:\n- web\n", "must be a mapping"),
        ("default_process_types:\n  web:\n", "web has no command"),
        ("default_process_types:\n  web: a\n  - b\n", "does not belong"),
        ("config_vars: {}\n  A: b\n", "does not belong"),
        ("config_vars:\n  ../../etc: b\n", "line 2"),
        ("config_vars:\n  a.b: c\n", "cannot be a variable's name"),
        ("Traceback (most recent call last)\n", "neither"),
        ("\tweb: x\n", "neither"),
    ],
)
def test_anything_else_is_refused_and_named(text: str, why: str) -> None:
    with pytest.raises(ReleaseError) as caught:
        parse_release(text)
    assert why in str(caught.value)


_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), min_size=1).map(
    str.strip
)
_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda n: n not in {"y", "n", "on", "off", "yes", "no", "true", "false", "null"}
)


@given(st.dictionaries(_NAMES, _WORDS.filter(bool), max_size=4))
def test_what_is_taken_means_what_yaml_says(processes: dict[str, str]) -> None:
    text = yaml.safe_dump({"default_process_types": processes}, allow_unicode=True, width=10_000)
    try:
        seen = parse_release(text)
    except ReleaseError:
        return  # PyYAML writes in ways that are refused, which loses nothing
    assert (
        dict(seen.processes)
        == {k: str(v) for k, v in yaml.load(text, yaml.BaseLoader)["default_process_types"].items()}
        if processes
        else not seen.processes
    )


@given(st.text(alphabet="ab:-#'\" \n{}[]|&", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        parse_release(text)
    except ReleaseError as error:
        assert str(error)
