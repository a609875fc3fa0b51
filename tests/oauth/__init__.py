"""A real provider of tokens (npm ``oidc-provider``) and a platform that asks it about every request."""

from tests.oauth.platform import Platform, platform
from tests.oauth.provider import Provider, provider

__all__ = ["Platform", "Provider", "platform", "provider"]
