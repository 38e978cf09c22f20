"""A truststore for Java out of a PEM bundle: the format JKS, which every Java reads and which needs no program to write."""

import base64
import binascii
import hashlib
import re
import struct

_MAGIC, _VERSION, _TRUSTED = 0xFEEDFEED, 2, 2
_PASSWORD = "changeit"  # noqa: S105 - Java's own default; what it protects is public
_SALT = b"Mighty Aphrodite"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----")


def to_jks(bundle: str) -> bytes:
    """A JKS keystore with each certificate of the bundle once: the same bytes for the same bundle.

    Integers are big-endian, strings are UTF-8 after their length in two bytes; the end is SHA-1 of the password in UTF-16, a
    fixed salt and all before (sun.security.provider.JavaKeyStore in OpenJDK). Raises ValueError where a certificate is no base64.
    """
    certificates = list(dict.fromkeys(_decode(text) for text in _CERTIFICATE.findall(bundle)))
    body = struct.pack(">III", _MAGIC, _VERSION, len(certificates))
    for der in certificates:
        alias = hashlib.sha256(der).hexdigest()[:32]
        body += struct.pack(">I", _TRUSTED) + _text(alias) + struct.pack(">Q", 0) + _text("X.509")
        body += struct.pack(">I", len(der)) + der
    sealed = hashlib.sha1(_PASSWORD.encode("utf-16-be") + _SALT + body, usedforsecurity=False)
    return body + sealed.digest()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(f"a certificate is no base64: {error}") from error


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">H", len(encoded)) + encoded
