"""Apps whose buildpacks the server does not have: a package in a registry, an archive on the web."""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.world import Server, running
from tests.engines import web_server
from tests.engines.web_server import Page, Web

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.registry]

_DETECT = '#!/bin/sh\n[ -f greeting.txt ] || exit 100\necho "greeting.txt is there"\n'
_SERVE = 'exec python3 -m http.server \\"$PORT\\"'
_BUILD = f"""#!/bin/sh
echo "the greeter builds"
cat > "$CNB_LAYERS_DIR/launch.toml" <<'END'
[[processes]]
type = "web"
command = ["sh", "-c", "{_SERVE}"]
END
"""
_COMPILE = '#!/bin/sh\necho "the old greeter compiles"\n'
_RELEASE = """#!/bin/sh
echo '---'
echo 'default_process_types:'
echo '  web: python3 -m http.server $PORT'
"""


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with web_server.serving() as web:
        yield web


@pytest.fixture(scope="module")
def server(web: Web, make_server: Callable[..., Server]) -> Iterator[Server]:
    with running(make_server("docker", GITRECEIVE_BUILD_BUILDPACK_SOURCES=f"{web.url}/")) as server:
        yield server


def _programs(folder: Path, **programs: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    for name, text in programs.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    return folder


def _greeter(folder: Path, identity: str) -> Path:
    _programs(folder, detect=_DETECT, build=_BUILD)
    (folder / "buildpack.toml").write_text(
        f'api = "0.10"\n[buildpack]\nid = "{identity}"\nversion = "1.0.0"\nname = "Greeter"\n'
        '[metadata.gitreceive]\ndetects = ["greeting.txt"]\ninputs = []\n'
    )
    return folder


def _archive(folder: Path, web: Web, path: str) -> str:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    web.put(path, Page(out.getvalue()))
    return f"{web.url}{path}#sha256={hashlib.sha256(out.getvalue()).hexdigest()}"


def test_a_package_in_a_registry_is_set_by_its_tag_and_pinned(
    server: Server, app_name: str, tmp_path: Path
) -> None:
    place = f"{os.environ['GITRECEIVE_REGISTRY']}/buildpacks/{app_name}"
    folder = _greeter(tmp_path / "greeter", f"acme/{app_name}")
    packed = server.cli("buildpack", "pack", str(folder), "--publish", f"{place}:1", "--json").ok().json()
    ada = server.developer("ada")
    shop = ada.creates(app_name, "undetected")
    shop.commit("Say hello", {"greeting.txt": "hello\n"})
    ada.ssh("buildpacks", "set", app_name, f"docker://{place}:1").ok()
    ada.ssh("buildpacks", "list", app_name).ok().says(f"docker://{place}@{packed['digest']}")
    shop.push().ok().says(
        f"fetching docker://{place}@", f"Detected: acme/{app_name} 1.0.0", "the greeter builds", "is live"
    )
    assert shop.get("/greeting.txt") == "hello\n"
    shop.commit("Say more", {"greeting.txt": "more\n"})
    shop.push().ok().says("No build needed", "is live").does_not_say("fetching")


def test_an_archive_that_a_project_names_builds_it_even_when_its_host_is_gone(
    server: Server, web: Web, app_name: str, tmp_path: Path
) -> None:
    uri = _archive(_greeter(tmp_path / "greeter-0123456", f"acme/{app_name}"), web, f"/{app_name}.tgz")
    shop = server.developer("ada").creates(app_name, "undetected")
    project = f'[_]\nschema-version = "0.2"\n[[io.buildpacks.group]]\nuri = "{uri}"\n'
    shop.commit("Say hello", {"greeting.txt": "hello\n", "project.toml": project})
    shop.push().ok().says(f"fetching {uri}", f"Detected: acme/{app_name} 1.0.0", "is live")
    assert shop.get("/greeting.txt") == "hello\n"
    web.put(f"/{app_name}.tgz", Page(status=503))
    shop.commit("Say more", {"greeting.txt": "more\n"})
    shop.push("-o", "nocache").ok().says("the greeter builds", "is live").does_not_say("fetching")
    shop.replace("project.toml", "sha256=", "sha256=0")
    shop.push().failed().says("sha256")


def test_a_classic_buildpack_in_an_archive_builds_an_app(
    server: Server, web: Web, app_name: str, tmp_path: Path
) -> None:
    folder = _programs(tmp_path / "old-greeter", detect=_DETECT, compile=_COMPILE, release=_RELEASE)
    uri = _archive(folder, web, f"/{app_name}.tar.gz")
    ada = server.developer("ada")
    shop = ada.creates(app_name, "undetected")
    shop.commit("Say hello", {"greeting.txt": "hello\n"})
    ada.ssh("buildpacks", "set", app_name, uri).ok()
    shop.push().ok().says("classic/old-greeter", "the old greeter compiles", "is live")
    assert shop.get("/greeting.txt") == "hello\n"


def test_an_address_of_this_machine_is_not_asked_for_a_developer(
    server: Server, web: Web, app_name: str
) -> None:
    ada = server.developer("ada")
    ada.ssh("apps", "create", app_name).ok()
    zero = "0" * 64
    for uri in (f"https://127.0.0.1:1/x.tgz#sha256={zero}", f"https://[::1]/x.tgz#sha256={zero}"):
        ada.ssh("buildpacks", "set", app_name, uri).failed().says(
            "fetches no buildpacks from", "build.buildpack_sources"
        )
    other = f"docker://{os.environ['GITRECEIVE_REGISTRY']}/apps/other:1"
    ada.ssh("buildpacks", "set", app_name, other).failed().says("build.buildpack_sources")
