"""Stacks are reproducible, hold nothing of the host, and an unfit image is told before anybody builds on it."""

import gzip
import stat
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.engines.stacks import StackRequest, create
from gitreceive.engines.stacks.bootstrap import Workshop, bootstrap
from gitreceive.engines.stacks.inspect import resolve
from gitreceive.engines.stacks.rootfs import EPOCH, Program, finish, read_packages
from gitreceive.errors import BuildError, CanceledError, UnavailableError, UsageError
from gitreceive.model import StackRecipe
from tests.engines.oci_images import Notes, build, digest, layer, tar
from tests.engines.scripted_registry import serving

STATUS = b"""\
Package: python3
Status: install ok installed
Version: 3.11.2-1

Package: gone
Status: deinstall ok config-files
Version: 1

Package: bash
Status: install ok installed
Description: a shell
 Version: not this
Version: 5.2.15
"""
TREE: dict[str, bytes | str] = {
    "./etc/passwd": b"root:x:0:0:root:/root:/bin/bash\n",
    "./etc/group": b"root:x:0:\n",
    "./etc/shadow": b"root:*:3652:0:99999:7:::\n",
    "./etc/hostname": b"build-machine-7\n",
    "./etc/resolv.conf": b"nameserver 192.0.2.53\n",
    "./etc/apt/sources.list": b"deb http://user:pass@mirror.internal/debian bookworm main\n"
    b"deb http://mirror.test/debian-security bookworm-security main\n",
    "./etc/apt/apt.conf.d/99mmdebstrap": b'Acquire::http::Proxy "http://proxy.internal";\n',
    "./usr/bin/python3": "python3.11",
    "./usr/lib/python3.11/__pycache__/abc.cpython-311.pyc": b"\xa7\x0d\x0d\x0a\x03\0\0\0hash....code",
    "./var/lib/dpkg/status": STATUS,
    "./var/log/dpkg.log": b"today\n",
}


def finished(folder: Path, files: dict[str, bytes | str], name: str = "layer") -> dict[str, tarfile.TarInfo]:
    (folder / "tree.tar").write_bytes(tar(files))
    programs = (Program("uv", "1.2", b"\x7fELF"),)
    finish(folder / "tree.tar", folder / name, programs, Cancellation())
    with tarfile.open(folder / name) as made:
        return {entry.name: entry for entry in made}


def content(path: Path, name: str) -> bytes:
    with tarfile.open(path) as made:
        stream = made.extractfile(name)
        assert stream
        return stream.read()


def test_the_layer_has_the_app_s_user_and_the_folders_of_the_contract(tmp_path: Path) -> None:
    entries = finished(tmp_path, TREE)

    assert content(tmp_path / "layer", "etc/passwd").endswith(b"app:x:1000:1000::/home/app:/bin/bash\n")
    assert content(tmp_path / "layer", "etc/shadow").endswith(b"app:!:3652:0:99999:7:::\n")
    for name, owner in {"home/app": 1000, "workspace": 1000, "layers": 1000, "cnb": 0}.items():
        assert entries[name].isdir()
        assert (entries[name].uid, entries[name].gid) == (owner, owner)
    assert stat.S_IMODE(entries["usr/local/bin/uv"].mode) == 0o755


def test_nothing_of_the_host_is_in_the_layer(tmp_path: Path) -> None:
    entries = finished(tmp_path, TREE)
    everything = gzip.decompress((tmp_path / "layer").read_bytes())

    assert not {
        "etc/hostname",
        "etc/resolv.conf",
        "etc/apt/apt.conf.d/99mmdebstrap",
        "var/log/dpkg.log",
    } & set(entries)
    assert b"internal" not in everything
    assert b"mirror.test/debian-security bookworm-security main" in everything


def test_the_same_tree_gives_the_same_bytes_whatever_the_clock_says(tmp_path: Path) -> None:
    first = finished(tmp_path, TREE, "first")
    finished(tmp_path, TREE, "second")

    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert {entry.mtime for entry in first.values()} == {EPOCH}


