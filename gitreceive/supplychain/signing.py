"""Signatures as cosign has them: of an image's digest (cosign's signature specification, "simple signing") and of statements (DSSE, in-toto)."""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gitreceive.errors import ConfigError, UsageError
from gitreceive.model import ImageRef, Secret

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_HINT = "make one: openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -out signing.pem"
_MOST_BYTES = 1 << 20
_TYPE = "cosign container image signature"


@dataclass(frozen=True)
class PublicKey:
    """ECDSA on P-256 with SHA-256."""

    key: ec.EllipticCurvePublicKey

    @classmethod
    def parse(cls, pem: bytes) -> "PublicKey":
        """Raises UsageError."""
        try:
            key = serialization.load_pem_public_key(pem[:_MOST_BYTES])
        except (ValueError, TypeError):
            raise UsageError("that is no public key in PEM", hint="openssl pkey -in KEY -pubout") from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise UsageError("that is no ECDSA key on P-256", hint=_HINT)
        return cls(key)

    @property
    def id(self) -> str:
        """The hash of the key as it is written (RFC 5280, SubjectPublicKeyInfo), as ``openssl pkey -pubin -outform der | sha256sum`` says it."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        der = self.key.public_bytes(serialization.Encoding.DER, form)
        return f"sha256:{hashlib.sha256(der).hexdigest()}"

    @property
    def pem(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_bytes(serialization.Encoding.PEM, form).decode()

    def verifies(self, signature: str, content: bytes) -> bool:
        """``signature`` is DER in base64."""
        try:
            raw = base64.b64decode(signature, validate=True)
            self.key.verify(raw, content, ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True

    def opens(self, envelope: bytes) -> bytes | None:
        """The statement in a DSSE envelope that was signed with the key; None where it was not."""
        try:
            document = json.loads(envelope)
            kind, payload = document["payloadType"], base64.b64decode(document["payload"], validate=True)
            signed = _pre_authentication(kind, payload)
            signatures = [str(entry["sig"]) for entry in document["signatures"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        good = kind == PAYLOAD_TYPE and any(self.verifies(one, signed) for one in signatures)
        return payload if good else None


@dataclass(frozen=True)
class SigningKey:
    """``repr`` shows no part of it."""

    key: ec.EllipticCurvePrivateKey

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.key.public_key())

    def sign(self, content: bytes) -> str:
        """DER in base64."""
        return base64.b64encode(self.key.sign(content, ec.ECDSA(hashes.SHA256()))).decode()

    def seal(self, statement: bytes) -> bytes:
        """The statement in a DSSE envelope, whose key has no name: the verifier brings it."""
        signature = self.sign(_pre_authentication(PAYLOAD_TYPE, statement))
        document = {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(statement).decode(),
            "signatures": [{"keyid": "", "sig": signature}],
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def read_signing_key(path: Path, password: Secret | None) -> SigningKey:
    """PEM, of PKCS #8 or SEC 1. Raises ConfigError, which tells nothing of what the file holds."""
    try:
        pem = path.read_bytes()[:_MOST_BYTES]
    except OSError as error:
        raise ConfigError(
            f"supply_chain.signing_key_file: {path} cannot be read: {error.strerror}",
            hint="let the server's user read it, and nobody else",
        ) from error
    secret = password.reveal().encode() if password else None
    try:
        key = serialization.load_pem_private_key(pem, secret)
    except (ValueError, TypeError):
        wrong = (
            "is sealed, and its password is not right" if b"ENCRYPTED" in pem else "is no private key in PEM"
        )
        raise ConfigError(f"supply_chain.signing_key_file: {path} {wrong}", hint=_HINT) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ConfigError(f"supply_chain.signing_key_file: {path} is no ECDSA key on P-256", hint=_HINT)
    return SigningKey(key)


def payload_for(image: ImageRef) -> bytes:
    """What is signed of an image (cosign's signature specification, "Payload")."""
    document = {
        "critical": {
            "identity": {"docker-reference": image.repository},
            "image": {"docker-manifest-digest": image.digest},
            "type": _TYPE,
        },
        "optional": None,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def names(payload: bytes, image: ImageRef) -> bool:
    """Whether a payload is about the image. By whichever repository: an image that is promoted keeps its signature."""
    try:
        critical = json.loads(payload)["critical"]
        return bool(critical["image"]["docker-manifest-digest"] == image.digest and critical["type"] == _TYPE)
    except (ValueError, KeyError, TypeError):
        return False


def _pre_authentication(kind: str, payload: bytes) -> bytes:
    """DSSE, "PAE": what is signed of an envelope."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)
