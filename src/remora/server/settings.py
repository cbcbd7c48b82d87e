"""How an endpoint behaves. Owns the numbers and the keys; reads neither environment nor files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from remora.adapters.proof import ProofPolicy
from remora.project.api_keys import ApiKey
from remora.server.generation.tool_form import Tools


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Neither keys nor a file of them: everyone who can reach the port may use it (loopback only, see
    `serve`). The file is followed while we serve; `admin_keys` alone ask nobody else for a key. An admin
    may load adapters by hand from `adapter_roots`.

    `max_requests_per_key` 0 is half of the places where there are several keys. For tokens 0 makes the
    model's context the limit. Where not `strict`, what is not supported is ignored, and the answer says so.
    `ollama` adds the routes of Ollama.
    Without `allowed_hosts` the page answers to any name that leads here.
    """

    api_keys: tuple[ApiKey, ...] = ()
    api_key_file: Path | None = None
    admin_keys: tuple[ApiKey, ...] = ()
    chat_page: bool = True
    max_open_requests: int = 80
    max_requests_per_key: int = 0
    max_prompt_tokens: int = 0
    max_total_tokens: int = 0
    max_answer_tokens: int = 0
    strict: bool = True
    ollama: bool = False
    request_timeout_seconds: float = 600.0
    unread_timeout_seconds: float = 30.0
    max_body_bytes: int = 4 * 1024 * 1024
    body_seconds: float = 30.0
    max_header_bytes: int = 32 * 1024
    session_seconds: int = 12 * 3600
    keep_alive_seconds: float = 15.0
    graceful_shutdown_seconds: float = 25.0  # Container Apps kills 30 s after it asked
    adapter_roots: tuple[Path, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    metrics_need_key: bool = True
    log_requests: bool = True
    tools: Tools = Tools.TEMPLATE
    proof: ProofPolicy = ProofPolicy.OFF

    @property
    def asks_for_key(self) -> bool:
        return bool(self.api_keys) or self.api_key_file is not None

    def with_serve(self, serve: Mapping[str, str | int]) -> ServerSettings:
        """With what [serve] says; a release may be older than this code: what it does not say stays."""
        running, queued = serve.get("max_running_requests"), serve.get("max_queued_requests")
        changes: dict[str, Any] = {name: serve[name] for name in _NUMBERS if name in serve}
        changes |= {name: _listed(serve[name]) for name in _LISTS if name in serve}
        if running is not None and queued is not None:
            changes["max_open_requests"] = int(running) + int(queued)
        if "proof" in serve:
            changes["proof"] = ProofPolicy(str(serve["proof"]))
        if "tools" in serve:
            changes["tools"] = Tools(str(serve["tools"]))
        if "metrics" in serve:
            changes["metrics_need_key"] = serve["metrics"] != "open"
        if "log" in serve:
            changes["log_requests"] = serve["log"] != "off"
        changes |= {name: bool(serve[name]) for name in _SWITCHES if name in serve}
        if "page" in serve:
            changes["chat_page"] = serve["page"] != "off"
        return replace(self, **changes)


_NUMBERS = (
    "max_requests_per_key",
    "max_prompt_tokens",
    "max_total_tokens",
    "max_answer_tokens",
    "request_timeout_seconds",
    "unread_timeout_seconds",
)
_SWITCHES = ("strict", "ollama")
_LISTS = ("allowed_hosts", "cors_origins")


def _listed(value: str | int) -> tuple[str, ...]:
    return tuple(part.strip() for part in str(value).split(",") if part.strip())
