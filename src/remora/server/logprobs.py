"""Log-probabilities as OpenAI's two routes show them. Owns their shapes; computes none.

The text of a token is its bytes read as UTF-8. A token may be only a part of a character: then its text has
U+FFFD in it, and `bytes` has what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from remora.engine.base import TokenEvent, Tokenizer


def chat_logprobs(tokenizer: Tokenizer, tokens: Sequence[TokenEvent]) -> dict[str, Any]:
    """`logprobs` of a choice, or of a chunk of one, in a chat answer."""
    content = [
        {
            **_entry(tokenizer, token.token_id, token.logprob),
            "top_logprobs": [_entry(tokenizer, *pair) for pair in token.top_logprobs],
        }
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(
    tokenizer: Tokenizer, tokens: Sequence[TokenEvent], first_offset: int
) -> dict[str, Any]:
    """`logprobs` of a choice, or of a chunk of one, whose text begins at character `first_offset`."""
    texts = [_text(tokenizer.token_bytes(token.token_id)) for token in tokens]
    offsets = [first_offset]
    for text in texts[:-1]:
        offsets.append(offsets[-1] + len(text))
    return {
        "tokens": texts,
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [_by_text(tokenizer, token) for token in tokens],
        "text_offset": offsets[: len(texts)],
    }


def _entry(tokenizer: Tokenizer, token_id: int, logprob: float | None) -> dict[str, Any]:
    raw = tokenizer.token_bytes(token_id)
    return {"token": _text(raw), "logprob": logprob, "bytes": list(raw)}


def _by_text(tokenizer: Tokenizer, token: TokenEvent) -> dict[str, float]:
    """The likeliest tokens, with the chosen one; of two with the same text the likelier."""
    pairs = [*token.top_logprobs]
    if token.logprob is not None:
        pairs.append((token.token_id, token.logprob))
    shown: dict[str, float] = {}
    for token_id, logprob in pairs:
        shown.setdefault(_text(tokenizer.token_bytes(token_id)), logprob)
    return shown


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
