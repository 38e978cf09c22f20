"""Canaries: what the operator gives to builds, and what no build may see, is looked for wherever a push leaves something.

The build here does its worst: its buildpack prints all it can read, and leaves a layer and a cache behind.
"""

import base64
import gzip
import json
import os
import re
import secrets
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.world import Clone, Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_KEPT = "kept-from-builds"  # begins every canary that no build may see

_TOML = 'api = "0.10"\n[buildpack]\nid = "test/snoop"\nversion = "1.0"\n'
_ORDER = '[[order]]\n[[order.group]]\nid = "test/snoop"\n'
_BUILD = """#!/usr/bin/python3
import base64, glob, os, pathlib, socket, sys

secret = pathlib.Path("/platform/secrets/netrc").read_bytes()
print("-- secret"); print(secret.decode()); print(base64.b64encode(secret).decode())
print("token", secret.split()[-1].decode(), base64.b64encode(b"ci:" + secret.split()[-1]).decode())
print("-- environment"); print("\\n".join(f"{k}={v}" for k, v in os.environ.items()))
print("-- other processes")
for name in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline"):
    try:
        print(name, open(name, "rb").read().replace(b"\\0", b" ").decode(errors="replace"))
    except OSError as error:
        print(name, error)
print("-- mounts"); print(open("/proc/self/mountinfo").read())
for path in ("/var/run/docker.sock", "/run/docker.sock", "@DOCKER@"):
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print("DOCKER ANSWERS AT", path)
    except OSError:
        print("no docker at", path)
print("-- files")
looked = 0
for root in ("/etc", "/home", "/root", "/run", "/tmp", "/var", "/workspace", "/platform", "/layers", "/mnt", "/srv"):
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                content = open(os.path.join(folder, name), "rb").read(1 << 20)
            except OSError:
                continue
            looked += 1
            if b"kept-from" + b"-builds" in content:
                print("READABLE", os.path.join(folder, name), content.decode(errors="replace"))
print("looked into", looked, "files")
sys.stdout.flush()

layers = pathlib.Path(sys.argv[1])
kept = layers / "kept"
kept.mkdir(exist_ok=True)
(kept / "marker").write_text("a layer of the snoop")
(layers / "kept.toml").write_text("[types]\\nlaunch = true\\ncache = true\\nbuild = true\\n")
(layers / "launch.toml").write_text(
    '[[processes]]\\ntype = "web"\\ndefault = true\\n'
    'command = ["bash", "-c", "exec python3 -m http.server $PORT"]\\n'
)
leak = pathlib.Path("leak")
if leak.exists():
    exec(leak.read_text())
"""


@dataclass(frozen=True)
class Canaries:
    secret: str  # the password in a build secret
    index: str  # in build.env: for builds, not for images
    authority: str  # in the CA bundle: for builds, not for images
    kept: tuple[str, ...]  # the server's own: for no build


@dataclass(frozen=True)
class Guarded:
    server: Server
    canaries: Canaries


def _canary(name: str) -> str:
    return f"{name}-{secrets.token_hex(12)}"


@pytest.fixture(scope="module")
def guarded(
    make_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("canaries")
    canaries = Canaries(
        _canary("password"), _canary("index"), _canary("authority"), tuple(_canary(_KEPT) for _ in range(3))
    )
    for_docker, for_cluster, for_server = canaries.kept
    _write_buildpacks(folder / "buildpacks")
    (folder / "netrc").write_text(f"machine index.example login ci password {canaries.secret}\n")
    bundle = Path(os.environ.get("GITRECEIVE_TEST_CA_BUNDLE") or "/etc/ssl/certs/ca-certificates.crt")
    (folder / "ca.pem").write_text(f"{bundle.read_text()}\n# {canaries.authority}\n")
    (folder / "docker").mkdir()
    auth = base64.b64encode(f"robot:{for_docker}".encode()).decode()
    (folder / "docker" / "config.json").write_text(
        json.dumps({"auths": {"registry.example": {"auth": auth}}, "comment": for_docker})
    )
    (folder / "kubeconfig").write_text(f"apiVersion: v1\nkind: Config\nusers:\n# {for_cluster}\n")
    index = f"PIP_INDEX_URL=https://{canaries.index}.example/simple"
    server = make_server(
        "docker",
        GITRECEIVE_BUILD_BUILDPACKS=str(folder / "buildpacks"),
        GITRECEIVE_BUILD_SECRETS=f"netrc={folder / 'netrc'}",
        GITRECEIVE_BUILD_ENV=index,
        GITRECEIVE_BUILD_CA_BUNDLE=str(folder / "ca.pem"),
        DOCKER_CONFIG=str(folder / "docker"),
        KUBECONFIG=str(folder / "kubeconfig"),
        A_TOKEN_OF_THE_SERVER=for_server,
    )
    with running(server):
        yield Guarded(server, canaries)


def _write_buildpacks(folder: Path) -> None:
    programs = folder / "snoop" / "bin"
    programs.mkdir(parents=True)
    (folder / "order.toml").write_text(_ORDER)
    (folder / "snoop" / "buildpack.toml").write_text(_TOML)
    socket = os.environ.get("DOCKER_HOST", "").removeprefix("unix://") or "/var/run/docker.sock"
    for name, text in (("detect", "#!/bin/sh\nexit 0\n"), ("build", _BUILD.replace("@DOCKER@", socket))):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)


