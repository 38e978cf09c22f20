"""What the settings choose, and what doctor says of the key."""

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gitreceive.config import Settings, load
from gitreceive.config.supply_chain import SupplyChainSettings
from gitreceive.errors import ConfigError
from gitreceive.supplychain.attesting import RegistryAttestor
from gitreceive.supplychain.chosen import check_key, choose
from tests.fake_registry import FakeRegistry
from tests.supplychain.test_signing import pem


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "signing.pem"
    path.touch(0o600)
    path.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), b"hush-hush"))
    return path


def test_doctor_says_with_which_key_images_are_signed(key_file: Path) -> None:
    (check,) = check_key(
        SupplyChainSettings(signing_key_file=str(key_file), signing_key_password="hush-hush")
    )
    assert check.ok
    assert check.seen.startswith("signs with sha256:")
    (check,) = check_key(SupplyChainSettings())
    assert (check.ok, check.seen) == (True, "none, so images are not signed")


def test_a_password_comes_from_the_first_line_of_a_file(key_file: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hush-hush\nmore\n")
    chosen = SupplyChainSettings(
        signing_key_file=str(key_file), signing_key_password_file=str(tmp_path / "password")
    )
    assert next(check_key(chosen)).ok
    (tmp_path / "password").unlink()
    with pytest.raises(ConfigError, match="signing_key_password_file"):
        next(check_key(chosen))


def test_a_key_that_others_can_read_is_a_finding(key_file: Path) -> None:
    key_file.chmod(0o644)
    chosen = SupplyChainSettings(signing_key_file=str(key_file), signing_key_password="hush-hush")
    (check,) = check_key(chosen)
    assert not check.ok
    assert check.fix == f"chmod 600 {key_file}"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(ssh_listen="127.0.0.1:2222"), "ssh://127.0.0.1:2222"),
        (Settings(public_host="git.test"), "ssh://git.test"),
        (Settings(public_host="git.test", public_url="https://git.test"), "https://git.test"),
        (Settings(supply_chain=SupplyChainSettings(builder_id="urn:x:builder")), "urn:x:builder"),
    ],
    ids=["door", "host", "url", "own"],
)
def test_a_server_is_named_by_what_is_set(settings: Settings, named: str, tmp_path: Path) -> None:
    _, attestor = choose(replace(settings, data_dir=tmp_path), FakeRegistry())
    assert isinstance(attestor, RegistryAttestor)
    assert (attestor.builder, attestor.first, attestor.key()) == (named, False, None)


def test_off_makes_nothing_and_other_words_are_refused(tmp_path: Path) -> None:
    environ = {"GITRECEIVE_DATA_DIR": str(tmp_path), "GITRECEIVE_SUPPLY_CHAIN_ATTEST": "off"}
    assert choose(load(environ), FakeRegistry())[1] is None
    with pytest.raises(ConfigError, match="GITRECEIVE_SUPPLY_CHAIN_ATTEST"):
        load({**environ, "GITRECEIVE_SUPPLY_CHAIN_ATTEST": "maybe"})
