"""Signatures of Standard Webhooks: HMAC-SHA256 (``v1``) and Ed25519 (``v1a``) over id, moment and body.

They are made anew at each sending, because receivers refuse what is older than some minutes; the id and the body stay.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import AfterValidator, SecretStr

from connectors.hiding import shown_as

_SYMMETRIC, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"
_ED25519_BYTES = (32, 64)
"""A seed, or a seed with its public key behind it."""
Sign: TypeAlias = Callable[[bytes], str]


def _signer(secret: SecretStr) -> Sign:
    """What signs with this secret; ValueError, which shows nothing of it, where it is none."""
    text = secret.get_secret_value()
    if text.startswith(_PUBLIC):
        raise ValueError("is a public key, which cannot sign (give it to the receiver, and write the whsk_ one here)")
    if text.startswith(_SYMMETRIC):
        return _hmac(_decoded(text.removeprefix(_SYMMETRIC)))
    if text.startswith(_PRIVATE):
        return _ed25519(_decoded(text.removeprefix(_PRIVATE)))
    raise ValueError("is not a secret of Standard Webhooks (it begins with whsec_, or with whsk_ for Ed25519)")


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("is not base64 behind its prefix (copy it again)") from None


def _hmac(key: bytes) -> Sign:
    if not 24 <= len(key) <= 64:
        raise ValueError("has not 24 to 64 bytes, as Standard Webhooks wants them (make a new secret)")
    return lambda content: "v1," + b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def _ed25519(key: bytes) -> Sign:
    if len(key) not in _ED25519_BYTES:
        raise ValueError("is not a private key of Ed25519 (32 bytes, or 64 with the public key behind them)")
    private = Ed25519PrivateKey.from_private_bytes(key[:32])
    if len(key) == 64 and key[32:] != private.public_key().public_bytes_raw():
        raise ValueError("holds a private and a public key that do not belong together (copy it again)")
    return lambda content: "v1a," + b64encode(private.sign(content)).decode()


def _usable(secret: SecretStr) -> SecretStr:
    _signer(secret)
    return secret


SigningSecret = Annotated[SecretStr, AfterValidator(_usable)]


class Signatures:
    """Signs with every secret: during a rotation the receiver knows one of them."""

    def __init__(self, secrets: Sequence[SecretStr]) -> None:
        self._signers = [_signer(secret) for secret in secrets]
        self.texts = shown_as(frozenset(_texts(secrets)))
        """What must never be shown."""

    def __repr__(self) -> str:
        return f"<Signatures with {len(self._signers)} secrets>"

    def headers(self, identifier: str, moment: float, body: bytes) -> dict[str, str]:
        """The three headers of one sending; ``moment`` is now."""
        timestamp = str(int(moment))
        content = b".".join((identifier.encode(), timestamp.encode(), body))
        signatures = " ".join(sign(content) for sign in self._signers)
        return {"webhook-id": identifier, "webhook-timestamp": timestamp, "webhook-signature": signatures}


def _texts(secrets: Sequence[SecretStr]) -> Iterable[str]:
    """Each secret, and what remains of it where a receiver strips the prefix."""
    for secret in secrets:
        yield secret.get_secret_value()
        yield secret.get_secret_value().partition("_")[2]
