"""What passes is tried again, what does not is told; a publish never succeeds falsely, and no login is ever seen."""

import hashlib
import json
import threading
import time
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitreceive.cancellation import Cancellation
from gitreceive.engines.oci_registry import OciRegistry
from gitreceive.engines.oci_registry.auth import Login, docker_login
from gitreceive.engines.oci_registry.reference import Repository, is_loopback, parse_reference
from gitreceive.engines.oci_registry.transport import Patience, Transport
from gitreceive.errors import CanceledError, ConfigError, RegistryError, UsageError
from gitreceive.model import ImageRef, Secret
from tests.engines.oci_images import Notes, build, layer
from tests.engines.scripted_registry import (
    ScriptedRegistry,
    confirm,
    hang,
    reset,
    serving,
    status,
    truncate,
)
from tests.faults import kinds

PASSWORD = "s3cret-canary"


@pytest.fixture
def server() -> Iterator[ScriptedRegistry]:
    with serving() as scripted:
        yield scripted


@pytest.fixture
def engine(server: ScriptedRegistry) -> Iterator[OciRegistry]:
    with connected(server) as registry:
        yield registry


@contextmanager
def connected(
    server: ScriptedRegistry, login: Callable[[str], Login | None] = lambda host: None, attempts: int = 4
) -> Iterator[OciRegistry]:
    patience = Patience(attempts=attempts, seconds=5, first=0.01)
    registry = OciRegistry(server.address, insecure=False, environment={}, login=login, patience=patience)
    try:
        yield registry
    finally:
        registry.close()


def publish(registry: OciRegistry, folder: Path, title: str = "app") -> ImageRef:
    return registry.publish(build(layer(folder, title)), "shop", Notes(), Cancellation())


def whole(server: ScriptedRegistry, image: ImageRef) -> bool:
    """Whether the server has the manifest, and each blob is what its digest says."""
    content = server.manifests["shop"][image.digest][0]
    blobs = server.blobs["shop"].items()
    return all(f"sha256:{hashlib.sha256(b).hexdigest()}" == d for d, b in [*blobs, (image.digest, content)])


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
def test_a_server_error_is_tried_again(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path, method: str
) -> None:
    server.fail(method, "/v2/shop/", status(500), times=2)
    log = Notes()

    image = engine.publish(build(layer(tmp_path, "app")), "shop", log, Cancellation())

    assert whole(server, image)
    assert "answered 500; trying again in" in log.text


