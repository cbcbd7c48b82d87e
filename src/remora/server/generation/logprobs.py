"""Log-probabilities as OpenAI's two routes show them. Owns their shapes; computes none.

The text of a token is its bytes read as UTF-8. A token may be only a part of a character: then its text has
U+FFFD in it, and `bytes` has what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from remora.engine.base import TokenEvent, Tokenizer, TokenScore

LEAST_LOGPROB = -9999.0  # OpenAI's word for a token that cannot come: JSON has no infinity


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
    for token, text in zip(tokens, texts, strict=True):
        offsets.append(offsets[-1] + (0 if _is_special(tokenizer, token.token_id) else len(text)))
    return {
        "tokens": texts,
        "token_logprobs": [_shown(token.logprob) for token in tokens],
        "top_logprobs": [_by_text(tokenizer, token) for token in tokens],
        "text_offset": offsets[: len(texts)],
    }


def echoed(prompt_ids: Sequence[int], scores: Sequence[TokenScore]) -> list[TokenEvent]:
    """A prompt's tokens as those of an answer; nothing comes before the first, so it has no logprob."""
    first = [TokenEvent(token_id) for token_id in prompt_ids[:1]]
    return first + [TokenEvent(score.token_id, None, score.logprob, score.top) for score in scores]


def prompt_logprobs(
    tokenizer: Tokenizer, scores: Sequence[TokenScore], most: int
) -> list[dict[str, Any] | None]:
    """`prompt_logprobs` as vLLM has them: for each token of the prompt, by id, itself and the likeliest."""
    shown: list[dict[str, Any] | None] = [None]
    for score in scores:
        likeliest = {
            token_id: (logprob, rank) for rank, (token_id, logprob) in enumerate(score.top[:most], 1)
        }
        entries = {score.token_id: (score.logprob, score.rank)} | likeliest
        shown.append(
            {
                str(token_id): {
                    "logprob": _shown(logprob),
                    "rank": rank,
                    "decoded_token": _text(tokenizer.token_bytes(token_id)),
                }
                for token_id, (logprob, rank) in entries.items()
            }
        )
    return shown


def _is_special(tokenizer: Tokenizer, token_id: int) -> bool:
    """Whether it is no part of a text."""
    return not tokenizer.decode([token_id]) and bool(tokenizer.decode([token_id], skip_special_tokens=False))


def _entry(tokenizer: Tokenizer, token_id: int, logprob: float | None) -> dict[str, Any]:
    raw = tokenizer.token_bytes(token_id)
    return {"token": _text(raw), "logprob": _shown(logprob), "bytes": list(raw)}


def _by_text(tokenizer: Tokenizer, token: TokenEvent) -> dict[str, float] | None:
    """The likeliest tokens, with the chosen one; of two with the same text the likelier."""
    if token.logprob is None:
        return None
    pairs = [*token.top_logprobs, (token.token_id, token.logprob)]
    shown: dict[str, float] = {}
    for token_id, logprob in pairs:
        shown.setdefault(_text(tokenizer.token_bytes(token_id)), max(logprob, LEAST_LOGPROB))
    return shown


def _shown(logprob: float | None) -> float | None:
    return None if logprob is None else max(logprob, LEAST_LOGPROB)


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
