"""The contract of ports.BuildpackSource: over a real web server, and registries in this process and of Debian's."""

import hashlib
import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from gitreceive.buildpacks.allowed import Allowed
from gitreceive.buildpacks.package import read_package
from gitreceive.cancellation import Cancellation
from gitreceive.engines.buildpackages import BuildpackSources, Downloads, PublicWay, pack
from gitreceive.engines.buildpackages.sources import Bounds
from gitreceive.engines.buildpackages.unpack import Limits
from gitreceive.engines.oci_registry import OciRegistry, save
from gitreceive.errors import (
    CanceledError,
    DetectError,
    ForbiddenError,
    GitreceiveError,
    RegistryError,
    UnavailableError,
    UsageError,
)
from gitreceive.lifecycle.folder import read_buildpack
from gitreceive.model import Build, BuildpackRef, ImageRef
from tests.engines import scripted_registry, web_server
from tests.engines.oci_images import Notes
from tests.engines.oci_images import build as oci_build
from tests.engines.oci_images import layer as oci_layer
from tests.engines.real_registry import docker_registry
from tests.engines.web_server import Page, Web

Make = Callable[..., BuildpackSources]


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server.serving() as web:
        yield web


@pytest.fixture(scope="session")
def real_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("docker-registry")) as address:
        yield address


