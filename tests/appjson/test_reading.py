import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitreceive.appjson.description import AppJson, Quantity, Variable
from gitreceive.appjson.reading import LARGEST, parse_app_json
from gitreceive.errors import SourceError
from gitreceive.model import (
    BuildpackRef,
    CheckKind,
    CronTask,
    Declared,
    HealthCheck,
    Scripts,
    Secret,
)

WHOLE = {
    "name": "Shop",
    "description": "Sells",
    "keywords": ["shop"],
    "website": "https://shop.example",
    "env": {
        "PLAIN": "text",
        "VALUE": {"description": "with a default", "value": "5"},
        "KEY": {"generator": "secret"},
        "ASKED": {"description": "yours"},
        "MAYBE": {"required": False},
    },
    "scripts": {
        "postdeploy": "python seed.py",
        "pr-predestroy": "python bye.py",
        "dokku": {"predeploy": "python check.py", "postdeploy": "python tell.py"},
    },
    "formation": {"web": {"quantity": 2, "size": "Standard-2X"}, "worker": {"quantity": 0}},
    "healthchecks": {
        "web": [
            {"type": "startup", "name": "up", "path": "/up", "attempts": 9, "wait": 1, "initialDelay": 2},
            {"type": "liveness", "command": ["python", "alive.py"], "timeout": 3},
            {"type": "readiness", "listening": True, "port": 9000},
        ]
    },
    "cron": [{"schedule": "0  3 * * *", "command": "python clean.py", "concurrency_policy": "forbid"}],
    "buildpacks": [{"url": "heroku/python"}, {"url": "./ci/pack"}],
    "environments": {"review": {"env": {"PLAIN": "review"}, "scripts": {"postdeploy": "python samples.py"}}},
}


def read(document: object) -> AppJson:
    return parse_app_json(json.dumps(document, indent=2).encode())


def test_all_of_it_is_read() -> None:
    found = read(WHOLE)
    assert found.env == {
        "PLAIN": Variable("PLAIN", Secret("text")),
        "VALUE": Variable("VALUE", Secret("5"), description="with a default"),
        "KEY": Variable("KEY", generated=True),
        "ASKED": Variable("ASKED", description="yours"),
        "MAYBE": Variable("MAYBE", required=False),
    }
    assert found.formation == {"web": Quantity(2, 1024, "standard-2x"), "worker": Quantity(0)}
    assert found.buildpacks == tuple(map(BuildpackRef.parse, ("gitreceive/python", "./ci/pack")))
    assert found.declared == Declared(
        health={
            "web": (
                HealthCheck(CheckKind.STARTUP, name="up", path="/up", attempts=9, wait=1, initial_delay=2),
                HealthCheck(CheckKind.LIVENESS, command=("python", "alive.py"), timeout=3),
                HealthCheck(CheckKind.READINESS, listening=True, port=9000),
            )
        },
        cron=(CronTask("0 3 * * *", "python clean.py", "forbid"),),
        scripts=Scripts("python check.py", "python tell.py", "python seed.py", "python bye.py"),
    )


def test_an_environment_is_laid_over_it() -> None:
    review = read(WHOLE).within("review")
    assert review.env["PLAIN"].value == Secret("review")
    assert review.env["VALUE"].value == Secret("5")
    assert review.scripts.first == "python samples.py"
    assert review.scripts.before == "python check.py"
    assert review.health == read(WHOLE).health
    assert read(WHOLE).within("staging") == read(WHOLE).within("test")


def test_an_environment_can_say_that_there_is_nothing() -> None:
    document = {**WHOLE, "environments": {"review": {"cron": [], "healthchecks": {}}}}
    assert read(document).within("review").declared.cron == ()
    assert read(document).within("review").declared.health == {}


def test_nothing_is_asked_for_without_a_file_or_by_somebody_elses() -> None:
    assert parse_app_json(b"") == AppJson()
    expo = read({"expo": {"name": "shop", "slug": "shop", "ios": {"buildNumber": 3}}})
    assert expo.notices == ("app.json: expo is not known and changes nothing",)
    assert expo.declared == Declared()


