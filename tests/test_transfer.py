"""Apps as a document: what was written is read, and what else is there is refused by name and without a value."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreceive.errors import UsageError
from gitreceive.model import (
    App,
    AppName,
    AppSettings,
    CheckKind,
    CommitId,
    CronTask,
    Declared,
    Digest,
    HealthCheck,
    Image,
    ImageRef,
    ProcessType,
    Release,
    ReviewRules,
    Scripts,
    Secret,
    UserName,
)
from gitreceive.stories.transfer import Transferred, document, parse, without

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_CONFIGS = st.dictionaries(
    st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True).filter("PORT".__ne__), _TEXTS.map(Secret)
)
_TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_IMAGES = st.builds(
    Image,
    st.builds(lambda n: ImageRef("registry.test/shop", Digest(f"sha256:{n:064x}")), st.integers(0, 2**64)),
    st.lists(
        st.builds(ProcessType, st.sampled_from(["web", "worker"]), st.tuples(_TEXTS, _TEXTS)), max_size=2
    ).map(tuple),
    st.none() | st.integers(1, 65535),
    st.just(("x/a@1",)),
    st.integers(0, 2**40),
)
_SHOP = AppName("shop")
_DECLARED = st.builds(
    Declared,
    st.just({})
    | st.builds(
        lambda check: {"web": (check,)}, st.builds(HealthCheck, st.sampled_from(CheckKind), path=_TEXTS)
    ),
    st.just(()) | st.builds(lambda task: (task,), st.builds(CronTask, _TEXTS, _TEXTS)),
    st.builds(Scripts, _TEXTS, _TEXTS),
)
_RULES = st.builds(ReviewRules, st.booleans(), st.integers(1, 10**6), st.just(()) | st.just(("A",)))


@st.composite
def apps(draw: st.DrawFn) -> Transferred:
    app = App(
        _SHOP,
        UserName("ada"),
        draw(st.sampled_from(["main", "prod/x"])),
        draw(_TIMES),
        ("docker://x/y@sha256:" + "a" * 64,),
        reviews=draw(_RULES),
    )
    numbers = sorted(draw(st.sets(st.integers(1, 99), max_size=3)))
    releases = tuple(
        Release(
            _SHOP,
            n,
            draw(_IMAGES),
            CommitId("c" * 40),
            draw(_CONFIGS),
            UserName("bob"),
            draw(_TEXTS),
            draw(_TIMES),
            declared=draw(_DECLARED),
        )
        for n in numbers
    )
    return Transferred(app, {} if releases else draw(_CONFIGS), AppSettings(), releases)


@given(apps())
def test_what_was_written_is_read(app: Transferred) -> None:
    assert parse(json.loads(json.dumps(document([app], with_config=True)))) == (app,)


@given(apps())
def test_without_config_its_names_alone_are_there_and_nothing_is_set(app: Transferred) -> None:
    written = document([app], with_config=False)
    (read,) = parse(written)
    assert not read.config
    assert not any(release.config for release in read.releases)
    if app.releases:
        assert set(written["apps"][0]["releases"][0]["config"]) == set(app.releases[0].config)


def good() -> dict[str, Any]:
    app = App(_SHOP, UserName("ada"), "main", datetime(2030, 1, 1, tzinfo=UTC))
    image = Image(
        ImageRef("registry.test/shop", Digest(f"sha256:{'a' * 64}")), (ProcessType("web"),), None, (), 1
    )
    release = Release(
        _SHOP,
        3,
        image,
        CommitId("c" * 40),
        {"A": Secret("hush")},
        UserName("ada"),
        "",
        datetime(2030, 1, 1, tzinfo=UTC),
    )
    return document([Transferred(app, {}, AppSettings(), (release,))], with_config=True)


def _in_release(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda found: found["apps"][0]["releases"][0].update({name: value})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda found: found.update(format="other"), "no file of apps"),
        (lambda found: found.update(version=2), "of version 2, and 1 is known"),
        (lambda found: found.update(more=1), "has no 'more'"),
        (lambda found: found.pop("apps"), "a list is missing"),
        (lambda found: found["apps"][0].update(name="Shop;"), "is not an app name"),
        (lambda found: found["apps"][0].update(owner=1), "owner must be text"),
        (lambda found: found["apps"][0].update(settings={"x": 1}), "'x'"),
        (
            lambda found: found["apps"][0]["releases"].append(found["apps"][0]["releases"][0]),
            "not in their order",
        ),
        (lambda found: found["apps"][0]["reviews"].update(wanted=1), "must be true or false"),
        (_in_release("declared", {"cron": [{"x": 1}]}), "what its source declares is not understood"),
        (_in_release("declared", {"health": {"web": [{}]}}), "what its source declares is not understood"),
        (_in_release("number", 0), "must be a number from 1"),
        (_in_release("commit", "c"), "not a full commit id"),
        (_in_release("config", {"PORT": "hush"}), "PORT is given to every process"),
        (_in_release("config", {"A": ["hush"]}), "the value of A is not a text"),
        (_in_release("config", {"A": "hush\0"}), "A holds a NUL byte"),
        (_in_release("created_at", "2030-01-01"), "no zone"),
        (_in_release("created_at", "soon"), "a time is missing"),
        (_in_release("image", {"ref": "x"}), "is not an image by digest"),
    ],
)
def test_what_else_is_there_is_refused_by_name(spoil: Callable[[dict[str, Any]], None], said: str) -> None:
    found = good()
    assert parse(found)
    spoil(found)
    with pytest.raises(UsageError, match=said) as refused:
        parse(found)
    assert "hush" not in refused.value.message + refused.value.hint


@pytest.mark.parametrize("found", [None, [], "x", 1, {}, {"format": "gitreceive apps"}])
def test_what_is_no_such_document_is_refused(found: object) -> None:
    with pytest.raises(UsageError):
        parse(found)


def test_of_what_was_lost_only_that_it_was_is_kept() -> None:
    (release,) = parse(good())[0].releases
    (lost,) = without((release,), [3])
    assert (lost.kept, dict(lost.config), lost.number) == (False, {}, 3)
    assert without((release,), []) == (release,)