def test_what_is_measured_is_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "tree.tar").write_bytes(tar(TREE))

    made = finish(tmp_path / "tree.tar", tmp_path / "layer", (), Cancellation())

    packed = (tmp_path / "layer").read_bytes()
    assert (made.digest, made.size) == (digest(packed), len(packed))
    assert made.diff_id == digest(gzip.decompress(packed))
    assert made.packages == ("bash=5.2.15", "python3=3.11.2-1")


def test_compiled_python_is_not_checked_against_its_source_at_start(tmp_path: Path) -> None:
    finished(tmp_path, TREE)

    compiled = content(tmp_path / "layer", "usr/lib/python3.11/__pycache__/abc.cpython-311.pyc")
    assert compiled == b"\xa7\x0d\x0d\x0a\x01\0\0\0hash....code"


def test_a_tree_without_packages_is_not_taken_for_a_stack(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no dpkg status"):
        finished(tmp_path, {"./etc/passwd": b"root:x:0:0::/root:/bin/sh\n"})


def test_only_installed_packages_are_listed() -> None:
    assert read_packages(STATUS) == ("bash=5.2.15", "python3=3.11.2-1")


@pytest.mark.parametrize(
    "stack",
    [
        StackRequest("Big"),
        StackRequest("../x"),
        StackRequest("ok", StackRecipe(suite="--hook")),
        StackRequest("ok", StackRecipe(add=("-x",))),
        StackRequest("ok", StackRecipe(add=("a,b",))),
        StackRequest("ok", StackRecipe(build_image="debian:12")),
        StackRequest("ok", StackRecipe(build_image="a:1", run_image="b:1", add=("git",))),
    ],
)
def test_a_request_that_cannot_be_made_is_refused_before_anything_runs(stack: StackRequest) -> None:
    with pytest.raises(UsageError) as caught:
        stack.check()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("usr/bin/python3", "usr/bin/python3.11"),
        ("bin/bash", "usr/bin/bash"),
        ("bin/sh", None),
        ("loop/x", None),
    ],
)
def test_links_are_followed_in_folders_too(path: str, real: str | None) -> None:
    names = {
        "bin": "usr/bin",
        "usr": "",
        "usr/bin": "",
        "usr/bin/bash": "",
        "usr/bin/python3": "/etc/alternatives/python3",
        "etc/alternatives/python3": "../../usr/bin/python3.11",
        "usr/bin/python3.11": "",
        "loop": "loop",
    }

    assert resolve(names, path) == real


FIT: dict[str, bytes | str] = {
    "bin": "usr/bin",
    "usr/bin/bash": b"ELF",
    "usr/bin/python3": "python3.12",
    "usr/bin/python3.12": b"ELF",
    "var/lib/dpkg/status": STATUS,
}


def test_a_stack_of_any_images_is_copied_and_described(tmp_path: Path) -> None:
    with serving() as server:
        registry = OciRegistry(server.address, insecure=False, environment={}, login=lambda host: None)
        image = registry.publish(
            build(layer(tmp_path, "fit", tar(FIT))), "corp/base", Notes(), Cancellation()
        )

        request = StackRequest("corp", StackRecipe(build_image=str(image), run_image=str(image)))
        stack = create(request, registry, {}, Notes(), Cancellation())
        registry.close()

    assert stack.run.repository.endswith("/stacks/corp-run")
    assert stack.run.digest == stack.build.digest == image.digest
    assert stack.packages["run"] == ("bash=5.2.15", "python3=3.11.2-1")
    assert stack.run_bytes == layer(tmp_path, "fit", tar(FIT)).blob.size
    assert stack.recipe == request.recipe


