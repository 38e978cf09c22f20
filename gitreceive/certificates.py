"""Certificates that people bring: looked at as a whole before they are kept, so that no server refuses them later."""

import re
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from gitreceive.errors import UsageError
from gitreceive.model import Certificate, CertificateFacts, Domain, Secret

SOON = timedelta(days=21)  # before its end a certificate is warned of
LARGEST = 200_000  # bytes of PEM

_LEAST_RSA = 2048  # bits: TLS libraries refuse less
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----", re.ASCII)


def read_certificate(pem: str, now: datetime) -> Certificate:
    """The certificate and its private key, from PEM (RFC 7468) with the certificate first, those that issued it behind, and the key anywhere.

    Raises UsageError, which says nothing of the key, where something is missing, is not in order, does not fit, or has run out.
    """
    chain, key = _parsed(pem)
    leaf = chain[0]
    if key.public_key() != leaf.public_key():
        raise UsageError("the private key is not that of the first certificate", hint=_order_hint(chain, key))
    for issued, issuer in pairwise(chain):
        _require_issued(issued, issuer)
    if leaf.not_valid_after_utc <= now:
        raise UsageError(f"the certificate ran out on {leaf.not_valid_after_utc:%Y-%m-%d}", hint="renew it")
    facts = CertificateFacts(_hosts(leaf), leaf.not_valid_after_utc)
    return Certificate(
        leaf.fingerprint(hashes.SHA256()).hex(),
        facts,
        "".join(_written(each) for each in chain),
        _secret(key),
    )


def expiry_of(pem: bytes) -> datetime:
    """When the first certificate of a PEM file runs out. Raises UsageError."""
    try:
        return x509.load_pem_x509_certificates(pem)[0].not_valid_after_utc
    except ValueError as error:
        raise UsageError(f"there is no certificate to be read: {error}", hint="it must be PEM") from error


def _parsed(pem: str) -> tuple[list[x509.Certificate], PrivateKeyTypes]:
    chain: list[x509.Certificate] = []
    keys: list[PrivateKeyTypes] = []
    for block in _BLOCK.finditer(pem):
        if block[1] == "CERTIFICATE":
            chain.append(_certificate(block[0], len(chain) + 1))
        elif block[1].endswith("PRIVATE KEY"):
            keys.append(_key(block[0]))
    if not chain:
        raise UsageError("there is no certificate in it", hint=_HINT)
    if len(keys) != 1:
        raise UsageError(f"there must be one private key, and there are {len(keys)}", hint=_HINT)
    return chain, keys[0]


_HINT = "give PEM: the certificate, those that issued it, and the private key: cat chain.pem key.pem"


def _certificate(block: str, number: int) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(block.encode())
    except ValueError:
        raise UsageError(f"certificate {number} of the chain cannot be read", hint=_HINT) from None


def _key(block: str) -> PrivateKeyTypes:
    try:
        key = serialization.load_pem_private_key(block.encode(), password=None)
    except TypeError:
        raise UsageError(
            "the private key has a passphrase", hint="take it off: openssl pkey -in key.pem -out plain.pem"
        ) from None
    except ValueError:
        raise UsageError("the private key cannot be read", hint=_HINT) from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _LEAST_RSA:
        raise UsageError(f"the key has {key.key_size} bits", hint=f"an RSA key needs {_LEAST_RSA} or more")
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise UsageError("the key is of a kind that TLS servers do not take", hint="use RSA or ECDSA")
    return key


def _order_hint(chain: list[x509.Certificate], key: PrivateKeyTypes) -> str:
    if any(each.public_key() == key.public_key() for each in chain):
        return "put the certificate of the key first, then the one that issued it, and so on"
    return "give the key that the certificate was asked for with"


def _require_issued(issued: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        issued.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        raise UsageError(
            f"the chain is not in order: {issuer.subject.rfc4514_string()[:80]!r} did not issue the one before it",
            hint="put the certificate first, then the one that issued it, and so on",
        ) from None


def _hosts(leaf: x509.Certificate) -> tuple[Domain, ...]:
    """Its DNS names (RFC 6125: a common name counts no more)."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise UsageError("the certificate is for no host", hint="it needs a subjectAltName") from None
    hosts = sorted({host for name in names.get_values_for_type(x509.DNSName) if (host := _domain(name))})
    if not hosts:
        raise UsageError("the certificate is for no host", hint="it needs a DNS name in its subjectAltName")
    return tuple(hosts)


def _domain(name: str) -> Domain | None:
    try:
        return Domain.parse(name)
    except UsageError:
        return None  # localhost, say: no app answers there


def _written(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _secret(key: PrivateKeyTypes) -> Secret:
    return Secret(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode("ascii")
    )