def test_a_registry_that_stays_broken_fails_the_publish_with_a_count(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    server.fail("PUT", "/v2/shop/manifests/", status(503), times=99)

    with pytest.raises(RegistryError, match=r"503.*tried 4 times"):
        publish(engine, tmp_path)
    assert server.count("PUT", "manifests") == 4


def test_the_registry_s_wish_to_wait_is_kept(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    server.fail("PUT", "manifests", status(429, {"Retry-After": "1"}))
    began = time.monotonic()

    assert whole(server, publish(engine, tmp_path))
    assert time.monotonic() - began >= 1


def test_a_wish_to_wait_longer_than_patience_fails_at_once(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    server.fail("PUT", "manifests", status(429, {"Retry-After": "3600"}), times=9)
    began = time.monotonic()

    with pytest.raises(RegistryError, match="429"):
        publish(engine, tmp_path)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("bytes_taken", [0, 100])
def test_a_connection_that_breaks_mid_blob_is_begun_anew_with_the_whole_blob(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path, bytes_taken: int
) -> None:
    server.fail("PUT", "/blobs/uploads/", reset(bytes_taken), times=2)

    assert whole(server, publish(engine, tmp_path))


def test_an_upload_that_the_registry_forgot_is_begun_anew(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    server.fail("PUT", "/blobs/uploads/", status(404, error="BLOB_UPLOAD_UNKNOWN"))

    assert whole(server, publish(engine, tmp_path))


def test_another_digest_than_was_sent_is_never_released(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    server.fail("PUT", "manifests", confirm("sha256:" + "0" * 64), times=9)

    with pytest.raises(RegistryError, match=r"where sha256:.* was meant"):
        publish(engine, tmp_path)


def test_a_blob_confirmed_with_another_digest_fails(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    server.fail("PUT", "/blobs/uploads/", confirm("sha256:" + "0" * 64), times=9)

    with pytest.raises(RegistryError, match="was meant"):
        publish(engine, tmp_path)
    assert not server.manifests


def test_a_registry_that_confirms_no_digest_is_asked_for_the_manifest(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    server.fail("PUT", "manifests", status(201))

    with pytest.raises(RegistryError, match="confirmed nothing"):
        publish(engine, tmp_path)


def test_a_blob_that_vanished_before_the_manifest_is_told_with_the_remedy(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    server.fail("PUT", "manifests", status(400, error="MANIFEST_BLOB_UNKNOWN"))

    with pytest.raises(RegistryError, match="MANIFEST_BLOB_UNKNOWN") as caught:
        publish(engine, tmp_path)
    assert "nocache" in caught.value.hint


def test_a_truncated_answer_is_asked_for_again(server: ScriptedRegistry, tmp_path: Path) -> None:
    with connected(server) as first:
        base = publish(first, tmp_path, "system")
    server.fail("GET", "manifests", truncate(b'{"schemaVersion":2'))

    with connected(server) as fresh:
        assert fresh.size(base) == layer(tmp_path, "system").blob.size
    assert server.count("GET", "manifests") == 2


def test_a_manifest_that_is_not_what_its_digest_says_is_refused(
    server: ScriptedRegistry, tmp_path: Path
) -> None:
    with connected(server) as first:
        base = publish(first, tmp_path, "system")
    content, media_type = server.manifests["shop"][base.digest]
    server.manifests["shop"][base.digest] = (content + b" ", media_type)

    with connected(server) as fresh, pytest.raises(RegistryError, match="was meant"):
        fresh.size(base)


def test_a_layer_file_that_lost_bytes_is_not_sent(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    cut = layer(tmp_path, "app")
    assert cut.path
    cut.path.write_bytes(cut.path.read_bytes()[:-1])

    with pytest.raises(RegistryError, match="should have"):
        engine.publish(build(cut), "shop", Notes(), Cancellation())
    assert not server.manifests


def test_a_cancel_is_heard_while_the_registry_is_silent(server: ScriptedRegistry, tmp_path: Path) -> None:
    answer, cancel = threading.Event(), Cancellation()
    server.fail("PUT", "/blobs/uploads/", hang(answer), times=9)
    timer = threading.Timer(0.3, cancel.request, ("bob canceled it",))
    timer.start()
    began = time.monotonic()

    with connected(server, attempts=1) as registry:
        with pytest.raises(CanceledError, match="bob"):
            registry.publish(build(layer(tmp_path, "app")), "shop", Notes(), cancel)
        assert time.monotonic() - began < 1.5
        answer.set()
    timer.join()
    assert not server.manifests


def test_nobody_at_the_address_is_told_with_the_address() -> None:
    with serving() as gone:
        pass
    with connected(gone, attempts=2) as registry:
        checks = list(registry.check())

    assert [check.ok for check in checks] == [False]
    assert gone.address in checks[0].seen
    assert "listens" in checks[0].fix


# --- logins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_login_is_given_as_the_registry_asks_for_it(
    server: ScriptedRegistry, tmp_path: Path, scheme: str
) -> None:
    server.login, server.scheme = ("deployer", PASSWORD), scheme

    with connected(server, lambda host: Login("deployer", Secret(PASSWORD))) as registry:
        assert whole(server, publish(registry, tmp_path))


def test_a_mount_asks_for_both_repositories(server: ScriptedRegistry, tmp_path: Path) -> None:
    server.login, server.scheme = ("deployer", PASSWORD), "Bearer"

    with connected(server, lambda host: Login("deployer", Secret(PASSWORD))) as registry:
        base = registry.publish(build(layer(tmp_path, "system")), "stacks/run", Notes(), Cancellation())
        made = build(layer(tmp_path, "app"), run_image=base)
        image = registry.publish(made, "shop", Notes(), Cancellation())

    assert whole(server, image)
    assert ["repository:shop:pull,push", "repository:stacks/run:pull"] in server.scopes_asked
    assert len(server.scopes_asked) <= 6, "tokens are kept"


def test_an_upload_that_is_sent_on_to_another_host_takes_no_login_along(
    server: ScriptedRegistry, tmp_path: Path
) -> None:
    server.login = ("deployer", PASSWORD)
    with serving() as other:
        elsewhere = f"http://{other.address}/v2/shop/blobs/uploads/u1"
        other.uploads.add("u1")
        server.fail("POST", "/v2/shop/blobs/uploads/", status(202, {"Location": elsewhere}), times=1)
        with (
            connected(server, lambda host: Login("deployer", Secret(PASSWORD))) as registry,
            pytest.raises(RegistryError, match="MANIFEST_BLOB_UNKNOWN"),
        ):
            publish(registry, tmp_path)
        assert other.count("PUT", "/uploads/u1") == 1
        assert other.authorizations == [None]


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_wrong_password_is_told_without_it(server: ScriptedRegistry, tmp_path: Path, scheme: str) -> None:
    server.login, server.scheme = ("deployer", "the right one"), scheme

    with (
        connected(server, lambda host: Login("deployer", Secret(PASSWORD))) as registry,
        pytest.raises(RegistryError, match="401") as caught,
    ):
        publish(registry, tmp_path)
    assert "docker login" in caught.value.hint
    assert PASSWORD not in repr((caught.value, caught.value.hint, caught.value.__cause__))


def test_a_registry_that_wants_a_login_and_gets_none_says_how_to_log_in(
    server: ScriptedRegistry, engine: OciRegistry, tmp_path: Path
) -> None:
    server.login = ("deployer", PASSWORD)

    with pytest.raises(RegistryError, match="asks for a login") as caught:
        publish(engine, tmp_path)
    assert f"docker login {server.address}" in caught.value.hint


def test_the_server_s_own_login_makes_the_pull_secret(server: ScriptedRegistry) -> None:
    with connected(server, lambda host: Login("deployer", Secret(PASSWORD))) as registry:
        assert registry.credentials() == ("deployer", PASSWORD)
    with connected(server) as registry:
        assert registry.credentials() is None
    with connected(server, lambda host: Login(identity_token=Secret(PASSWORD))) as registry:
        with pytest.raises(ConfigError) as caught:
            registry.credentials()
        assert PASSWORD not in str(caught.value)


def test_docker_s_own_login_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    auth = b64encode(f"deployer:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.test:5000": {"auth": auth}}}))

    assert docker_login("registry.test:5000") == Login("deployer", Secret(PASSWORD))
    assert docker_login("another.test") is None
    assert PASSWORD not in repr(docker_login("registry.test:5000"))


@pytest.mark.parametrize(
    ("username", "login"),
    [("deployer", Login("deployer", Secret(PASSWORD))), ("<token>", Login(identity_token=Secret(PASSWORD)))],
)
def test_a_credential_helper_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, username: str, login: Login
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"registry.test": "vault"}}))
    program = tmp_path / "docker-credential-vault"
    answer = json.dumps({"ServerURL": "registry.test", "Username": username, "Secret": PASSWORD})
    program.write_text(f"#!/bin/sh\ncat > /dev/null\necho '{answer}'\n")
    program.chmod(0o755)

    assert docker_login("registry.test") == login


def test_a_broken_credential_helper_is_told_without_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "vault"}))
    program = tmp_path / "docker-credential-vault"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\necho 'cannot open {PASSWORD}'\nexit 1\n")
    program.chmod(0o755)

    with pytest.raises(ConfigError, match="cannot be read") as caught:
        docker_login("registry.test")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "127.8.0.1", "localhost:5000", "[::1]:5000"])
