"""How well models answer pairs of a prompt and its answer. Owns scores and intervals.

Accuracy is the part of the prompts whose greedy answer is the expected one, apart from space around it. NLL
is the negative log-likelihood of a token of the expected answers, in nats: how likely they are to the model,
whether or not it would give them. Both have a bootstrap 95 % interval over the pairs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remora.errors import InvalidInput, UnsupportedParameter, listed
from remora.rollout.endpoint import Endpoint
from remora.rollout.evaluation.questions import Form, Question, read_questions

RESAMPLES = 1000
SEED = 20_240_501  # any fixed one: the same scores have the same interval
LOW, HIGH = 0.025, 0.975
MOST_PAIRS = 100_000
_FORM = Form(
    noun="pair",
    param="--pairs",
    required=("prompt", "answer"),
    most=MOST_PAIRS,
    file_hint="name a JSONL file",
    line_hint='write {"prompt": "…", "answer": "…"}, with "system" where there is one',
)
SPARE_TOKENS = 8  # beyond the expected answer: what goes on is another answer


@dataclass(frozen=True, slots=True)
class Scored:
    """One pair: whether the answer was right, and the log-likelihood of the expected one (None: unknown)."""

    is_right: bool
    log_likelihood: float | None
    answer_tokens: int


@dataclass(frozen=True, slots=True)
class Measure:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one model scored. `nll` is None where the endpoint's engine scores no prompts."""

    model: str
    digest: str
    pairs: int
    accuracy: Measure
    nll: Measure | None


def read_pairs(path: Path) -> list[Question]:
    """The pairs of a JSONL file: prompts that all have an answer. Raises InvalidFile."""
    return read_questions(path, _FORM)


def evaluate(
    endpoint: Endpoint, model: str, pairs: Sequence[Question], asked: Callable[[int], None] = lambda _: None
) -> Evaluation:
    """Ask the model every pair. `asked` is told how many are done."""
    scored: list[Scored] = []
    digest = ""
    for pair in pairs:
        one, digest = _score(endpoint, model, pair)
        scored.append(one)
        asked(len(scored))
    return Evaluation(
        model=model,
        digest=digest,
        pairs=len(scored),
        accuracy=_measure(scored, lambda chosen: sum(one.is_right for one in chosen) / len(chosen)),
        nll=_measure(scored, _nll) if all(one.log_likelihood is not None for one in scored) else None,
    )


def _score(endpoint: Endpoint, model: str, pair: Question) -> tuple[Scored, str]:
    expected = endpoint.tokens(model, prompt=pair.answer)
    answer = endpoint.chat(
        model, pair.messages, temperature=0, max_tokens=max(1, len(expected) + SPARE_TOKENS)
    )
    prompt = endpoint.tokens(model, messages=pair.messages)
    try:
        scores = endpoint.log_likelihoods(model, [*prompt, *expected])[len(prompt) :]
        likelihood: float | None = sum(scores)
    except UnsupportedParameter:
        likelihood = None
    is_right = (answer.text or "").strip() == pair.answer.strip()
    return Scored(is_right, likelihood, len(expected)), answer.digest


def _nll(scored: Sequence[Scored]) -> float:
    tokens = sum(one.answer_tokens for one in scored)
    return -sum(one.log_likelihood or 0.0 for one in scored) / tokens


def _measure(scored: Sequence[Scored], of: Callable[[Sequence[Scored]], float]) -> Measure:
    """The number, and what it would be with other pairs of the same kind."""
    values = sorted(of(chosen) for chosen in _resampled(scored))
    return Measure(
        of(scored), values[int(LOW * RESAMPLES)], values[min(RESAMPLES - 1, int(HIGH * RESAMPLES))]
    )


def _resampled(scored: Sequence[Scored]) -> Iterator[Sequence[Scored]]:
    draw = random.Random(SEED)  # noqa: S311 - no secret
    for _ in range(RESAMPLES):
        yield draw.choices(scored, k=len(scored))


def chosen_models(served: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The models to evaluate: all that are served, or those that are wanted, in that order."""
    unknown = [name for name in wanted if name.partition("@")[0] not in served]
    if unknown:
        raise InvalidInput(
            f"the endpoint does not serve {unknown[0]!r}",
            hint=f"choose from {listed(served)}",
            param="--model",
        )
    return list(wanted) or list(served)


def document_of(evaluation: Evaluation) -> dict[str, Any]:
    """For `--output json`."""
    return {
        "model": evaluation.model,
        "adapter_digest": evaluation.digest or None,
        "pairs": evaluation.pairs,
        "accuracy": _shown(evaluation.accuracy),
        "nll": _shown(evaluation.nll) if evaluation.nll else None,
    }


def _shown(measure: Measure) -> dict[str, float]:
    return {"value": measure.value, "low": measure.low, "high": measure.high}
