"""How an endpoint behaves. Owns the numbers and the keys; reads neither environment nor files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from remora.project.api_keys import ApiKey


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Neither keys nor a file of them: everyone who can reach the port may use it (loopback only, see
    `serve`). The file is followed while we serve; `admin_keys` alone ask nobody else for a key. An admin
    may load adapters by hand from `adapter_roots`.
    """

    api_keys: tuple[ApiKey, ...] = ()
    api_key_file: Path | None = None
    admin_keys: tuple[ApiKey, ...] = ()
    chat_page: bool = True
    default_max_tokens: int = 512
    max_body_bytes: int = 4 * 1024 * 1024
    session_seconds: int = 12 * 3600
    keep_alive_seconds: float = 15.0
    graceful_shutdown_seconds: int = 10
    adapter_roots: tuple[Path, ...] = ()

    @property
    def asks_for_key(self) -> bool:
        return bool(self.api_keys) or self.api_key_file is not None
