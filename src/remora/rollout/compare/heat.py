"""How far two models differ at each token of one text. Owns these figures; asks nothing.

The distance is KL(reference ‖ model) in nats. An endpoint tells the likeliest tokens of each place, not all,
so the figure is the lower bound of `remora.adapters.proof`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remora.adapters.proof import kl_lower_bound
from remora.rollout.compare.asking import ScoredPosition

SHOWN_TOKENS = 5

Likeliest = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class HeatToken:
    """A token, the distance at its place, and the likeliest tokens of both there with log-probabilities."""

    text: str
    kl_nats: float
    reference: Likeliest
    model: Likeliest


def heat_of(reference: Sequence[ScoredPosition], model: Sequence[ScoredPosition]) -> tuple[HeatToken, ...]:
    """The tokens of a text that both models have scored."""
    return tuple(_token(*pair) for pair in zip(reference, model, strict=True))


def distances(reference: Sequence[ScoredPosition], model: Sequence[ScoredPosition]) -> tuple[float, ...]:
    """The distances alone."""
    return tuple(
        kl_lower_bound(ours.logprobs, theirs.logprobs) for ours, theirs in zip(reference, model, strict=True)
    )


def _token(reference: ScoredPosition, model: ScoredPosition) -> HeatToken:
    return HeatToken(
        text=model.texts[model.token_id],
        kl_nats=kl_lower_bound(reference.logprobs, model.logprobs),
        reference=_likeliest(reference.logprobs, reference.texts),
        model=_likeliest(model.logprobs, model.texts),
    )


def _likeliest(logprobs: Mapping[int, float], texts: Mapping[int, str]) -> Likeliest:
    ranked = sorted(logprobs.items(), key=lambda item: (-item[1], item[0]))
    return tuple((texts[token_id], logprob) for token_id, logprob in ranked[:SHOWN_TOKENS])
