"""What is said to vLLM and what it answers: its completions API with token ids both ways.

https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html (extra parameters of completions)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from remora.engine.base import FinishReason, GenerationRequest, TokenEvent
from remora.engine.vllm.child import BASE
from remora.errors import EngineFailed

# vLLM divides logits by it in float32, where a lower one can give infinity, and then no number at all.
_LEAST_REPETITION_PENALTY = 1e-30
_TOKEN_ID = "token_id:"  # noqa: S105 - how vLLM spells a token as its id


def request_body(request: GenerationRequest) -> dict[str, Any]:
    """The body of POST /v1/completions for this request."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": request.adapter or BASE,
        "prompt": list(request.prompt_ids),
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": max(sampling.repetition_penalty, _LEAST_REPETITION_PENALTY),
        "min_tokens": sampling.min_tokens,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "stop_token_ids": sorted(request.stop_token_ids),
        "ignore_eos": True,  # which ids end an answer is in the request
        "request_id": request.request_id,
        "return_token_ids": True,
        "stream": True,
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.logit_bias:
        body["logit_bias"] = {str(token_id): bias for token_id, bias in sampling.logit_bias.items()}
    if sampling.top_logprobs is not None:
        body |= {"logprobs": sampling.top_logprobs, "return_tokens_as_token_ids": True}
    if request.constraint is not None:
        body["structured_outputs"] = {"grammar": request.constraint.grammar}
    return body


def events_of(line: str, top_logprobs: int | None) -> Iterator[TokenEvent]:
    """The tokens of one line of the stream. Raises EngineFailed where vLLM reports an error in it."""
    if not line.startswith("data: ") or line == "data: [DONE]":
        return
    document = json.loads(line.removeprefix("data: "))
    if "error" in document:
        raise EngineFailed(f"vllm: {document['error'].get('message', 'unknown')}")
    for choice in document.get("choices", ()):
        token_ids: list[int] = choice.get("token_ids") or []
        for index, token_id in enumerate(token_ids):
            last = index == len(token_ids) - 1
            reason = FinishReason(choice["finish_reason"]) if last and choice.get("finish_reason") else None
            yield TokenEvent(token_id, reason, *_logprobs(choice.get("logprobs"), index, top_logprobs))


def _logprobs(
    logprobs: Mapping[str, Any] | None, index: int, wanted: int | None
) -> tuple[float | None, tuple[tuple[int, float], ...]]:
    if logprobs is None or wanted is None:
        return None, ()
    likeliest = {
        int(token.removeprefix(_TOKEN_ID)): float(value)
        for token, value in (logprobs["top_logprobs"][index] or {}).items()
    }
    ordered = sorted(likeliest.items(), key=lambda item: -item[1])
    return float(logprobs["token_logprobs"][index]), tuple(ordered[:wanted])
