"""Who we are to a cloud: Azure's default credential chain, or the local cloud's own token.

Also what to say of a chain in which nothing worked; no secret is ever part of that.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken, AccessTokenInfo

from remora.errors import SignInRequired

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_HOUR_SECONDS = 3600
_ATTEMPT = re.compile(r"^\t(\w+)(?:: (.*))?$", re.MULTILINE)
_NOT_SET_UP = re.compile(r"unavailable|not found|could not be found|is not installed|requires the", re.I)
_REASON_CHARACTERS = 160


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

    # The SDK logs each failed attempt as a warning, and without any handler Python prints those.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    try:
        credential: TokenCredential = DefaultAzureCredential()
    except ValueError as error:  # a variable holds what can be no tenant, authority or chain
        raise SignInRequired(
            f"the AZURE_* variables are wrong: {error}", hint="mend or unset them, then: az login"
        ) from error
    return credential


def attempts_of(message: str) -> str | None:
    """The SDK's report on a chain that failed, on one line; None where `message` is no such report.

    Names every credential that was tried, and says why for those that are set up but were refused.
    """
    attempts = _ATTEMPT.findall(message)
    if not attempts:
        return None
    return "tried " + ", ".join(_attempt(name, reason) for name, reason in attempts)


def _attempt(name: str, reason: str) -> str:
    if not reason or _NOT_SET_UP.search(reason):
        return name
    return f"{name} ({reason[:_REASON_CHARACTERS].rstrip('.')})"
