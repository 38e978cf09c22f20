"""What is kept beside the image of an app that was really pushed, read by others' means as well."""

import base64
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.world import Developer, Server

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


@pytest.fixture
def bob(docker_server: Server) -> Developer:
    return docker_server.developer("bob")


@pytest.fixture
def apps(docker_server: Server) -> Iterator[Callable[[str], str]]:
    named: list[str] = []

    def name(kind: str) -> str:
        named.append(f"{kind}-{secrets.token_hex(3)}")
        return named[-1]

    yield name
    for app in named:
        docker_server.let_go(app)


def test_an_image_says_what_it_is_and_keeps_saying_so_where_it_is_promoted(
    bob: Developer, apps: Callable[[str], str]
) -> None:
    shop = bob.creates(apps("shop"), "flask")
    shop.push().ok().says("signed by sha256:", "components and provenance are kept beside the image")
    found = bob.ssh("releases", "info", shop.app, "v1", "--json").ok().json()
    assert found["sbom"]["components"] > 100
    key = Path(bob.server.settings["GITRECEIVE_SUPPLY_CHAIN_SIGNING_KEY_FILE"])
    public = key.with_suffix(".pub").read_text()
    bob.ssh("releases", "verify", shop.app, "--key", "-", stdin=public).ok().says(
        "ok    provenance:", "signed"
    )
    _is_signed_as_cosign_documents(found["image"], public)
    packages = bob.ssh("releases", "sbom", shop.app).ok()
    packages.says("deb", "libc6", "pypi", "flask")
    bob.ssh("releases", "provenance", shop.app).ok().says(found["commit"], "run-image")
    told = bob.ssh("releases", "provenance", shop.app, "--json").ok().json()
    inputs = {one["name"]: one for one in told["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert inputs["source"]["digest"]["gitCommit"] == found["commit"]
    assert {"run-image", "build-image"} <= inputs.keys()
    assert any(name.startswith("gitreceive/python@") for name in inputs)

    copy = apps("copy")
    bob.ssh("apps", "create", copy).ok()
    bob.ssh("promote", shop.app, "--to", copy).ok()
    bob.server.cli("releases", "verify", copy).ok().says(f"{shop.app}/builds/")
    again = bob.ssh("releases", "info", copy, "v1", "--json").ok().json()
    assert (again["sbom"], again["signed_by"]) == (found["sbom"], found["signed_by"])

    shop.commit("A word", {"templates/x.txt": "one\n"})
    shop.push().ok().says("No build needed", "signed by sha256:")
    bob.server.cli("releases", "verify", shop.app).ok()


def test_a_dockerfile_s_image_is_looked_through_as_well(bob: Developer, apps: Callable[[str], str]) -> None:
    shop = bob.creates(apps("docker"), "dockerfile")
    shop.push().ok()
    bob.server.cli("releases", "verify", shop.app).ok()
    bob.ssh("releases", "sbom", shop.app).ok().says("deb", "libc6")


def _is_signed_as_cosign_documents(image: str, public: str) -> None:
    """By a bare client and a bare library: the tag, the manifest, the payload, the signature."""
    place, _, digest = image.partition("@")
    host, _, name = place.partition("/")
    key = serialization.load_pem_public_key(public.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    with httpx.Client(base_url=f"http://{host}/v2/{name}", trust_env=False) as registry:
        manifest = _manifest(registry, f"{digest.replace(':', '-')}.sig")
        (layer,) = manifest["layers"]
        assert layer["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
        payload = registry.get(f"/blobs/{layer['digest']}").raise_for_status().content
        raw = base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"])
        key.verify(raw, payload, ec.ECDSA(hashes.SHA256()))
        critical = json.loads(payload)["critical"]
        assert critical["image"]["docker-manifest-digest"] == digest
        assert critical["type"] == "cosign container image signature"
        assert manifest["subject"]["digest"] == digest
        listed = _manifest(registry, digest.replace(":", "-"))
        kinds = {entry["artifactType"] for entry in listed["manifests"]}
        assert {"application/vnd.cyclonedx+json", "application/vnd.in-toto+json"} <= kinds


def _manifest(registry: httpx.Client, reference: str) -> Mapping[str, Any]:
    kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
    answer = registry.get(f"/manifests/{reference}", headers={"Accept": kinds}).raise_for_status()
    found: dict[str, Any] = answer.json()
    return found
