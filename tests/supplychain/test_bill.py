"""An image's bill of materials: what its layers hold together, in a document that CycloneDX's own schema takes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from gitreceive.cancellation import Cancellation
from gitreceive.model import ImageFacts
from gitreceive.supplychain.bill import bill_of, count
from gitreceive.supplychain.layer import LayerFacts, read_layer
from tests.engines.oci_images import digest
from tests.supplychain.images import DEBIAN, FLASK, write

IMAGE = digest(b"image")


def read(folder: Path, *layers: Mapping[str, bytes]) -> list[LayerFacts]:
    return [read_layer(write(folder, files), Cancellation()) for files in layers]


def document(layers: list[LayerFacts], labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    made = bill_of(IMAGE, ImageFacts("linux", "amd64", "", labels or {}), layers)
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.content.decode())
    assert problem is None, problem
    assert count(made.content) == made.components
    found: dict[str, Any] = json.loads(made.content)
    return found


def urls(found: Mapping[str, Any]) -> list[str]:
    return sorted(one["purl"] for one in found.get("components", ()) if "purl" in one)


def test_every_package_has_its_url_and_the_system_is_named(tmp_path: Path) -> None:
    found = document(read(tmp_path, DEBIAN, FLASK), {"org.opencontainers.image.title": "shop"})
    assert urls(found) == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=bookworm",
        "pkg:pypi/flask@3.0.0",
    ]
    system = next(one for one in found["components"] if one["type"] == "operating-system")
    assert (system["name"], system["version"]) == ("debian", "bookworm")
    assert found["metadata"]["component"]["name"] == "shop"
    assert found["metadata"]["component"]["version"] == IMAGE
    flask = next(one for one in found["components"] if one["name"] == "flask")
    assert flask["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert flask["properties"][0]["value"].endswith("flask-3.0.0.dist-info/METADATA")


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    facts = ImageFacts("linux", "amd64", "", {})
    assert bill_of(IMAGE, facts, read(tmp_path, DEBIAN, FLASK)) == bill_of(
        IMAGE, facts, read(tmp_path, DEBIAN, FLASK)
    )


def test_an_empty_image_has_a_bill_as_well() -> None:
    assert urls(document([])) == []


def test_what_a_layer_above_removes_or_replaces_is_not_in_the_image(tmp_path: Path) -> None:
    site = "layers/x/deps/lib/python3.11/site-packages"
    gone = {f"{site}/.wh.flask-3.0.0.dist-info": b""}
    assert urls(document(read(tmp_path, FLASK, gone))) == []
    assert urls(document(read(tmp_path, FLASK, {f"{site}/.wh..wh..opq": b""}))) == []
    assert urls(document(read(tmp_path, gone, FLASK))) == ["pkg:pypi/flask@3.0.0"]
    newer = {"var/lib/dpkg/status": b"Package: nano\nStatus: install ok installed\nVersion: 8\n"}
    assert urls(document(read(tmp_path, DEBIAN, newer))) == ["pkg:deb/debian/nano@8?distro=bookworm"]


def test_a_lock_counts_only_where_nothing_of_its_kind_is_installed(tmp_path: Path) -> None:
    lock = {"workspace/package-lock.json": b'{"packages": {"node_modules/react": {"version": "18.3.1"}}}'}
    there = {
        "workspace/node_modules/vue/package.json": b'{"name": "vue", "version": "3.4.0", "license": "MIT"}'
    }
    alone = document(read(tmp_path, lock))
    assert urls(alone) == ["pkg:npm/react@18.3.1"]
    assert alone["components"][0]["scope"] == "optional"
    assert urls(document(read(tmp_path, {**lock, **there}))) == ["pkg:npm/vue@3.4.0"]


def test_runtimes_that_buildpacks_tell_of_are_in_it() -> None:
    data = {"version": "3.1.2", "packages": ["ruby3.1=3.1.2-7", "no version"]}
    told = {
        "buildpacks": [
            {"key": "gitreceive/ruby", "layers": {"ruby": {"data": data}, "other": {"data": None}}}
        ]
    }
    label = {"io.buildpacks.lifecycle.metadata": json.dumps(told)}
    assert urls(document([], label)) == ["pkg:deb/debian/ruby3.1@3.1.2-7", "pkg:generic/ruby@3.1.2"]
    for broken in ("[]", "no JSON", '{"buildpacks": [{}]}', '{"buildpacks": 1}'):
        assert urls(document([], {"io.buildpacks.lifecycle.metadata": broken})) == []


def test_one_package_is_one_however_many_tell_of_it(tmp_path: Path) -> None:
    listed = {"components": [{"name": "flask", "version": "3.0.0", "purl": "pkg:pypi/flask@3.0.0"}]}
    files = {**FLASK, "layers/sbom/launch/a/sbom.cdx.json": json.dumps(listed).encode()}
    found = document(read(tmp_path, files))
    assert urls(found) == ["pkg:pypi/flask@3.0.0"]
    assert len(found["components"][0]["properties"]) == 2


def test_what_could_not_be_read_is_said_in_it(tmp_path: Path) -> None:
    found = document(read(tmp_path, {"workspace/app.jar": b"none"}))
    notes = found["metadata"]["properties"]
    assert [note["value"] for note in notes] == ["workspace/app.jar: not all of it could be read"]


def test_words_that_are_no_urls_do_not_break_it(tmp_path: Path) -> None:
    odd = {
        "components": [
            {"name": "a b/ü?#@", "version": "1 2"},
            {"name": "x", "version": "1", "purl": "pkg:nothing"},
            {"name": "y", "purl": "pkg:generic/y?checksum=a:b"},
            {"name": 7},
            "z",
        ]
    }
    files = {"layers/sbom/launch/a/sbom.cdx.json": json.dumps(odd).encode()}
    assert len(urls(document(read(tmp_path, files)))) == 3
