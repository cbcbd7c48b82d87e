"""How an endpoint behaves. Owns the numbers and the keys; reads neither environment nor files."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """No API key means that everyone who can reach the port may use it (loopback only, see `serve`)."""

    api_keys: tuple[str, ...] = field(default=(), repr=False)
    chat_page: bool = True
    default_max_tokens: int = 512
    max_body_bytes: int = 4 * 1024 * 1024
    session_seconds: int = 12 * 3600
    keep_alive_seconds: float = 15.0
    graceful_shutdown_seconds: int = 10
