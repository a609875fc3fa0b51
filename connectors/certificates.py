"""The public key inside a certificate: it stays when a certificate is renewed for the same key (RFC 5280 §4.1)."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

_VERSION = 0xA0
_FIELDS_BEFORE_KEY = 5
"""Serial number, signature algorithm, issuer, validity, subject."""


def public_key(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a DER certificate, as it stands there."""
    _, certificate_body, _ = _element(certificate)
    _, fields, _ = _element(certificate_body)
    tag, _, rest = _element(fields)
    left = rest if tag == _VERSION else fields
    for _ in range(_FIELDS_BEFORE_KEY):
        _, _, left = _element(left)
    return left[: len(left) - len(_element(left)[2])]


def pin_of(certificate: bytes) -> str:
    """The name of a certificate's public key: ``sha256/`` and the base64 of its hash (RFC 7469)."""
    return f"sha256/{b64encode(sha256(public_key(certificate)).digest()).decode()}"


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """The tag and content of the first DER element, and what follows it."""
    size, start = data[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(data[2:start], "big")
    return data[0], data[start : start + size], data[start + size :]
