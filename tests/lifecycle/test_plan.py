import pytest

from gitreceive.lifecycle.plan import Candidate, Entry, Option, Resolution, parse_options, resolve


def _option(provides: str = "", requires: str = "") -> Option:
    return Option(tuple(provides.split()), tuple({"name": name} for name in requires.split()))


def _candidate(key: str, *options: Option, optional: bool = False) -> Candidate:
    return Candidate(key, optional, options or (Option(),))


def _keys(*candidates: Candidate) -> tuple[str, ...]:
    outcome = resolve(candidates)
    assert isinstance(outcome, Resolution), outcome
    return outcome.keys


def test_buildpacks_without_a_plan_all_build() -> None:
    assert _keys(_candidate("a"), _candidate("b")) == ("a", "b")


def test_no_candidate_is_no_group() -> None:
    assert resolve([]) == "none of its buildpacks takes the source"


def test_a_requirement_is_met_by_an_earlier_buildpack() -> None:
    outcome = resolve([_candidate("node", _option("node")), _candidate("npm", _option("", "node"))])
    assert outcome == Resolution(("node", "npm"), (Entry("node", ("node",), ({"name": "node"},)),))


def test_a_requirement_is_met_by_the_same_buildpack() -> None:
    assert _keys(_candidate("a", _option("x", "x"))) == ("a",)


def test_a_requirement_is_not_met_by_a_later_buildpack() -> None:
    outcome = resolve([_candidate("npm", _option("", "node")), _candidate("node", _option("node", "node"))])
    assert outcome == "npm requires 'node', which no buildpack before it provides"


def test_what_nobody_requires_may_not_be_provided() -> None:
    assert resolve([_candidate("a", _option("x"))]) == "a provides 'x', which no buildpack after it requires"


def test_a_requirement_before_the_provision_does_not_count_for_it() -> None:
    group = [_candidate("a", _option("x", "x")), _candidate("b", _option("x"), optional=True)]
    assert _keys(*group) == ("a",)


def test_an_optional_buildpack_that_does_not_fit_is_left_out_and_the_rest_is_tried_again() -> None:
    group = [
        _candidate("a", _option("x"), optional=True),
        _candidate("b", _option("", "x y"), optional=True),
        _candidate("c"),
    ]
    assert _keys(*group) == ("c",)


def test_only_optional_buildpacks_that_do_not_fit_are_no_group() -> None:
    outcome = resolve([_candidate("a", _option("x"), optional=True)])
    assert outcome == "only optional buildpacks took the source, and none of them is needed"


def test_alternatives_are_tried_in_the_order_that_the_first_buildpack_prefers() -> None:
    first = _candidate("a", _option("x"), _option("y"), _option())
    assert _keys(first, _candidate("b", _option("", "y"))) == ("a", "b")
    outcome = resolve([first, _candidate("b", _option("", "z"), _option("", "y"))])
    assert isinstance(outcome, Resolution)
    assert [entry.name for entry in outcome.entries] == ["y"]


def test_several_may_provide_and_require_the_same() -> None:
    outcome = resolve(
        [_candidate("a", _option("x")), _candidate("b", _option("x", "x")), _candidate("c", _option("", "x"))]
    )
    assert isinstance(outcome, Resolution)
    assert outcome.entries == (Entry("x", ("a", "b"), ({"name": "x"}, {"name": "x"})),)


def test_a_build_plan_has_its_top_level_and_its_alternatives() -> None:
    document = {
        "provides": [{"name": "x"}],
        "or": [{"requires": [{"name": "y", "metadata": {"version": "1"}}]}, {}],
    }
    assert parse_options(document) == (
        Option(("x",), ()),
        Option((), ({"name": "y", "metadata": {"version": "1"}},)),
        Option(),
    )


@pytest.mark.parametrize(
    "document",
    [
        {"provides": 1},
        {"provides": ["a"]},
        {"provides": [{"name": 1}]},
        {"requires": [{"name": []}]},
        {"requires": [{"name": "a", "metadata": 1}]},
        {"or": 1},
        {"or": [1]},
        {"or": [{"provides": [{}]}]},
    ],
)
def test_a_plan_of_another_shape_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_options(document)


def test_plans_whose_alternatives_explode_are_refused_at_once() -> None:
    options = (Option(requires=({"name": "nobody has it"},)),) * 100
    said = resolve([Candidate(key, False, options) for key in "abcdefgh"])
    assert isinstance(said, str)
    assert "more than 10000 ways" in said
