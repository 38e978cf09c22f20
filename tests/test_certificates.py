"""What is taken for a certificate, and what is refused and why."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gitreceive.certificates import read_certificate
from gitreceive.errors import UsageError
from gitreceive.model import Certificate, CertificateFacts, Domain, Routing
from tests.certificates import issue

ROOT = issue(name="root")
MIDDLE = issue(by=ROOT, name="middle")
LEAF = issue("shop.test", "*.Shop.test", "localhost", by=MIDDLE)
OTHER = issue("other.test")
NOW = datetime.now(UTC)
WEAK = rsa.generate_private_key(65537, 1024).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
LOCKED = LEAF.key.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"word"),
)


def read(*parts: str) -> Certificate:
    return read_certificate("\n".join(parts), NOW)


def test_a_chain_with_its_key_is_taken_in_whatever_place_the_key_is() -> None:
    found = read("Bag Attributes\n", LEAF.key_pem, LEAF.pem, "noise", MIDDLE.pem)
    assert found == read(LEAF.pem, MIDDLE.pem, LEAF.key_pem)
    assert found.facts.hosts == (Domain("*.shop.test"), Domain("shop.test"))
    assert found.chain.count("BEGIN CERTIFICATE") == 2
    assert found.key.reveal().startswith("-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE" not in repr(found)
    assert found.facts.days_left(NOW) in {89, 90}


@pytest.mark.parametrize(
    ("parts", "said", "hint"),
    [
        ((), "there is no certificate", "PEM"),
        ((LEAF.pem,), "there must be one private key, and there are 0", "PEM"),
        ((LEAF.pem, LEAF.key_pem, OTHER.key_pem), "and there are 2", "PEM"),
        ((LEAF.pem, OTHER.key_pem), "the private key is not that of the first", "asked for with"),
        (
            (MIDDLE.pem, LEAF.pem, LEAF.key_pem),
            "not that of the first",
            "put the certificate of the key first",
        ),
        ((LEAF.pem, ROOT.pem, LEAF.key_pem), "the chain is not in order", "the one that issued it"),
        (
            (OTHER.pem.replace("M", "!", 30), OTHER.key_pem),
            "certificate 1 of the chain cannot be read",
            "PEM",
        ),
        ((OTHER.pem, OTHER.key_pem.replace("M", "A", 3)), "the private key cannot be read", "PEM"),
        ((LEAF.pem, LOCKED.decode()), "has a passphrase", "openssl pkey"),
        ((LEAF.pem, WEAK.decode()), "1024 bits", "2048"),
        ((MIDDLE.pem, MIDDLE.key_pem), "for no host", "subjectAltName"),
    ],
)
def test_what_no_server_could_serve_is_refused(parts: tuple[str, ...], said: str, hint: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        read(*parts)
    assert hint in error.value.hint
    assert "PRIVATE" not in error.value.message + error.value.hint


def test_what_has_run_out_is_refused() -> None:
    old = issue("shop.test", days=-1)
    with pytest.raises(UsageError, match="ran out on"):
        read(old.pem, old.key_pem)


def test_of_several_for_a_host_the_one_that_holds_longest_is_served() -> None:
    def facts(days: int, *hosts: str) -> CertificateFacts:
        return CertificateFacts(tuple(map(Domain, hosts)), NOW + timedelta(days=days))

    routing = Routing(
        certificates={
            "a" * 64: facts(10, "www.shop.test"),
            "b" * 64: facts(20, "*.shop.test"),
            "c" * 64: facts(30, "other.test"),
        }
    )
    assert routing.certificate_for("www.shop.test") == "b" * 64
    assert routing.certificate_for("shop.test") is None
    assert Routing.parse(routing.document()) == routing
