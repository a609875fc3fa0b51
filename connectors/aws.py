"""Requests signed with a pair of keys, as S3 wants them (AWS Signature Version 4); botocore makes the signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from connectors.contents import sha256_of
from connectors.exchange import HttpRequest

_ALSO_SIGNED = frozenset({"content-type", "content-disposition", "if-match", "if-none-match"})
"""Beside x-amz-…; what proxies may change (Accept-Encoding, …) is left out."""


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """An access key. It is no header that could be sent with every request."""

    key_id: str = field(repr=False)
    secret: SecretStr
    region: str

    def headers(self) -> Mapping[str, str]:
        return {}

    def signature(self, request: HttpRequest, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that prove who sends this very request, good for a quarter of an hour."""
        from botocore.auth import S3SigV4Auth  # noqa: PLC0415 - slow to import, and for one kind only
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415
        from botocore.credentials import Credentials  # noqa: PLC0415

        content = sha256_of(request)

        class _Signer(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
            def payload(self, _request: AWSRequest) -> str:
                return content

        chosen = {name: value for name, value in headers.items() if _is_signed(name.lower())}
        prepared = AWSRequest(request.method, request.url, headers=chosen)
        _Signer(Credentials(self.key_id, self.secret.get_secret_value()), "s3", self.region).add_auth(prepared)
        return {name: value for name, value in prepared.headers.items() if name not in chosen}


def _is_signed(name: str) -> bool:
    return name.startswith("x-amz-") or name in _ALSO_SIGNED
