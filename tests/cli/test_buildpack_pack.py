"""``buildpack pack``: a package as a file, and in a registry."""

import json
import tarfile
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.engines.scripted_registry import serving


def _read(package: Path, name: str) -> bytes:
    with tarfile.open(package, "r:") as tar:
        member = tar.extractfile(name)
        assert member is not None
        return member.read()


def test_a_package_is_a_file_with_an_image_in_it(cli: Cli) -> None:
    cli("buildpack", "new", "acme/lua").ok()
    said = cli("buildpack", "pack", "lua", "--output", "lua.cnb", "--json").ok().json()
    assert (said["id"], said["version"], said["reference"]) == ("acme/lua", "0.1.0", "lua.cnb")
    index = json.loads(_read(Path("lua.cnb"), "index.json"))
    assert index["manifests"][0]["digest"] == said["digest"]
    manifest = json.loads(_read(Path("lua.cnb"), f"blobs/sha256/{said['digest'][7:]}"))
    config = json.loads(_read(Path("lua.cnb"), f"blobs/sha256/{manifest['config']['digest'][7:]}"))
    assert json.loads(config["config"]["Labels"]["io.buildpacks.buildpackage.metadata"])["id"] == "acme/lua"
    assert config["rootfs"]["diff_ids"] == [said["layers"][0]["diff_id"]]
    blob = Path("layer")
    blob.write_bytes(_read(Path("lua.cnb"), f"blobs/sha256/{manifest['layers'][0]['digest'][7:]}"))
    with tarfile.open(blob, "r:gz") as layer:
        modes = {member.name: member.mode for member in layer}
        assert {(member.mtime, member.uid, member.gid) for member in layer} == {(315532801, 0, 0)}
    top = "cnb/buildpacks/acme_lua/0.1.0"
    assert (modes[top], modes[f"{top}/bin/detect"], modes[f"{top}/buildpack.toml"]) == (0o755, 0o755, 0o644)


def test_the_same_content_is_the_same_package(cli: Cli) -> None:
    for name in ("one", "two"):
        cli("buildpack", "new", "acme/lua", name).ok()
    Path("two/bin/detect").chmod(0o777)
    Path("two/buildpack.toml").chmod(0o600)
    Path("two/.git").mkdir()
    for name in ("one", "two"):
        cli("buildpack", "pack", name, "-o", f"{name}.cnb").ok()
    assert Path("one.cnb").read_bytes() == Path("two.cnb").read_bytes()
    Path("two/buildpack.toml").write_text(Path("two/buildpack.toml").read_text() + "# more\n")
    cli("buildpack", "pack", "two", "-o", "two.cnb").ok()
    assert Path("one.cnb").read_bytes() != Path("two.cnb").read_bytes()


def test_a_package_is_published_under_its_name(cli: Cli) -> None:
    cli("buildpack", "new", "acme/lua").ok()
    with serving() as registry:
        reference = f"{registry.address}/team/lua:0.1"
        said = cli("buildpack", "pack", "lua", "--publish", reference).ok()
        digest = said.out.split("digest  ")[1].split()[0]
        assert said.out.splitlines()[-1] == f"docker://{registry.address}/team/lua@{digest}"
        assert set(registry.manifests["team/lua"]) >= {digest, "0.1"}
    cli("buildpack", "pack", "lua", "-o", "lua.cnb").ok()
    assert digest in cli("buildpack", "pack", "lua", "-o", "lua.cnb").ok().out


def test_what_is_broken_is_not_packed(cli: Cli) -> None:
    cli("buildpack", "new", "acme/lua").ok()
    Path("lua/bin/build").chmod(0o644)
    refused = cli("buildpack", "pack", "lua", "-o", "lua.cnb")
    assert (refused.code, refused.out) == (1, "bin/build: error: it is not executable: chmod +x bin/build\n")
    assert not Path("lua.cnb").exists()


def test_what_is_of_this_machine_alone_is_not_packed(cli: Cli) -> None:
    cli("buildpack", "new", "acme/lua").ok()
    Path("lua/link").symlink_to(Path("lua/buildpack.toml").resolve())
    cli("buildpack", "pack", "lua", "-o", "lua.cnb").failed(2, "a place of this machine", "relative")
    Path("lua/link").unlink()
    cli("buildpack", "pack", "lua", "-o", "nowhere/lua.cnb").failed(7, "nowhere/lua.cnb cannot be written")


@pytest.mark.parametrize("words", [(), ("-o", "a.cnb", "--publish", "localhost:1/a")])
def test_a_package_goes_to_one_place(cli: Cli, words: tuple[str, ...]) -> None:
    cli("buildpack", "new", "acme/lua").ok()
    cli("buildpack", "pack", "lua", *words).failed(2, "one place", "--output FILE or --publish REF")
    cli("buildpack", "pack", "lua", "--publish", f"localhost:1/a@sha256:{'0' * 64}").failed(2, "digest")
