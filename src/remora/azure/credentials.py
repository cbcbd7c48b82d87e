"""Who we are to a cloud: Azure's default credential chain, or the local cloud's own token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken, AccessTokenInfo

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_HOUR_SECONDS = 3600


class StaticToken:
    """The token that the local cloud made for itself; it does not expire while the cloud lives."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __repr__(self) -> str:
        return "StaticToken()"

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # noqa: ARG002 - the SDK's protocol
        return AccessToken(self._token, int(time.time()) + _HOUR_SECONDS)

    def get_token_info(self, *scopes: str, **options: Any) -> AccessTokenInfo:  # noqa: ARG002
        return AccessTokenInfo(self._token, int(time.time()) + _HOUR_SECONDS)


def azure_credential() -> TokenCredential:
    """Azure CLI, environment, managed identity and so on, in the SDK's documented order."""
    from azure.identity import DefaultAzureCredential

    credential: TokenCredential = DefaultAzureCredential()
    return credential
