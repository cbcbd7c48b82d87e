"""The last gate of a rollout: real answers through the public URL. Moves no traffic."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from remora.adapters.adapter import Digest, short
from remora.errors import ModelNotFound, NotReady, VerificationFailed
from remora.rollout.endpoint import Answer, Endpoint
from remora.rollout.golden.check import ask
from remora.rollout.golden.prompts import GoldenPrompt

_FALLBACK_PROMPT = "Hello!"
_FALLBACK_MAX_TOKENS = 16
_RETRY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Checked:
    """A prompt that was sent, and the answer."""

    prompt: str
    answer: Answer


def check_endpoint(
    endpoint: Endpoint,
    base_name: str,
    adapters: Mapping[str, Digest],
    golden: Sequence[GoldenPrompt],
    *,
    timeout_seconds: float,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Checked]:
    """Ask the base and every adapter one prompt each, greedily, as the golden check does.

    `tell` gets the reason for a missing answer, once per reason. The prompt is the model's first golden one,
    if it has any. Raises NotReady if no answer came in time, VerificationFailed if the digest that answered
    is not the deployed one.
    """
    deadline = time.monotonic() + timeout_seconds
    checked = []
    for model, digest in {base_name: Digest(""), **adapters}.items():
        prompt, max_tokens = _prompt_for(model, golden)
        answer = _ask(partial(ask, endpoint, model, prompt, max_tokens), model, deadline, tell)
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


def _ask(asked: Callable[[], Answer], model: str, deadline: float, tell: Callable[[str], None]) -> Answer:
    told = ""
    while True:
        try:
            return asked()
        except ModelNotFound as error:
            raise VerificationFailed(
                f"{model!r} was deployed and is not served: {error.message}", hint="run: remora logs"
            ) from error
        except NotReady as error:
            if time.monotonic() > deadline:
                raise
            if error.message != told:
                tell(f"{model} does not answer yet: {error.message}")
            told = error.message
            time.sleep(_RETRY_SECONDS)


def _who(digest: str) -> str:
    return short(Digest(digest)) if digest else "the base model"
