"""``releases sbom``, ``provenance`` and ``verify`` as they are typed: a real ledger, and a registry in this process."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gitreceive.cancellation import Cancellation
from gitreceive.model import AppName
from gitreceive.ports import Origin
from gitreceive.supplychain.attesting import RegistryAttestor
from gitreceive.supplychain.inventory import Inventory
from gitreceive.supplychain.signing import SigningKey
from tests.cli.conftest import Cli
from tests.cli.people import has_key
from tests.cli.place import Place
from tests.engines.scripted_registry import status

KEY = SigningKey(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def shop(place: Place) -> Place:
    """An app whose first release has nothing beside its image, and whose second has all but provenance."""
    place.live("shop")
    place.live("shop", holding="other")
    image = place.ledger.release(AppName("shop"), 2).image.ref
    made = RegistryAttestor(place.registry, Inventory(place.folder / "known"), "ssh://git.test", lambda: KEY)
    made.sign(image, Cancellation())
    made.attest(image, None, Cancellation())
    return place


def test_a_release_tells_what_is_kept_beside_its_image(cli: Cli, shop: Place) -> None:
    told = cli("releases", "info", "shop", "v2", acting="alice").ok().out
    assert f"signed by:  {KEY.public.id}" in told
    assert "SBOM:       1 components" in told
    assert "provenance: none" in told
    facts = cli("releases", "info", "shop", "v2", "--json").ok().json()
    assert facts["sbom"] == {"components": 1}
    assert (facts["provenance"], facts["signed_by"]) == ([], [KEY.public.id])
    bare = cli("releases", "info", "shop", "v1", "--json").ok().json()
    assert (bare["sbom"], bare["provenance"], bare["signed_by"]) == (None, [], [])


def test_a_registry_that_does_not_answer_hides_no_release(cli: Cli, shop: Place) -> None:
    shop.server.fail("GET", "/referrers/", status(403), times=9)
    told = cli("releases", "info", "shop", "v2").ok().out
    assert "SBOM:       not known: the registry" in told
    facts = cli("releases", "info", "shop", "v2", "--json").ok().json()
    assert facts["sbom"] is None
    assert "403" in facts["unknown"]


def test_the_packages_of_the_live_release_are_listed(cli: Cli, shop: Place) -> None:
    table = cli("releases", "sbom", "shop", acting="alice").ok().out.splitlines()
    assert table[0].split() == ["KIND", "PACKAGE", "VERSION"]
    assert table[1].split() == ["deb", "libssl3", "3.0.11"]
    document = json.loads(cli("releases", "sbom", "shop", "v2", "--json").ok().out)
    assert document["bomFormat"] == "CycloneDX"


def test_what_went_into_the_image_is_listed(cli: Cli, shop: Place) -> None:
    release = shop.ledger.release(AppName("shop"), 1)
    job = shop.ledger.jobs(AppName("shop"), 2)[-1]
    made = RegistryAttestor(shop.registry, Inventory(shop.folder / "known"), "ssh://git.test", lambda: None)
    made.attest(release.image.ref, Origin(job, release), Cancellation())
    said = cli("releases", "provenance", "shop", "v1", acting="alice").ok()
    assert said.out.splitlines()[0].split() == ["INPUT", "DIGEST", "FROM"]
    assert f"source     {release.commit}" in said.out
    assert f"shop/builds/{job.id} of ssh://git.test" in said.err
    document = cli("releases", "provenance", "shop", "v1", "--json").ok().json()
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"


def test_what_is_not_there_is_said(cli: Cli, shop: Place) -> None:
    cli("releases", "sbom", "shop", "v1").failed(3, "no SBOM of shop v1")
    cli("releases", "provenance", "shop").failed(3, "no provenance of shop v2")
    cli("releases", "sbom", "shop", "v9").failed(3)


def test_verify_tells_each_finding_and_fails_where_one_does_not_hold(cli: Cli, shop: Place) -> None:
    key = shop.folder / "signing.pub"
    key.write_text(KEY.public.pem)
    said = cli("releases", "verify", "shop", "--key", str(key))
    assert said.code == 1
    assert f"ok    signature: by {KEY.public.id}" in said.out
    assert "ok    SBOM: 1 components, signed" in said.out
    assert "FAIL  provenance: there is none" in said.out
    found = cli("releases", "verify", "shop", "v1", "--json")
    assert found.code == 1
    assert {one["name"]: one["ok"] for one in found.json()["checks"]} == {
        "image": True,
        "signature": False,
        "SBOM": False,
        "provenance": False,
    }


def test_over_ssh_no_file_of_the_server_is_read(cli: Cli, shop: Place) -> None:
    key = shop.folder / "signing.pub"
    key.write_text(KEY.public.pem)
    cli("releases", "verify", "shop", "--key", str(key), acting="alice").failed(2, "files of the server")
    cli("releases", "verify", "shop", "--key", "/nowhere").failed(2, "cannot be read")
    cli("releases", "verify", "shop", "--key", "-", stdin="no key").failed(2, "no public key")
    assert (
        "signature: by"
        in cli("releases", "verify", "shop", "--key", "-", stdin=KEY.public.pem, acting="alice").out
    )


def test_who_may_not_see_the_app_sees_none_of_it(cli: Cli, shop: Place) -> None:
    has_key(shop.ledger, "mallory")
    for words in (("sbom",), ("provenance",), ("verify",)):
        assert cli("releases", *words, "shop", acting="mallory").code in {3, 5}