@pytest.fixture
def shop(guarded: Guarded, app_name: str) -> Iterator[Clone]:
    clone = guarded.server.developer("grace").creates(app_name, "static")
    yield clone
    guarded.server.cli("apps", "destroy", app_name, "--confirm", app_name)


def test_no_canary_leaves_a_build(shop: Clone, guarded: Guarded) -> None:
    push = shop.push().ok()
    shop.commit("Again, on the cache")
    again = shop.push().ok()
    canaries = guarded.canaries

    # the build saw what was meant for it, and looked where it could
    push.says("-- secret", "-- environment", canaries.index, "-- mounts", "no docker at", "looked into")
    push.does_not_say("looked into 0 files", "DOCKER ANSWERS", "READABLE", _KEPT)
    for said in (push, again):
        _holds_none(said.all.encode(), canaries.secret, canaries.authority, *canaries.kept)

    logs = sorted((guarded.server.folder / "data" / "logs").rglob("*"))
    texts = [path.read_bytes() for path in logs if path.is_file()]
    assert any(b"looked into" in text for text in texts)
    for text in texts:
        _holds_none(text, canaries.secret, canaries.authority, *canaries.kept)

    everything = (canaries.secret, canaries.index, canaries.authority, *canaries.kept)
    _data_folder_holds_none(guarded.server, *everything)
    plan = guarded.server.cli("plan", str(shop.folder), "--app", shop.app).ok()
    _holds_none(plan.all.encode(), *everything)
    image = _pulled(str(shop.builds()[0]["image"]))
    assert any(b"a layer of the snoop" in blob for blob in image), "the layers were not read"
    for blob in image:
        _holds_none(blob, *everything)
    cache = _cache(shop.app, guarded.server)
    assert b"a layer of the snoop" in cache, "the cache was not read"
    _holds_none(cache, *everything)


def test_config_reaches_no_build_and_nothing_that_is_kept_of_it(shop: Clone, guarded: Guarded) -> None:
    """Least of all where it is written in another way: as it would be in a URL, or in hex."""
    config = f"kept-from-builds/{secrets.token_hex(6)}+{secrets.token_hex(6)}=&"
    guarded.server.cli("config", "set", shop.app, f"PASSWORD={config}").ok()
    with _watched_command_lines() as seen:
        push = shop.push().ok()
    push.says("looked into")
    for text in (
        push.all.encode(),
        *seen,
        *_pulled(str(shop.builds()[0]["image"])),
        _cache(shop.app, guarded.server),
    ):
        _holds_none(text, config)
    _data_folder_holds_none(guarded.server, config)
    told = (
        guarded.server.cli("releases", "list", shop.app, "--json").ok().all
        + guarded.server.cli("events").ok().all
    )
    _holds_none(told.encode(), config)
    assert guarded.server.cli("config", "get", shop.app, "PASSWORD").ok().all.strip() == config


_COPIES = {
    "into the app": ('open("copied", "wb").write(secret)', "copied"),
    "into a layer": ('(kept / "copied").write_bytes(secret)', "copied"),
    "in base64": ('open("encoded", "wb").write(base64.b64encode(b"x" + secret))', "encoded"),
    "as a file's name": ('open(secret.decode().strip(), "w")', ""),
}


