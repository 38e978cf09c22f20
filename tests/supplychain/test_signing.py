"""Signatures and envelopes, checked with the bare library against the formats that cosign and in-toto document."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gitreceive.errors import ConfigError, UsageError
from gitreceive.model import ImageRef, Secret
from gitreceive.supplychain.signing import PublicKey, SigningKey, names, payload_for, read_signing_key
from tests.engines.oci_images import digest

IMAGE = ImageRef("registry.test/shop", digest(b"image"))


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    seal: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        seal = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, seal)


@pytest.fixture
def key() -> SigningKey:
    return SigningKey(ec.generate_private_key(ec.SECP256R1()))


def test_what_is_signed_of_an_image_is_what_cosign_documents(key: SigningKey) -> None:
    payload = payload_for(IMAGE)
    assert json.loads(payload) == {
        "critical": {
            "identity": {"docker-reference": "registry.test/shop"},
            "image": {"docker-manifest-digest": IMAGE.digest},
            "type": "cosign container image signature",
        },
        "optional": None,
    }
    raw = base64.b64decode(key.sign(payload))
    bare = serialization.load_pem_public_key(key.public.pem.encode())
    assert isinstance(bare, ec.EllipticCurvePublicKey)
    bare.verify(raw, payload, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        bare.verify(raw, payload + b" ", ec.ECDSA(hashes.SHA256()))


def test_an_envelope_is_what_dsse_documents(key: SigningKey) -> None:
    statement = b'{"_type":"https://in-toto.io/Statement/v1"}'
    envelope = json.loads(key.seal(statement))
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert base64.b64decode(envelope["payload"]) == statement
    signed = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(statement), statement)
    raw = base64.b64decode(envelope["signatures"][0]["sig"])
    key.key.public_key().verify(raw, signed, ec.ECDSA(hashes.SHA256()))


def test_only_the_key_that_sealed_opens_an_envelope(key: SigningKey) -> None:
    other = SigningKey(ec.generate_private_key(ec.SECP256R1()))
    envelope = key.seal(b"{}")
    assert key.public.opens(envelope) == b"{}"
    assert other.public.opens(envelope) is None
    changed = json.loads(envelope) | {"payload": base64.b64encode(b'{"a":1}').decode()}
    assert key.public.opens(json.dumps(changed).encode()) is None
    retyped = json.loads(envelope) | {"payloadType": "text/plain"}
    assert key.public.opens(json.dumps(retyped).encode()) is None
    for broken in (b"", b"[]", b"{}", b'{"payloadType": 1, "payload": "", "signatures": []}', b"\xff"):
        assert key.public.opens(broken) is None


def test_a_payload_names_one_digest_in_whichever_repository() -> None:
    payload = payload_for(IMAGE)
    assert names(payload, ImageRef("elsewhere.test/staging", IMAGE.digest))
    assert not names(payload, ImageRef(IMAGE.repository, digest(b"other")))
    assert not names(b'{"critical": {"image": {}}}', IMAGE)
    assert not names(b"[]", IMAGE)


def test_a_key_is_known_by_the_hash_of_its_public_part(key: SigningKey) -> None:
    der = serialization.load_pem_public_key(key.public.pem.encode()).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert key.public.id == f"sha256:{hashlib.sha256(der).hexdigest()}"
    assert PublicKey.parse(key.public.pem.encode()).id == key.public.id


def test_a_sealed_key_is_read_with_its_password_alone(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem(key.key, b"hush-hush"))
    assert read_signing_key(path, Secret("hush-hush")).public.id == key.public.id
    for wrong in (None, Secret("hush-hash")):
        with pytest.raises(ConfigError, match="its password is not right") as caught:
            read_signing_key(path, wrong)
        assert "hush" not in str(caught.value)
    path.write_bytes(pem(key.key))
    assert read_signing_key(path, None).public.id == key.public.id


def test_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_signing_key(path, None)
    others = (
        (pem(rsa.generate_private_key(65537, 2048)), "no ECDSA key on P-256"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "no ECDSA key on P-256"),
        (b"no key", "no private key in PEM"),
    )
    for content, why in others:
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=why):
            read_signing_key(path, None)
    with pytest.raises(UsageError, match="no public key"):
        PublicKey.parse(b"none")
