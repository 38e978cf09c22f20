"""What is kept beside an image, and whether it is found out when somebody changes it."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gitreceive.cancellation import Cancellation
from gitreceive.errors import RegistryError, UnavailableError
from gitreceive.model import (
    AppName,
    CommitId,
    Digest,
    Image,
    ImageRef,
    Job,
    JobId,
    JobState,
    NewReferrer,
    Push,
    PushOptions,
    Referrer,
    ReferrerPart,
    Release,
    Secret,
    UserName,
)
from gitreceive.ports import Origin
from gitreceive.supplychain.attesting import RegistryAttestor
from gitreceive.supplychain.inventory import Inventory
from gitreceive.supplychain.kinds import (
    ATTESTATIONS,
    BILL_TYPE,
    KEY_NOTE,
    PAYLOAD,
    SIGNATURES,
    STATEMENT_TYPE,
    cosign_tag,
)
from gitreceive.supplychain.signing import SigningKey
from tests.engines.oci_images import digest
from tests.fake_registry import FakeRegistry
from tests.supplychain.images import DEBIAN, FLASK, publish

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
COMMIT = CommitId("c0ffee0" + "0" * 33)
KEY = SigningKey(ec.generate_private_key(ec.SECP256R1()))
OTHER = SigningKey(ec.generate_private_key(ec.SECP256R1()))
BASE = ImageRef("docker.io/library/python", digest(b"python"))
LABELS: Mapping[str, object] = {
    "io.gitreceive.buildpacks": {"gitreceive/python@0.1.0": digest(b"buildpack")},
    "org.opencontainers.image.title": "shop",
}


def attestor(registry: FakeRegistry, folder: Path, key: SigningKey | None = None) -> RegistryAttestor:
    return RegistryAttestor(registry, Inventory(folder / "inventories"), "https://git.test", lambda: key)


def origin(image: ImageRef, build: int = 7) -> Origin:
    app, user = AppName("shop"), UserName("ada")
    options = PushOptions(buildpack="https://packs.test/a.tgz?token=hush-9")
    cause = Push(app, user, "refs/heads/main", CommitId("0" * 40), COMMIT, options)
    job = Job(JobId(build), cause, JobState.RELEASING, NOW, NOW)
    config = {"TOKEN": Secret("hush-1")}
    made = Image(image, (), None, ("gitreceive/python@0.1.0",), bases=(BASE,))
    return Origin(job, Release(app, 3, made, COMMIT, config, user, "Deploy", NOW))


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def image(registry: FakeRegistry, tmp_path: Path) -> ImageRef:
    return publish(registry, tmp_path, DEBIAN, FLASK, labels=LABELS)


def kinds(registry: FakeRegistry, image: ImageRef) -> list[str]:
    return sorted(referrer.artifact_type for referrer in registry.referrers(image))


def test_an_image_gets_a_bill_and_provenance(registry: FakeRegistry, image: ImageRef, tmp_path: Path) -> None:
    made = attestor(registry, tmp_path)
    assert made.sign(image, Cancellation()) is None
    assert made.attest(image, origin(image), Cancellation()).components == 3
    assert kinds(registry, image) == sorted((BILL_TYPE, STATEMENT_TYPE))
    papers = made.papers(image)
    assert (papers.components, papers.built, papers.keys) == (3, ("7",), ())


def test_provenance_says_from_what_and_by_whom_and_no_secret(
    registry: FakeRegistry, image: ImageRef, tmp_path: Path
) -> None:
    made = attestor(registry, tmp_path)
    made.attest(image, origin(image), Cancellation())
    content = made.provenance(image)
    assert content is not None
    assert b"hush" not in content
    told = json.loads(content)
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicateType"] == "https://slsa.dev/provenance/v1"
    assert told["subject"] == [
        {"name": "registry.test/shop", "digest": {"sha256": image.digest.removeprefix("sha256:")}}
    ]
    definition, run = told["predicate"]["buildDefinition"], told["predicate"]["runDetails"]
    assert definition["buildType"] == "urn:gitreceive:build-type:push/v1"
    assert definition["externalParameters"] == {
        "app": "shop",
        "commit": COMMIT,
        "ref": "refs/heads/main",
        "repository": "shop",
        "pushOptions": {"buildpack": "https://packs.test/a.tgz"},
    }
    by_name = {one["name"]: one for one in definition["resolvedDependencies"]}
    assert by_name["source"]["uri"] == "git+https://git.test/shop.git@refs/heads/main"
    assert by_name["source"]["digest"] == {"gitCommit": COMMIT}
    assert by_name["base-image"] == {
        "name": "base-image",
        "uri": "oci://docker.io/library/python",
        "digest": {"sha256": BASE.digest.removeprefix("sha256:")},
    }
    buildpack = by_name["gitreceive/python@0.1.0"]
    assert buildpack["digest"] == {"sha256": digest(b"buildpack").removeprefix("sha256:")}
    assert run["builder"]["id"] == "https://git.test"
    assert run["metadata"] == {
        "invocationId": "shop/builds/7",
        "startedOn": "2026-05-04T03:02:01Z",
        "finishedOn": "2026-05-04T03:02:01Z",
    }


def test_doing_it_twice_keeps_it_once(registry: FakeRegistry, image: ImageRef, tmp_path: Path) -> None:
    made = attestor(registry, tmp_path, KEY)
    for _ in range(2):
        assert made.sign(image, Cancellation()) == KEY.public.id
        made.attest(image, origin(image), Cancellation())
    assert kinds(registry, image) == sorted((BILL_TYPE, STATEMENT_TYPE, SIGNATURES, ATTESTATIONS))
    assert [len(r.parts) for r in registry.referrers(image) if r.artifact_type == SIGNATURES] == [1]
    assert [len(r.parts) for r in registry.referrers(image) if r.artifact_type == ATTESTATIONS] == [2]
    tags = {name.partition(":")[2] for name in registry.named}
    stem = image.digest.replace(":", "-")
    assert tags == {f"{stem}.sig", f"{stem}.att"}


def test_a_layer_is_fetched_once_for_all_images(
    registry: FakeRegistry, image: ImageRef, tmp_path: Path
) -> None:
    made = attestor(registry, tmp_path)
    made.attest(image, origin(image), Cancellation())
    bill = made.bill(image)
    for blob in registry.contents(image):
        registry.contents_of.pop(blob.digest, None)
    made.attest(image, origin(image), Cancellation())
    assert made.bill(image) == bill


def test_what_somebody_else_has_signed_stays(registry: FakeRegistry, image: ImageRef, tmp_path: Path) -> None:
    for key in (OTHER, KEY):
        made = attestor(registry, tmp_path, key)
        made.sign(image, Cancellation())
        made.attest(image, origin(image), Cancellation())
    assert set(made.papers(image).keys) == {KEY.public.id, OTHER.public.id}
    for key in (OTHER, KEY):
        assert all(check.ok for check in made.verify(image, key.public.pem.encode()))


class _Raced(FakeRegistry):
    """Before something of that kind is attached, somebody else does what is in ``meanwhile``."""

    meanwhile: tuple[str, Callable[[], object]] | None = None

    def attach(self, image: ImageRef, new: NewReferrer, cancel: Cancellation) -> Digest:
        if self.meanwhile and self.meanwhile[0] == new.artifact_type:
            (_, act), self.meanwhile = self.meanwhile, None
            act()
        return super().attach(image, new, cancel)


@pytest.mark.parametrize("kind", [SIGNATURES, ATTESTATIONS], ids=["signatures", "attestations"])
def test_two_that_sign_at_the_same_moment_are_both_found_where_cosign_looks(
    tmp_path: Path, kind: str
) -> None:
    registry = _Raced()
    image = publish(registry, tmp_path, DEBIAN, FLASK, labels=LABELS)
    ours, theirs = (attestor(registry, tmp_path, key) for key in (KEY, OTHER))

    def papers(made: RegistryAttestor) -> None:
        made.sign(image, Cancellation())
        made.attest(image, origin(image), Cancellation())

    registry.meanwhile = kind, lambda: papers(theirs)
    papers(ours)
    assert registry.meanwhile is None
    (found,) = [r for r in registry.referrers(image) if r.artifact_type == kind]
    assert found.digest == registry.named[f"{image.repository}:{cosign_tag(image.digest, kind)}"]
    assert {part.annotations[KEY_NOTE] for part in found.parts} == {KEY.public.id, OTHER.public.id}
    for made in (ours, theirs):
        assert all(check.ok for check in made.verify(image))


class _Contested(FakeRegistry):
    """Somebody signs again whenever somebody has signed."""

    def attach(self, image: ImageRef, new: NewReferrer, cancel: Cancellation) -> Digest:
        theirs = ReferrerPart(PAYLOAD, f"{len(self.contents_of)}".encode())
        super().attach(image, NewReferrer(SIGNATURES, (theirs,), {}, new.tag, cosign=True), cancel)
        return super().attach(image, new, cancel)


def test_signing_ends_where_others_sign_all_the_time(tmp_path: Path) -> None:
    registry = _Contested()
    image = publish(registry, tmp_path, DEBIAN)
    with pytest.raises(RegistryError, match="all the time"):
        attestor(registry, tmp_path, KEY).sign(image, Cancellation())


def test_two_builds_of_one_image_have_provenance_each(
    registry: FakeRegistry, image: ImageRef, tmp_path: Path
) -> None:
    made = attestor(registry, tmp_path, KEY)
    for build in (7, 12):
        made.attest(image, origin(image, build), Cancellation())
    made.sign(image, Cancellation())
    assert made.papers(image).built == ("12", "7")
    found = made.provenance(image, 7)
    assert found is not None
    assert b"shop/builds/7" in found
    assert all(check.ok for check in made.verify(image))


def signed(registry: FakeRegistry, folder: Path, image: ImageRef) -> RegistryAttestor:
    made = attestor(registry, folder, KEY)
    made.sign(image, Cancellation())
    made.attest(image, origin(image), Cancellation())
    return made


def outcome(made: RegistryAttestor, image: ImageRef, key: bytes | None = None) -> dict[str, bool]:
    return {check.name: check.ok for check in made.verify(image, key)}


def test_all_holds_of_what_nobody_has_changed(
    registry: FakeRegistry, image: ImageRef, tmp_path: Path
) -> None:
    made = signed(registry, tmp_path, image)
    whole = {"image": True, "signature": True, "SBOM": True, "provenance": True}
    assert outcome(made, image) == whole
    assert outcome(made, image, KEY.public.pem.encode()) == whole


def test_another_key_proves_nothing(registry: FakeRegistry, image: ImageRef, tmp_path: Path) -> None:
    made = signed(registry, tmp_path, image)
    found = outcome(made, image, OTHER.public.pem.encode())
    assert found == {"image": True, "signature": False, "SBOM": False, "provenance": False}


def _of(registry: FakeRegistry, image: ImageRef, kind: str) -> Referrer:
    return next(r for r in registry.referrers(image) if r.artifact_type == kind)


@pytest.mark.parametrize(
    ("kind", "check"), [(BILL_TYPE, "SBOM"), (STATEMENT_TYPE, "provenance"), (SIGNATURES, "signature")]
)
def test_what_was_put_in_its_place_is_found_out(
    registry: FakeRegistry, image: ImageRef, tmp_path: Path, kind: str, check: str
) -> None:
    made = signed(registry, tmp_path, image)
    old = _of(registry, image, kind)
    content = registry.document(image, old.parts[0].blob)
    changed = content.replace(b"flask", b"flusk").replace(b"builds/7", b"builds/8")
    if kind == SIGNATURES:
        changed = content.replace(image.digest.encode(), digest(b"other").encode())
    assert changed != content
    registry.detach(image, old.digest, Cancellation())
    part = ReferrerPart(old.parts[0].blob.media_type, changed, old.parts[0].annotations)
    registry.attach(image, NewReferrer(kind, (part,)), Cancellation())
    assert [name for name, ok in outcome(made, image).items() if not ok] == [check]


@pytest.mark.parametrize(
    ("kind", "check"), [(BILL_TYPE, "SBOM"), (STATEMENT_TYPE, "provenance"), (SIGNATURES, "signature")]
)
def test_what_is_missing_is_said(
    registry: FakeRegistry, image: ImageRef, tmp_path: Path, kind: str, check: str
) -> None:
    made = signed(registry, tmp_path, image)
    registry.detach(image, _of(registry, image, kind).digest, Cancellation())
    assert [name for name, ok in outcome(made, image).items() if not ok] == [check]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"predicate": 1}', b"\xff", b'{"bomFormat": "CycloneDX"}']
)
def test_documents_that_are_none_are_findings(
    registry: FakeRegistry, image: ImageRef, tmp_path: Path, content: bytes
) -> None:
    made = attestor(registry, tmp_path)
    for kind in (BILL_TYPE, STATEMENT_TYPE):
        registry.attach(image, NewReferrer(kind, (ReferrerPart(kind, content),)), Cancellation())
    assert outcome(made, image)["provenance"] is False
    made.papers(image)


def test_an_image_without_signatures_says_so(registry: FakeRegistry, image: ImageRef, tmp_path: Path) -> None:
    made = attestor(registry, tmp_path)
    made.attest(image, origin(image), Cancellation())
    checks = {check.name: check for check in made.verify(image)}
    assert not checks["signature"].ok
    assert checks["signature"].seen == "not signed"
    assert checks["SBOM"].ok
    assert "not checked" in checks["SBOM"].seen
    registry.images.clear()
    assert [(check.name, check.ok) for check in made.verify(image)] == [("image", False)]


def test_inventories_that_nobody_wants_go(registry: FakeRegistry, image: ImageRef, tmp_path: Path) -> None:
    shelf = Inventory(tmp_path / "inventories")
    assert shelf.unused(0) == {}
    shelf.layers(image, registry, Cancellation())
    (name, *others), limit = sorted(shelf.unused(-60)), 3600.0
    assert len(others) == 1
    assert shelf.unused(limit) == {}
    assert not shelf.drop(name, limit)
    assert shelf.drop(name, -60)
    assert sorted(shelf.unused(-60)) == others
    (tmp_path / "inventories" / others[0]).write_text("broken")
    assert len(shelf.layers(image, registry, Cancellation())) == 2


def test_a_layer_is_not_fetched_where_that_would_take_the_room_of_builds(
    registry: FakeRegistry, image: ImageRef, tmp_path: Path
) -> None:
    shelf = Inventory(tmp_path / "inventories", reserved=1 << 60)
    with pytest.raises(UnavailableError, match="the server's disk is full"):
        shelf.layers(image, registry, Cancellation())
    assert list((tmp_path / "inventories").iterdir()) == []