@pytest.fixture(params=["scripted", pytest.param("real", marks=pytest.mark.registry)])
def registry(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "real":
        yield request.getfixturevalue("real_registry")
        return
    with scripted_registry.serving() as scripted:
        yield scripted.address


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as closing:

        def sources(*listed: str, bounds: Bounds = Bounds()) -> BuildpackSources:  # noqa: B008 - frozen
            allowed = Allowed.parse(listed)
            downloads = Downloads(PublicWay({}, "", allowed.lists))
            own = OciRegistry("own.example", insecure=False, environment={}, login=lambda _: None)
            way = PublicWay({}, "", lambda _: False)
            strange = OciRegistry(
                "strange.example", insecure=False, environment={}, login=lambda _: None, way=way
            )
            for close in (downloads.close, own.close, strange.close):
                closing.callback(close)
            return BuildpackSources(
                tmp_path / "kept", allowed, downloads, own=own, strange=strange, bounds=bounds
            )

        yield sources


def buildpack(folder: Path, identity: str = "acme/lua", *, order: str = "", version: str = "0.1.0") -> Path:
    folder.mkdir(parents=True)
    (folder / "buildpack.toml").write_text(
        f'api = "0.10"\n[buildpack]\nid = "{identity}"\nversion = "{version}"\n{order}'
    )
    if not order:
        for name in ("detect", "build"):
            _program(folder / "bin" / name)
    return folder


def _program(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def tgz(folder: Path, top: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        tar.add(folder, arcname=top)
    return out.getvalue()


def archive(url: str, content: bytes) -> BuildpackRef:
    return BuildpackRef.parse(f"{url}#sha256={hashlib.sha256(content).hexdigest()}")


def publish(build: Build, registry: str, name: str) -> ImageRef:
    engine = OciRegistry(registry, insecure=False, environment={}, login=lambda _: None)
    try:
        return engine.publish(build, name, Notes(), Cancellation())
    finally:
        engine.close()


def seen(folder: Path) -> dict[str, tuple[str, bytes | str, bool]]:
    """All below a folder: kind, content and whether it is executable."""
    found: dict[str, tuple[str, bytes | str, bool]] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()), False)
        elif path.is_dir():
            found[name] = ("folder", "", False)
        else:
            found[name] = ("file", path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found


# --- archives ---


@pytest.mark.parametrize("top", [".", "lua-0123456"])
def test_an_archive_holds_a_buildpack_at_its_top_or_in_its_only_folder(
    web: Web, make: Make, tmp_path: Path, top: str
) -> None:
    origin = buildpack(tmp_path / "lua")
    content = tgz(origin, top)
    ref = archive(web.put("/lua.tgz", Page(content)), content)
    log = Notes()
    found = make(web.url).fetch(ref, log, Cancellation())
    assert (found.id, found.version) == ("acme/lua", "0.1.0")
    assert seen(found.folder / "acme_lua" / "0.1.0") == seen(origin)
    assert log.lines == [f"fetching {web.url}/lua.tgz"]


def test_a_classic_buildpack_in_an_archive_has_its_folders_name(web: Web, make: Make, tmp_path: Path) -> None:
    for name in ("detect", "compile"):
        (tmp_path / "old").mkdir(exist_ok=True)
        _program(tmp_path / "old" / "bin" / name)
    named = tgz(tmp_path / "old", "buildpack-lua-v1")
    found = make(web.url).fetch(archive(web.put("/a.tgz", Page(named)), named), Notes(), Cancellation())
    assert (found.id, found.version) == ("classic/buildpack-lua-v1", "0")
    assert seen(found.folder / "buildpack-lua-v1") == seen(tmp_path / "old")
    bare = tgz(tmp_path / "old", ".")
    ref = archive(web.put("/b.tgz", Page(bare)), bare)
    found = make(web.url).fetch(ref, Notes(), Cancellation())
    assert found.id == f"classic/archive-{hashlib.sha256(bare).hexdigest()[:12]}"


def test_a_package_in_a_file_holds_a_buildpack_with_its_parts(web: Web, make: Make, tmp_path: Path) -> None:
    whole, part = _composite(tmp_path)
    (tmp_path / "spool").mkdir()
    save(pack(read_package([whole, part]), tmp_path / "spool"), tmp_path / "all.cnb")
    content = (tmp_path / "all.cnb").read_bytes()
    found = make(web.url).fetch(archive(web.put("/all.cnb", Page(content)), content), Notes(), Cancellation())
    assert (found.id, found.version) == ("acme/all", "0.1.0")
    assert seen(found.folder / "acme_lua" / "0.1.0") == seen(part)
    assert seen(found.folder / "acme_all" / "0.1.0") == seen(whole)


def _composite(tmp_path: Path) -> tuple[Path, Path]:
    group = '[[order]]\n[[order.group]]\nid = "acme/lua"\nversion = "0.1.0"\n'
    return buildpack(tmp_path / "all", "acme/all", order=group), buildpack(tmp_path / "lua")


def test_what_was_fetched_is_taken_again_without_asking(web: Web, make: Make, tmp_path: Path) -> None:
    content = tgz(buildpack(tmp_path / "lua"), ".")
    ref = archive(web.put("/lua.tgz", Page(content)), content)
    first = make(web.url).fetch(ref, Notes(), Cancellation())
    log = Notes()
    assert make(web.url).fetch(ref, log, Cancellation()) == first
    assert (len(web.asked), log.lines) == (1, [])
    with pytest.raises(ForbiddenError, match="fetches no buildpacks from"):
        make().fetch(ref, log, Cancellation())


def test_several_who_want_the_same_at_once_all_get_it(web: Web, make: Make, tmp_path: Path) -> None:
    content = tgz(buildpack(tmp_path / "lua"), ".")
    ref = archive(web.put("/lua.tgz", Page(content)), content)
    barrier = threading.Barrier(6)

    def fetch(_: int) -> object:
        source = make(web.url)
        barrier.wait(10)
        return source.fetch(ref, Notes(), Cancellation())

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(fetch, range(6)))
    assert len(set(found)) == 1
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [ref.text[-64:]]


def test_another_content_than_was_named_is_refused_and_nothing_is_kept(
    web: Web, make: Make, tmp_path: Path
) -> None:
    content = tgz(buildpack(tmp_path / "lua"), ".")
    ref = archive(web.put("/lua.tgz", Page(content + b"x")), content)
    with pytest.raises(DetectError, match="its sha256 is ") as caught:
        make(web.url).fetch(ref, Notes(), Cancellation())
    assert ref.text.partition("#")[0] in caught.value.message
    assert not list((tmp_path / "kept").iterdir())


def _refused(web: Web, source: BuildpackSources, content: bytes) -> GitreceiveError:
    with pytest.raises(GitreceiveError) as caught:
        source.fetch(archive(web.put("/x", Page(content)), content), Notes(), Cancellation())
    return caught.value


def test_what_is_no_buildpack_is_refused_in_words(web: Web, make: Make, tmp_path: Path) -> None:
    source = make(web.url)
    (tmp_path / "empty").mkdir()
    error = _refused(web, source, tgz(tmp_path / "empty", "."))
    assert (type(error), "neither buildpack.toml nor bin/compile" in error.message) == (DetectError, True)
    old = buildpack(tmp_path / "old")
    (old / "buildpack.toml").write_text((old / "buildpack.toml").read_text().replace("0.10", "0.99"))
    error = _refused(web, source, tgz(old, "old"))
    assert "buildpack.toml: Buildpack API '0.99' is not known" in error.message
    assert str(tmp_path) not in error.message
    assert (
        "cannot be a buildpack's version"
        in _refused(web, source, tgz(buildpack(tmp_path / "v", version="../x"), ".")).message
    )
    assert "cannot be unpacked" in _refused(web, source, b"hello").message
    assert not list((tmp_path / "kept").iterdir())


def test_a_layout_is_read_from_nowhere_but_the_archive(web: Web, make: Make, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(json.dumps({"schemaVersion": 2}))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("oci-layout"))
        link = tarfile.TarInfo("index.json")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../secret"
        tar.addfile(link)
    assert "leads out" in _refused(web, make(web.url), out.getvalue()).message


@pytest.mark.parametrize(
    "index", ["[]", "{}", '{"manifests": []}', '{"manifests": [{}]}', '{"manifests": [{"digest": "x"}]}', "{"]
)
def test_a_layout_that_is_malformed_is_refused(web: Web, make: Make, index: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("oci-layout"))
        info = tarfile.TarInfo("index.json")
        info.size = len(index)
        tar.addfile(info, io.BytesIO(index.encode()))
    assert isinstance(_refused(web, make(web.url), out.getvalue()), DetectError)


def test_more_than_the_bounds_is_refused(web: Web, make: Make, tmp_path: Path) -> None:
    folder = buildpack(tmp_path / "lua")
    (folder / "large").write_bytes(bytes(2 << 20))
    content = tgz(folder, ".")
    small = Bounds(unpacked=Limits(bytes=1 << 20))
    assert "more than 1 MiB" in _refused(web, make(web.url, bounds=small), content).message
    assert "larger than 0 MiB" in _refused(web, make(web.url, bounds=Bounds(packed=1000)), content).message


def test_what_does_not_answer_is_tried_again_and_then_said(web: Web, make: Make, tmp_path: Path) -> None:
    content = tgz(buildpack(tmp_path / "lua"), ".")
    ref = archive(web.put("/lua.tgz", Page(status=503), Page(content)), content)
    assert make(web.url).fetch(ref, Notes(), Cancellation()).id == "acme/lua"
    missing = archive(f"{web.url}/missing.tgz", b"")
    with pytest.raises(UnavailableError, match=r"answered 404 for /missing\.tgz"):
        make(web.url).fetch(missing, Notes(), Cancellation())


def test_redirects_that_do_not_end_are_not_followed_for_ever(web: Web, make: Make) -> None:
    url = web.put("/a", Page(status=302, headers={"Location": "/a"}))
    with pytest.raises(UnavailableError, match="redirected more than 5 times"):
        make(web.url).fetch(archive(url, b""), Notes(), Cancellation())
    assert len(web.asked) == 6


def test_what_a_killed_server_left_is_removed_the_next_day(web: Web, make: Make, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    for name, age in ((".new-old", 90_000), (".new-young", 60)):
        (kept / name / "new").mkdir(parents=True)
        os.utime(kept / name, (time.time() - age,) * 2)
    content = tgz(buildpack(tmp_path / "lua"), ".")
    ref = archive(web.put("/lua.tgz", Page(content)), content)
    make(web.url).fetch(ref, Notes(), Cancellation())
    assert {path.name for path in kept.iterdir()} == {".new-young", ref.text[-64:]}


def test_no_login_and_no_cookie_is_sent(
    web: Web, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    content = tgz(buildpack(tmp_path / "lua"), ".")
    moved = Page(status=302, headers={"Location": "/b", "Set-Cookie": "a=b; Path=/"})
    ref = archive(web.put("/a", moved), content)
    web.put("/b", Page(content))
    make(web.url).fetch(ref, Notes(), Cancellation())
    sent = {name.lower() for _, headers in web.asked for name in headers}
    assert [path for path, _ in web.asked] == ["/a", "/b"]
    assert not sent & {"authorization", "cookie"}


def test_it_stops_when_it_is_told_to_and_when_it_takes_too_long(web: Web, make: Make, tmp_path: Path) -> None:
    content = tgz(buildpack(tmp_path / "lua"), ".")
    ref = archive(web.put("/lua.tgz", Page(status=503)), content)
    with pytest.raises(UnavailableError, match="took longer than 0 seconds"):
        make(web.url, bounds=Bounds(seconds=0.2)).fetch(ref, Notes(), Cancellation())
    cancel = Cancellation()
    threading.Timer(0.2, lambda: cancel.request("the user has gone")).start()
    with pytest.raises(CanceledError, match="the user has gone"):
        make(web.url).fetch(ref, Notes(), cancel)


# --- images ---


def test_an_image_holds_a_buildpack_with_its_parts(registry: str, make: Make, tmp_path: Path) -> None:
    whole, part = _composite(tmp_path)
    (tmp_path / "spool").mkdir()
    image = publish(pack(read_package([whole, part]), tmp_path / "spool"), registry, "team/all")
    source = make(f"docker://{registry}/team")
    ref = BuildpackRef.parse(f"docker://{image}")
    found = source.fetch(ref, Notes(), Cancellation())
    assert (found.id, found.version) == ("acme/all", "0.1.0")
    assert seen(found.folder / "acme_lua" / "0.1.0") == seen(part)
    assert read_buildpack(found.folder / "acme_all" / "0.1.0" / "buildpack.toml").order
    log = Notes()
    assert source.fetch(ref, log, Cancellation()) == found
    assert not log.lines


def test_a_tag_is_pinned_to_what_it_names_now(registry: str, make: Make, tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    image = publish(
        pack(read_package([buildpack(tmp_path / "lua")]), tmp_path / "spool"), registry, "team/lua"
    )
    source = make(f"docker://{registry}/team")
    engine = OciRegistry(registry, insecure=False, environment={}, login=lambda _: None)
    engine.tag(image, "1.0", Cancellation())
    engine.close()
    tagged = BuildpackRef.parse(f"docker://{registry}/team/lua:1.0")
    pinned = source.pin(tagged, Cancellation())
    assert pinned == BuildpackRef.parse(f"docker://{image}")
    assert source.pin(pinned, Cancellation()) == pinned
    with pytest.raises(UsageError, match="says no digest"):
        source.fetch(tagged, Notes(), Cancellation())
    with pytest.raises(RegistryError, match="there is no image"):
        source.pin(BuildpackRef.parse(f"docker://{registry}/team/lua:2.0"), Cancellation())


def test_an_image_that_is_no_package_is_refused(registry: str, make: Make, tmp_path: Path) -> None:
    image = publish(oci_build(oci_layer(tmp_path, "app")), registry, "apps/shop")
    source = make(f"docker://{registry}")
    with pytest.raises(DetectError, match="it is no buildpack package"):
        source.fetch(BuildpackRef.parse(f"docker://{image}"), Notes(), Cancellation())
    labels = {"Labels": {"io.buildpacks.buildpackage.metadata": '{"id": "a/b", "version": "1"}'}}
    image = publish(oci_build(oci_layer(tmp_path, "app"), config=labels), registry, "apps/shop")
    with pytest.raises(DetectError, match="the layer holds /app"):
        source.fetch(BuildpackRef.parse(f"docker://{image}"), Notes(), Cancellation())


def test_a_registry_that_is_not_listed_is_not_asked_where_it_is_private(make: Make) -> None:
    with scripted_registry.serving() as scripted:
        ref = BuildpackRef.parse(f"docker://{scripted.address}/team/lua:1")
        with pytest.raises(ForbiddenError, match="plain HTTP"):
            make("public").pin(ref, Cancellation())
        with pytest.raises(ForbiddenError, match="fetches no buildpacks"):
            make(f"docker://{scripted.address}/teams").pin(ref, Cancellation())
        assert not scripted.seen


# --- what is asked for ---


def test_an_archive_without_a_digest_is_not_taken(make: Make) -> None:
    ref = BuildpackRef.parse("https://host.example/lua.tgz")
    with pytest.raises(UsageError, match="says no digest") as caught:
        make("public").pin(ref, Cancellation())
    assert "https://host.example/lua.tgz#sha256=" in caught.value.hint
    with pytest.raises(UsageError, match="says no digest"):
        make("public").fetch(ref, Notes(), Cancellation())


@pytest.mark.parametrize("text", ["acme/lua", "./lua"])
def test_what_is_no_image_and_no_archive_is_not_fetched(make: Make, text: str) -> None:
    with pytest.raises(UsageError, match="no image and no archive"):
        make("public").pin(BuildpackRef.parse(text), Cancellation())
