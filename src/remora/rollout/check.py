"""The last gate of a rollout: real completions through the public URL, from the right adapter."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remora.adapters.adapter import Digest, short
from remora.errors import ModelNotFound, NotReady, VerificationFailed
from remora.rollout.endpoint import Answer, Endpoint
from remora.rollout.golden import GoldenPrompt
from remora.rollout.golden_check import ask

_FALLBACK_PROMPT = "Hello!"
_FALLBACK_MAX_TOKENS = 16
_RETRY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Checked:
    """A prompt that was really asked, and what came back."""

    prompt: str
    answer: Answer


def check_endpoint(
    endpoint: Endpoint,
    base_name: str,
    adapters: Mapping[str, Digest],
    golden: Sequence[GoldenPrompt],
    *,
    timeout_seconds: float,
) -> list[Checked]:
    """Ask the base and every adapter one prompt each, greedily, as the golden check does.

    The prompt is the model's first golden one, where it has any. Raises NotReady when no answer came in
    time, VerificationFailed when another digest answered than was deployed.
    """
    deadline = time.monotonic() + timeout_seconds
    checked = []
    for model, digest in {base_name: Digest(""), **adapters}.items():
        prompt, max_tokens = _prompt_for(model, golden)
        answer = _ask(endpoint, model, prompt, max_tokens, deadline)
        if answer.digest != digest:
            raise VerificationFailed(
                f"{model!r} was answered by {_who(answer.digest)}, but {_who(digest)} was deployed",
                hint="run: remora logs",
            )
        checked.append(Checked(prompt, answer))
    return checked


def _prompt_for(model: str, golden: Sequence[GoldenPrompt]) -> tuple[str, int]:
    own = [prompt for prompt in golden if prompt.model == model]
    if not own:
        return _FALLBACK_PROMPT, _FALLBACK_MAX_TOKENS
    return own[0].user, own[0].max_tokens


def _ask(endpoint: Endpoint, model: str, prompt: str, max_tokens: int, deadline: float) -> Answer:
    while True:
        try:
            return ask(endpoint, model, prompt, max_tokens)
        except ModelNotFound as error:
            raise VerificationFailed(
                f"{model!r} was deployed and is not served: {error.message}", hint="run: remora logs"
            ) from error
        except NotReady:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)


def _who(digest: str) -> str:
    return short(Digest(digest)) if digest else "the base model"
