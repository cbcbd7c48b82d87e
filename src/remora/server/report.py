"""What an answer says about itself: who answered, how many tokens, how fast. Owns those fields' shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remora.server.answering import Answer

ADAPTER_HEADER = "x-remora-adapter"


def headers(answer: Answer) -> Mapping[str, str]:
    return {ADAPTER_HEADER: answer.label}


def usage(answer: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    }


def remora(answer: Answer) -> dict[str, Any]:
    """Our one extra field: the identity behind the name, and the speed."""
    return {
        "adapter": answer.adapter.name if answer.adapter else None,
        "digest": answer.adapter.digest if answer.adapter else None,
        "tokens_per_second": round(answer.tokens_per_second, 2),
        "time_to_first_token_ms": round(answer.first_token_seconds * 1000, 2),
    }
