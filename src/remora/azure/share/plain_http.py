"""A token over http, which the storage clients refuse to send: for a loopback address only."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from azure.core.pipeline.transport import RequestsTransport

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def token_options(account_url: str) -> dict[str, Any]:
    """Keyword arguments for a client that sends a token to this URL of an account."""
    parts = urlsplit(account_url)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
        return {"account_url": account_url}
    return {"account_url": account_url.replace("http:", "https:", 1), "transport": _PlainTransport()}


class _PlainTransport(RequestsTransport):  # type: ignore[misc]  # the SDK's types are not used here
    """Sends by http what the client believes to send by https."""

    def send(self, request: Any, **options: Any) -> Any:
        request.url = request.url.replace("https:", "http:", 1)
        return super().send(request, **options)