@pytest.mark.parametrize("way", _COPIES)
def test_a_source_that_keeps_a_secret_is_refused_by_its_name(way: str, shop: Clone, guarded: Guarded) -> None:
    script, file = _COPIES[way]
    shop.commit("Keep it", {"leak": script})
    push = shop.push().failed()
    push.says("! [remote rejected]", "build secret netrc is in layer", file)
    _holds_none(push.all.encode(), guarded.canaries.secret)
    (build,) = shop.builds()
    assert (build["state"], build["image"]) == ("failed", None)
    _holds_none(_cache(shop.app, guarded.server), guarded.canaries.secret)
    assert shop.remote_head() == ""


def test_the_search_finds_what_it_looks_for() -> None:
    """Else the scenarios above would prove nothing."""
    canary = "canary/1234567890"
    for text in (
        b"..canary/1234567890..",
        base64.b64encode(b"xy canary/1234567890"),
        b"a\n" + _wrapped(),
        b"https://ci:canary%2F1234567890@x",
        b"x" + canary.encode().hex().upper().encode(),
    ):
        with pytest.raises(AssertionError, match=canary):
            _holds_none(text, canary)
    _holds_none(b"canary/1234567891", canary)


def _wrapped() -> bytes:
    return base64.encodebytes(b"x" * 50 + b"canary/1234567890")


def _holds_none(content: bytes, *canaries: str) -> None:
    """Neither as it is nor in base64, on one line or several, nor in a URL's encoding or in hex."""
    for reading in _readings(content):
        for canary in canaries:
            at = reading.find(canary.encode())
            assert at < 0, f"{canary} in: {reading[max(0, at - 200) : at + 200]!r}"


_STANDARD = bytes.maketrans(b"-_", b"+/")


def _readings(content: bytes) -> Iterator[bytes]:
    yield content
    yield urllib.parse.unquote_to_bytes(content)
    for run in re.findall(rb"(?:[0-9a-fA-F]{2}){10,}", content):
        yield bytes.fromhex(run.decode())
        yield bytes.fromhex("0" + run.decode() + "0")
    unfolded = re.sub(rb"\r?\n(?:remote: )? *", b"", content)
    for text in (content, unfolded):
        for run in re.findall(rb"[A-Za-z0-9+/]{20,}", text.translate(_STANDARD)):
            for shift in range(4):
                yield base64.b64decode(run[shift:] + b"A" * (-len(run[shift:]) % 4))


def _data_folder_holds_none(server: Server, *canaries: str) -> None:
    """Nothing that the server keeps, its ledger among it, but for the logs, which are looked at by themselves."""
    folder = server.folder / "data"
    files = [
        path for path in sorted(folder.rglob("*")) if path.is_file() and folder / "logs" not in path.parents
    ]
    assert any(path.name.startswith("ledger.db") for path in files)
    for path in files:
        _holds_none(path.read_bytes(), *canaries)


@contextmanager
def _watched_command_lines() -> Iterator[set[bytes]]:
    """All that ran on this host meanwhile, as anybody on it can see."""
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.add(path.read_bytes())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _pulled(image: str) -> list[bytes]:
    """Manifest, config (and with it the history), and every layer unpacked, as the registry has them."""
    place, _, digest = image.partition("@")
    registry, _, repository = place.partition("/")
    base = f"http://{registry}/v2/{repository}"
    manifest = _get(f"{base}/manifests/{digest}")
    document = json.loads(manifest)
    config = _get(f"{base}/blobs/{document['config']['digest']}")
    # the run image's own layers were there before any build
    added = [layer for layer in document["layers"] if layer["size"] < 20 << 20]
    layers = [gzip.decompress(_get(f"{base}/blobs/{layer['digest']}")) for layer in added]
    return [manifest, config, *layers]


def _get(url: str) -> bytes:
    accepted = (
        "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    )
    request = urllib.request.Request(url, headers={"Accept": accepted})
    with _NO_PROXY.open(request, timeout=60) as answer:
        content: bytes = answer.read()
    return content


def _cache(app: str, server: Server) -> bytes:
    """The files of the app's cache volume, as a tar."""
    listed = subprocess.run(
        ["docker", "volume", "ls", "-q", "--filter", f"name=gitreceive-cache-{app}-"],
        capture_output=True,
        text=True,
        check=True,
    )
    (volume,) = listed.stdout.split()
    image = server.cli("stack", "list", "--json").ok().json()[0]["build"]
    mount = f"{volume}:/cache:ro"
    command = ["docker", "run", "--rm", "--network=none", "--user=0", "-v", mount, image]
    done = subprocess.run([*command, "tar", "-C", "/cache", "-c", "."], capture_output=True, check=True)
    return done.stdout
