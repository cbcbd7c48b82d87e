"""What an answer says about itself: who answered, how many tokens, how fast. Owns those fields' shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remora.server.generation.choices import Choices

ADAPTER_HEADER = "x-remora-adapter"
DIGEST_HEADER = "x-remora-adapter-digest"
TOOLS_HEADER = "x-remora-tools"
FIRST_TOKEN_HEADER = "x-remora-time-to-first-token-ms"  # noqa: S105


def headers(answer: Choices) -> Mapping[str, str]:
    """Who answers. The digest is whole, as `/v1/models` has it; the base model has none."""
    named = {ADAPTER_HEADER: answer.label}
    return named | {DIGEST_HEADER: answer.adapter.digest} if answer.adapter else named


def tools(told: str | None) -> Mapping[str, str]:
    """How the model was told of the tools: by its template, or in words; nothing where there were none."""
    return {TOOLS_HEADER: told} if told else {}


def times(answer: Choices) -> Mapping[str, str]:
    """How long an answer took that is through; a stream has its times in the last chunk."""
    return {FIRST_TOKEN_HEADER: f"{answer.first_token_seconds * 1000:.2f}"}


def usage(answer: Choices) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_prompt_tokens},
    }


def remora(answer: Choices) -> dict[str, Any]:
    """Our one extra field: the identity behind the name, and the speed."""
    return {
        "adapter": answer.adapter.name if answer.adapter else None,
        "digest": answer.adapter.digest if answer.adapter else None,
        "tokens_per_second": round(answer.tokens_per_second, 2),
        "time_to_first_token_ms": round(answer.first_token_seconds * 1000, 2),
    }
