"""Buildpack API, "Layer Types", "Phase #2: Analysis", "Reusing Layers": what a build finds of the one before."""

import itertools

import pytest

from tests.conformance.workshop import Made, Workshop

# build, cache, launch: metadata and SBOM restored, layer restored. The specification's own table
_TABLE = {
    (True, True, True): (True, True),
    (True, True, False): (True, True),
    (True, False, True): (False, False),
    (True, False, False): (False, False),
    (False, True, True): (True, True),
    (False, True, False): (True, True),
    (False, False, True): (True, False),
    (False, False, False): (False, False),
}
_LOOK = """
for what in deps deps.toml deps.sbom.cdx.json store.toml launch.sbom.cdx.json build.sbom.cdx.json; do
  [ ! -e $CNB_LAYERS_DIR/$what ] || echo $what
done > seen
[ ! -e $CNB_LAYERS_DIR/deps.toml ] || cat $CNB_LAYERS_DIR/deps.toml > metadata
"""


def _layer(*, build: bool, cache: bool, launch: bool) -> str:
    flags = f"build = {build}\\ncache = {cache}\\nlaunch = {launch}\\n".lower()
    return f"""
    mkdir -p $CNB_LAYERS_DIR/deps; echo content > $CNB_LAYERS_DIR/deps/file
    printf '[types]\\n{flags}[metadata]\\nkey = "k"\\n' > $CNB_LAYERS_DIR/deps.toml
    echo '{{}}' | tee $CNB_LAYERS_DIR/deps.sbom.cdx.json > $CNB_LAYERS_DIR/launch.sbom.cdx.json
    echo '{{}}' > $CNB_LAYERS_DIR/build.sbom.cdx.json
    echo '[metadata]' > $CNB_LAYERS_DIR/store.toml
    """


def _twice(shop: Workshop, first: str, second: str) -> tuple[Made, Made]:
    shop.order("a")
    shop.buildpack("a", first)
    before = shop.build()
    assert before.event["event"] == "done", before.event
    shop.buildpack("a", second)
    return before, shop.build(known=before.ids)


def test_the_table_is_whole() -> None:
    assert set(_TABLE) == set(itertools.product([True, False], repeat=3))


@pytest.mark.parametrize("flags", _TABLE)
def test_what_is_restored(flags: tuple[bool, bool, bool], shop: Workshop) -> None:
    build, cache, launch = flags
    _, after = _twice(shop, _layer(build=build, cache=cache, launch=launch), _LOOK)
    seen = set(after.contents["workspace/seen"].decode().split())
    metadata, layer = _TABLE[flags]
    assert ("deps.toml" in seen, "deps.sbom.cdx.json" in seen) == (metadata, metadata)
    assert ("deps" in seen) == layer
    assert "store.toml" in seen
    assert not {"launch.sbom.cdx.json", "build.sbom.cdx.json"} & seen
    if metadata:
        assert after.contents["workspace/metadata"] == b'metadata = {key = "k"}\n'


@pytest.mark.parametrize("flags", _TABLE)
def test_what_the_image_holds(flags: tuple[bool, bool, bool], shop: Workshop) -> None:
    build, cache, launch = flags
    shop.order("a")
    shop.buildpack("a", _layer(build=build, cache=cache, launch=launch))
    made = shop.build()
    assert ("test/a:deps" in made.titles) == launch
    sboms = {name for name in made.contents if name.startswith("layers/sbom/")}
    of_layer = {"layers/sbom/launch/test_a/deps/sbom.cdx.json"} if launch else set()
    assert sboms == {"layers/sbom/launch/test_a/sbom.cdx.json"} | of_layer


def test_a_layer_without_flags_is_out_of_the_way_of_later_buildpacks(shop: Workshop) -> None:
    shop.buildpack("a", "mkdir $CNB_LAYERS_DIR/{plain,bare}; touch $CNB_LAYERS_DIR/plain.toml")
    shop.buildpack("b", "ls $CNB_LAYERS_DIR/../test_a > seen")
    shop.order("a b")
    assert shop.build().contents["workspace/seen"] == b"bare.ignore\nplain.ignore\nplain.toml\n"


def test_a_launch_layer_without_folder_is_that_of_the_previous_image(shop: Workshop) -> None:
    first = _layer(build=False, cache=False, launch=True)
    again = "printf '[types]\\nlaunch = true\\n[metadata]\\nkey = \"new\"\\n' > $CNB_LAYERS_DIR/deps.toml"
    before, after = _twice(shop, first, again)
    assert after.reused == ["test/a:deps"]
    assert after.ids["test/a:deps"] == before.ids["test/a:deps"]
    (entry,) = after.event["contents"]
    assert entry["layers"]["deps"] == {"build": False, "launch": True, "cache": False, "data": {"key": "new"}}
    third = shop.build(known=after.ids)
    assert third.reused == ["test/a:deps"], "and it goes on being reused"


def test_a_cached_layer_whose_folder_is_removed_is_that_of_the_previous_image_too(shop: Workshop) -> None:
    first = _layer(build=False, cache=True, launch=True)
    again = "rm -r $CNB_LAYERS_DIR/deps; printf '[types]\\nlaunch = true\\n' > $CNB_LAYERS_DIR/deps.toml"
    _, after = _twice(shop, first, again)
    assert after.reused == ["test/a:deps"]


def test_without_a_previous_image_that_is_an_error(shop: Workshop) -> None:
    shop.buildpack("a", "printf '[types]\\nlaunch = true\\n' > $CNB_LAYERS_DIR/deps.toml")
    shop.order("a")
    event = shop.build().event
    assert (event["event"], event["buildpack"]) == ("failed", "test/a")
    assert event["reason"] == "its launch layer 'deps' has no folder, and no previous image has it"


def test_a_layer_that_is_not_asked_for_again_leaves_image_and_cache(shop: Workshop) -> None:
    _, after = _twice(shop, _layer(build=False, cache=True, launch=True), "true")
    assert "test/a:deps" not in after.titles
    shop.buildpack("a", _LOOK)
    assert b"deps\n" not in shop.build(known=after.ids).contents["workspace/seen"]


def test_flags_may_be_set_again_in_what_was_restored(shop: Workshop) -> None:
    again = "printf '[types]\\nlaunch = true\\ncache = true\\n' >> $CNB_LAYERS_DIR/deps.toml"
    before, after = _twice(shop, _layer(build=True, cache=True, launch=True), again)
    assert after.ids["test/a:deps"] == before.ids["test/a:deps"]
    assert after.reused == ["test/a:deps"]