def test_loopback_is_spoken_to_without_tls(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["registry.test", "10.0.0.1:5000", "localhost.evil.test", "127.0.0.1.evil.test:80"]
)
def test_no_other_host_is_spoken_to_without_tls_unless_it_is_said(host: str) -> None:
    def transport(*insecure: str) -> Transport:
        return Transport(frozenset(insecure), {}, lambda host: None, Patience())

    assert not transport().is_plain(host)
    assert not transport("another.test").is_plain(host)
    assert transport(host).is_plain(host)


@pytest.mark.parametrize(
    ("text", "repository", "reference"),
    [
        ("debian", "docker.io/library/debian", "latest"),
        ("debian:12-slim", "docker.io/library/debian", "12-slim"),
        ("team/app:v1", "docker.io/team/app", "v1"),
        ("127.0.0.1:5000/stacks/run", "127.0.0.1:5000/stacks/run", "latest"),
        ("ghcr.io/a/b@sha256:" + "a" * 64, "ghcr.io/a/b", "sha256:" + "a" * 64),
        ("localhost/x:1@sha256:" + "b" * 64, "localhost/x", "sha256:" + "b" * 64),
    ],
)
def test_references_are_read_as_docker_reads_them(text: str, repository: str, reference: str) -> None:
    place, name = parse_reference(text)

    assert (str(place), name) == (repository, reference)


@pytest.mark.parametrize(
    "text",
    ["", "UPPER", "a//b", "a/../b", "x@sha256:1", "-x", "a b", "x:ta g", "http://a/b", "a.b/c\n", "a?b=c"],
)
def test_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_reference(text)


def test_a_repository_prefix_stands_before_each_name(tmp_path: Path) -> None:
    with serving() as server:
        server.address += "/team/apps"
        with connected(server) as registry:
            image = publish(registry, tmp_path)
    assert Repository.parse(image.repository).name == "team/apps/shop"


def test_a_fault_in_place_of_an_answer_to_head_has_no_body() -> None:
    fault = kinds.status(429, {"Retry-After": "1"})
    head, _, body = fault.answer("GET").partition(b"\r\n\r\n")
    assert json.loads(body) == {"message": "injected 429"}
    assert fault.answer("HEAD") == head + b"\r\n\r\n"
