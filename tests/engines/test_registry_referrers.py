"""The contract of what is kept beside images, on the fake, on a registry that lists referrers itself, and on those that do not."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.engines.oci_registry.manifest import INDEX
from gitreceive.engines.oci_registry.referrers import tags_of
from gitreceive.errors import RegistryError
from gitreceive.model import Digest, ImageRef, NewReferrer, ReferrerPart
from gitreceive.ports import Registry
from tests.engines.oci_images import Notes, build, digest, layer
from tests.engines.real_registry import docker_registry
from tests.engines.scripted_registry import Action, Handler, ScriptedRegistry, serving, status
from tests.fake_registry import FakeRegistry

BILL = "application/vnd.cyclonedx+json"


@pytest.fixture(scope="session")
def real_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("referrers")) as address:
        yield address


@pytest.fixture
def scripted() -> Iterator[ScriptedRegistry]:
    with serving() as server:
        yield server


def engine(address: str) -> OciRegistry:
    return OciRegistry(address, insecure=False, environment={}, login=lambda _: None)


@pytest.fixture(params=["fake", "listing", "plain", pytest.param("real", marks=pytest.mark.registry)])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    if request.param == "fake":
        yield FakeRegistry()
        return
    if request.param == "real":
        address = str(request.getfixturevalue("real_address"))
    else:
        server: ScriptedRegistry = request.getfixturevalue("scripted")
        server.lists_referrers, address = request.param == "listing", server.address
    opened = engine(address)
    yield opened
    opened.close()


@pytest.fixture
def image(registry: Registry, request: pytest.FixtureRequest, tmp_path: Path) -> ImageRef:
    name = digest(request.node.name.encode()).short
    return registry.publish(build(layer(tmp_path, name)), f"r/{name}", Notes(), Cancellation())


def new(content: bytes, kind: str = BILL, *, tag: str = "", cosign: bool = False) -> NewReferrer:
    part = ReferrerPart(kind, content, {"a.note": "x"})
    return NewReferrer(kind, (part,), {"of": content.decode()}, tag, cosign)


def attach(registry: Registry, image: ImageRef, *contents: bytes) -> list[Digest]:
    return [registry.attach(image, new(content), Cancellation()) for content in contents]


def contents(registry: Registry, image: ImageRef) -> list[bytes]:
    found = registry.referrers(image)
    return sorted(registry.document(image, part.blob) for one in found for part in one.parts)


def test_what_is_attached_is_found_with_all_that_was_said_of_it(registry: Registry, image: ImageRef) -> None:
    assert registry.referrers(image) == ()
    (kept,) = attach(registry, image, b"one")
    (found,) = registry.referrers(image)
    assert (found.digest, found.artifact_type, found.annotations) == (kept, BILL, {"of": "one"})
    (part,) = found.parts
    assert (part.blob.media_type, part.blob.size, part.annotations) == (BILL, 3, {"a.note": "x"})
    assert registry.document(image, part.blob) == b"one"


def test_the_same_is_kept_once_and_others_stand_beside_it(registry: Registry, image: ImageRef) -> None:
    first = attach(registry, image, b"one", b"two", b"three")
    assert attach(registry, image, b"two") == first[1:2]
    assert contents(registry, image) == [b"one", b"three", b"two"]


def test_those_that_come_at_once_are_all_kept(registry: Registry, image: ImageRef) -> None:
    wanted = [f"{number}".encode() for number in range(8)]
    threads = [threading.Thread(target=attach, args=(registry, image, content)) for content in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert contents(registry, image) == wanted


def test_one_is_taken_away_and_the_others_stay(registry: Registry, image: ImageRef) -> None:
    one, _ = attach(registry, image, b"one", b"two")
    for _ in range(2):
        registry.detach(image, one, Cancellation())
        assert contents(registry, image) == [b"two"]


def test_an_image_that_goes_takes_them_with_it(registry: Registry, image: ImageRef, tmp_path: Path) -> None:
    attach(registry, image, b"one")
    tag, _ = tags_of(image.digest)
    registry.attach(image, new(b"signature", tag=tag, cosign=True), Cancellation())
    other = registry.publish(build(layer(tmp_path, "other")), "r/other", Notes(), Cancellation())
    attach(registry, other, b"one")
    assert registry.remove(image)
    assert registry.contents(image) == ()
    assert registry.referrers(image) == ()
    assert contents(registry, other) == [b"one"]
    assert not registry.remove(image)


def test_they_come_along_into_another_repository(registry: Registry, image: ImageRef) -> None:
    attach(registry, image, b"one", b"two")
    tag, _ = tags_of(image.digest)
    registry.attach(image, new(b"signature", tag=tag, cosign=True), Cancellation())
    copied = registry.copy(str(image), f"copies/{image.digest.short}", Notes(), Cancellation())
    for _ in range(2):
        assert registry.copy_referrers(image, copied, Cancellation()) == 3
        assert contents(registry, copied) == [b"one", b"signature", b"two"]
    if isinstance(registry, OciRegistry):
        found = registry.resolve(f"{copied.repository}:{tag}", Cancellation())
        assert found.digest in {one.digest for one in registry.referrers(copied)}
    registry.remove(image)
    assert contents(registry, copied) == [b"one", b"signature", b"two"]


def test_nothing_is_attached_to_an_image_that_is_not_there(registry: Registry, image: ImageRef) -> None:
    gone = ImageRef(image.repository, digest(b"nothing"))
    with pytest.raises(RegistryError, match="no longer has"):
        registry.attach(gone, new(b"one"), Cancellation())
    assert registry.referrers(gone) == ()


def test_a_tag_of_cosigns_is_found_though_it_refers_to_nothing(
    scripted: ScriptedRegistry, tmp_path: Path
) -> None:
    opened = engine(scripted.address)
    image = opened.publish(build(layer(tmp_path, "signed")), "signed", Notes(), Cancellation())
    other = opened.publish(build(layer(tmp_path, "signature")), "signed", Notes(), Cancellation())
    opened.tag(other, tags_of(image.digest)[0], Cancellation())
    assert [one.digest for one in opened.referrers(image)] == [other.digest]
    opened.remove(image)
    assert opened.contents(other) == ()
    opened.close()


def test_a_list_that_two_servers_wrote_at_once_is_made_whole_by_attaching_again(
    scripted: ScriptedRegistry, tmp_path: Path
) -> None:
    ours, theirs = engine(scripted.address), engine(scripted.address)
    image = ours.publish(build(layer(tmp_path, "raced")), "raced", Notes(), Cancellation())
    wanted = [f"{number}".encode() for number in range(6)]
    threads = [
        threading.Thread(target=attach, args=((ours, theirs)[number % 2], image, content))
        for number, content in enumerate(wanted)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(contents(ours, image)) <= set(wanted)
    for number, content in enumerate(wanted):
        attach((ours, theirs)[number % 2], image, content)
    assert contents(ours, image) == wanted
    ours.close()
    theirs.close()


def overwriting(content: bytes, *, at: int) -> Action:
    """The list is written by somebody else before it is read for the time ``at``, counted from 1."""
    reads = 0

    def act(handler: Handler) -> bool:
        nonlocal reads
        reads += 1
        if reads == at:
            place, _, tag = handler.path.removeprefix("/v2/").partition("/manifests/")
            handler.registry.manifests[place][tag] = (content, INDEX)
        return False

    return act


def raced(scripted: ScriptedRegistry, opened: OciRegistry, folder: Path) -> tuple[ImageRef, str, bytes]:
    """An image, the path of its list, and a list that somebody else has made, of "theirs" alone."""
    image = opened.publish(build(layer(folder, "raced")), "raced", Notes(), Cancellation())
    attach(opened, image, b"theirs")
    tag = str(image.digest).replace(":", "-")
    theirs = scripted.manifests["raced"].pop(tag)[0]
    return image, f"/manifests/{tag}$", theirs


def test_what_somebody_wrote_over_is_written_again(scripted: ScriptedRegistry, tmp_path: Path) -> None:
    opened = engine(scripted.address)
    image, path, theirs = raced(scripted, opened, tmp_path)
    scripted.fail("GET", path, overwriting(theirs, at=2), times=9)
    attach(opened, image, b"ours")
    assert contents(opened, image) == [b"ours", b"theirs"]
    listed = [one for one in scripted.manifests["raced"] if one.startswith("sha256:")]
    indexes = [one for one in listed if scripted.manifests["raced"][one][1] == INDEX]
    assert len(indexes) == 1  # those that it replaced are gone
    opened.close()


def test_what_is_taken_off_the_list_stays_off_though_somebody_wrote_over_it(
    scripted: ScriptedRegistry, tmp_path: Path
) -> None:
    opened = engine(scripted.address)
    image, path, theirs = raced(scripted, opened, tmp_path)
    (gone,) = attach(opened, image, b"theirs")
    attach(opened, image, b"ours")
    scripted.fail("GET", path, overwriting(theirs, at=2), times=9)
    opened.detach(image, gone, Cancellation())
    tag = str(image.digest).replace(":", "-")
    assert gone.encode() not in scripted.manifests["raced"][tag][0]
    opened.close()


def test_a_list_that_others_write_all_the_time_is_given_up(
    scripted: ScriptedRegistry, tmp_path: Path
) -> None:
    opened = engine(scripted.address)
    image, path, theirs = raced(scripted, opened, tmp_path)
    for _ in range(20):
        scripted.fail("GET", path, overwriting(theirs, at=1), times=1)
    with pytest.raises(RegistryError, match="all the time"):
        attach(opened, image, b"ours")
    opened.close()


def test_a_registry_that_removes_nothing_keeps_the_image_with_all(
    scripted: ScriptedRegistry, tmp_path: Path
) -> None:
    opened = engine(scripted.address)
    image = opened.publish(build(layer(tmp_path, "kept")), "kept", Notes(), Cancellation())
    attach(opened, image, b"one")
    scripted.fail("DELETE", "/manifests/", status(405), times=9)
    with pytest.raises(RegistryError, match="deletes nothing"):
        opened.remove(image)
    assert contents(opened, image) == [b"one"]
    opened.close()