def test_what_changes_nothing_is_said() -> None:
    found = read(
        {
            "addons": ["heroku-postgresql"],
            "stack": "heroku-24",
            "formation": {"web": {"size": "huge", "max_parallel": 2}},
            "healthchecks": {"web": [{"type": "startup", "uptime": 10}, {"path": "/", "content": "Hello"}]},
            "scripts": {"test": "pytest"},
            "cron": [{"schedule": "@daily", "command": "x", "maintenance": True}],
            "buildpacks": [{"url": "https://github.com/heroku/heroku-buildpack-ruby.git"}],
        }
    )
    assert [notice.removeprefix("app.json: ").split(" changes nothing")[0] for notice in found.notices] == [
        "addons",
        "stack",
        "scripts.test",
        "formation.web.max_parallel",
        "formation.web.size",
        "healthchecks.web[0].uptime",
        "healthchecks.web[1].content",
        "cron[0] is in maintenance, and is not run",
        "buildpacks[0].url: https://github.com/heroku/heroku-buildpack-ruby.git is gitreceive/ruby here",
    ]
    assert found.cron == ()
    assert [check.path for check in found.health["web"]] == ["/"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "app.json, line 1, column 1: is a list, and has to be an object"),
        ('{"a": 1,}', "app.json, line 1, column 8: a comma stands behind the last one"),
        ('{"cron": [\n{"schedule": "@daily"}]}', "line 2, column 1: cron[0]: has no command"),
        (
            '{"cron": [{"schedule": "0 25 * * *",\n"command": "x"}]}',
            "line 1, column 24: cron[0].schedule: '25' is outside of what the hour can be",
        ),
        ('{"env": {"A": 1}}', "line 1, column 15: env.A: is a number, and has to be a text"),
        ('{"env": {"PORT": "1"}}', "env.PORT: PORT is given to every process"),
        ('{"env": {"A": {"generator": "echo 5"}}}', "env.A.generator: 'echo 5' is not known"),
        ('{"env": {"A": {"generator": "secret", "value": "hush"}}}', "env.A: has both value and generator"),
        ('{"env": {"A": {"valeu": "hush"}}}', "line 1, column 16: env.A.valeu: is not known"),
        ('{"env": {"A": "hush\\u0000"}}', "env.A: holds a NUL"),
        ('{"formation": {"web": {"quantity": -1}}}', "formation.web.quantity: -1 is not between 0 and 1000"),
        ('{"formation": {"web": {"quantity": true}}}', "formation.web.quantity: is true, and has to be a"),
        ('{"formation": {"Web": {}}}', "formation.Web: 'Web' is not a process type"),
        ('{"healthchecks": {"web": {}}}', "healthchecks.web: is an object, and has to be a list"),
        ('{"healthchecks": {"web": [{"path": "up"}]}}', "healthchecks.web[0].path: 'up' is not the path"),
        (
            '{"healthchecks": {"web": [{"path": "/", "listening": true}]}}',
            "healthchecks.web[0]: has both path and listening",
        ),
        (
            '{"healthchecks": {"web": [{"path": "/"},\n {"path": "/x"}]}}',
            "line 2, column 2: healthchecks.web[1]: is a second startup check of web",
        ),
        ('{"healthchecks": {"web": [{"type": "start"}]}}', "healthchecks.web[0].type: 'start' is not known"),
        ('{"healthchecks": {"web": [{"command": []}]}}', "healthchecks.web[0].command: names no program"),
        (
            '{"healthchecks": {"web": [{"path": "/", "httpHeaders": [{"name": "A B", "value": ""}]}]}}',
            "healthchecks.web[0].httpHeaders[0].name: 'A B' is not the name of a header",
        ),
        ('{"healthcheck": {}}', "line 1, column 2: healthcheck: is not known"),
        ('{"scripts": {"postdeploy": ""}}', "scripts.postdeploy: is empty"),
        ('{"scripts": {"predeploy": "x"}}', "scripts.predeploy: is not known"),
        (
            '{"buildpacks": [{"url": "git@github.com:a/b"}]}',
            "buildpacks[0].url: 'git@github.com:a/b' names no",
        ),
        ('{"environments": {"review": {"env": []}}}', "environments.review.env: is a list, and has to be an"),
        ('{"environments": {"review": {"environments": {}}}}', "environments.review.environments is not"),
    ],
)
def test_what_is_wrong_is_refused_with_line_and_key(text: str, said: str) -> None:
    try:
        notices = parse_app_json(text.encode()).environments["review"].notices
    except SourceError as error:
        assert said in error.message
        assert "hush" not in error.message + error.hint
    else:
        assert any(said in notice for notice in notices)


def test_a_near_miss_is_told() -> None:
    with pytest.raises(SourceError) as caught:
        read({"env": {"A": {"generater": "secret"}}})
    assert caught.value.hint == "did you mean generator?"


def test_a_file_that_is_too_large_or_no_text_is_refused() -> None:
    with pytest.raises(SourceError, match="larger than 256 KiB"):
        parse_app_json(b" " * LARGEST)
    with pytest.raises(SourceError, match="line 2: is not UTF-8"):
        parse_app_json(b'{"name":\n "\xff"}')


_SCALARS = st.none() | st.booleans() | st.integers(-5, 70000) | st.floats() | st.text(max_size=12)
_KEYS = st.sampled_from(
    [*WHOLE, "web", "review", "path", "command", "type", "url", "value", "dokku", "quantity", "httpHeaders"]
) | st.text(max_size=6)
_TREES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4)
)


@given(st.dictionaries(_KEYS, _TREES, max_size=5))
@example({"env": {"A\nB": None}})
def test_no_document_does_more_than_be_refused(document: dict[str, object]) -> None:
    try:
        assert parse_app_json(json.dumps(document).encode()).within("review").notices is not None
    except SourceError as error:
        assert error.message.startswith("app.json")


@given(st.binary(max_size=40), st.integers(0, 1500), st.integers(0, 40))
def test_no_damage_to_a_file_does_more_than_be_refused(damage: bytes, at: int, length: int) -> None:
    whole = json.dumps(WHOLE).encode()
    try:
        parse_app_json(whole[:at] + damage + whole[at + length :])
    except SourceError as error:
        assert error.message.startswith("app.json")