def test_a_stack_is_made_again_of_what_its_images_tags_name_now(tmp_path: Path) -> None:
    with serving() as server, closing(_client(server.address)) as registry:
        fit = layer(tmp_path, "fit", tar(FIT))
        image = registry.publish(build(fit), "corp/base", Notes(), Cancellation())
        tag = f"{image.repository}:current"
        server.manifests["corp/base"]["current"] = server.manifests["corp/base"][image.digest]
        request = StackRequest("corp", StackRecipe(build_image=str(image), run_image=tag))
        first = create(request, registry, {}, Notes(), Cancellation())
        assert create(request, registry, {}, Notes(), Cancellation(), known=first).run == first.run

        patched = tar({"var/lib/dpkg/status": STATUS.replace(b"5.2.15", b"5.2.37")})
        newer = registry.publish(
            build(fit, layer(tmp_path, "patched", patched)), "corp/base", Notes(), Cancellation()
        )
        server.manifests["corp/base"]["current"] = server.manifests["corp/base"][newer.digest]
        second = create(request, registry, {}, Notes(), Cancellation(), known=first)

    assert (second.build, second.run.digest) == (first.build, newer.digest)
    assert second.packages["run"] == ("bash=5.2.37", "python3=3.11.2-1")
    assert second.packages["build"] == first.packages["build"]


def _client(address: str) -> OciRegistry:
    return OciRegistry(address, insecure=False, environment={}, login=lambda host: None)


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ({"usr/bin/python3": "python3.9", "usr/bin/python3.9": b"ELF"}, "3.11 or newer"),
        ({"usr/bin/.wh.python3": b""}, "python3"),
        ({"usr/bin/.wh.bash": b""}, "/bin/bash"),
    ],
)
def test_an_image_without_python_or_bash_is_refused(
    tmp_path: Path, change: dict[str, bytes | str], lacks: str
) -> None:
    layers = (layer(tmp_path, "fit", tar(FIT)), layer(tmp_path, "change", tar(change)))
    with serving() as server:
        registry = OciRegistry(server.address, insecure=False, environment={}, login=lambda host: None)
        image = registry.publish(build(*layers), "corp/base", Notes(), Cancellation())
        request = StackRequest("corp", StackRecipe(build_image=str(image), run_image=str(image)))

        with pytest.raises(BuildError, match=lacks):
            create(request, registry, {}, Notes(), Cancellation())
        registry.close()


def shop(folder: Path, programs: str, cancel: Cancellation | None = None) -> Workshop:
    return Workshop(folder, {"PATH": programs}, Notes(), cancel or Cancellation())


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


LEAVE_OUT = {"exclude": ["/usr/share/doc/*"], "include": []}


def test_a_missing_mmdebstrap_is_told_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UnavailableError, match="mmdebstrap is not installed") as caught:
        bootstrap("bookworm", ["bash"], LEAVE_OUT, shop(tmp_path, str(tmp_path)))
    assert caught.value.hint == "apt-get install mmdebstrap"


def test_a_failing_bootstrap_shows_its_last_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        tmp_path,
        "mmdebstrap",
        "echo 'I: running apt-get update...'; echo 'Reading...'; echo 'E: Unable to locate package nope' >&2; exit 25",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    made = shop(tmp_path, str(tmp_path))

    with pytest.raises(BuildError, match="exit code 25: Unable to locate package nope"):
        bootstrap("bookworm", ["nope"], LEAVE_OUT, made)
    assert isinstance(made.log, Notes)
    assert made.log.lines[0] == "running apt-get update..."
    assert made.log.lines[-1] == "Reading..."


def test_a_canceled_bootstrap_stops_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "mmdebstrap", "echo 'I: begun'; exec /bin/sleep 30")
    monkeypatch.setenv("PATH", str(tmp_path))
    cancel = Cancellation()

    class Stopper(Notes):
        def detail(self, text: str) -> None:
            cancel.request("dave canceled it")

    with pytest.raises(CanceledError, match="dave"):
        bootstrap(
            "bookworm", ["bash"], LEAVE_OUT, Workshop(tmp_path, {"PATH": str(tmp_path)}, Stopper(), cancel)
        )


def test_a_tar_that_is_cut_off_is_an_error_of_ours(tmp_path: Path) -> None:
    whole = tar(TREE)
    (tmp_path / "tree.tar").write_bytes(whole[: len(whole) // 3])

    with pytest.raises(BuildError, match="cannot be written"):
        finish(tmp_path / "tree.tar", tmp_path / "layer", (), Cancellation())
