"""A comparison as data: the JSON beside the report, and what the reports are made of.

All that changes from run to run is in `made_at` and `timings`; the rest is the same for the same answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from remora import __version__
from remora.rollout.compare.comparison import Comparison, Figure, Measured
from remora.rollout.compare.gathering import GENERAL_TOKENS, Limits, SwitchedOff
from remora.rollout.compare.heat import HeatToken, Likeliest
from remora.rollout.compare.layers import Layer, effect_nats
from remora.rollout.compare.questions import GENERAL_PROMPTS
from remora.rollout.compare.verdict import verdicts
from remora.rollout.evaluation.scores import RESAMPLES, SEED, Measure
from remora.rollout.golden.recorded import TOP_LOGPROBS

SCHEMA = "remora.comparison/v1"
DECIMALS = 6
Json = dict[str, Any]


def document_of(
    comparison: Comparison, limits: Limits, *, source: str, made_at: datetime | None = None
) -> Json:
    """The whole comparison. `source` says where the prompts come from."""
    return {
        "made_at": (made_at or datetime.now(UTC)).isoformat(timespec="seconds"),
        "remora": __version__,
        "verdicts": [asdict(one) for one in verdicts(comparison)],
        "settings": {
            "prompts": source,
            "prompt_count": len(comparison.questions),
            "max_tokens": limits.max_tokens,
            "general_prompts": len(GENERAL_PROMPTS),
            "general_tokens": GENERAL_TOKENS,
            "top_logprobs": TOP_LOGPROBS,
            "resamples": RESAMPLES,
            "seed": SEED,
            "scorers": list(comparison.scorers),
        },
        "models": [_model(one) for one in comparison.models],
        "prompts": [_prompt(comparison, number) for number in range(len(comparison.questions))],
        "general": [_general(comparison, number) for number in range(len(GENERAL_PROMPTS))],
        "timings": {
            "parallel_requests": limits.parallel,
            "models": [{"label": one.label, **_rounded(asdict(one.timing))} for one in comparison.models],
        },
    }


def _model(one: Measured) -> Json:
    return {
        "label": one.label,
        "model": one.said.who.model,
        "digest": one.said.digest or None,
        "scale": one.said.who.scale,
        "figures": {name: _figure(figure) for name, figure in one.figures.items()},
        "drift": _measure(one.drift),
        "changed_answers": one.changed_answers,
        "changed_general_answers": one.changed_general,
        "layers": [_layer(layer) for layer in one.layers],
        "layers_off": _layers_off(one.said.switched_off),
    }


def _layer(layer: Layer) -> Json:
    figures = {"norm": layer.norm, "kl_nats_without": layer.kl_nats_without, "kl_share": layer.kl_share}
    return {"layer": layer.number, **_rounded(figures)}


def _layers_off(off: SwitchedOff | None) -> Json | None:
    """Of which tokens the layers' shares are, and the whole effect on them."""
    if off is None:
        return None
    return {
        "prompts": off.prompts,
        "tokens": len(off.whole),
        **_rounded({"kl_nats": effect_nats(off)}),
        "refusal": off.refusal or None,
    }


def _figure(figure: Figure) -> Json:
    return {**(_measure(figure.measure) or {}), "difference": _measure(figure.difference)}


def _measure(measure: Measure | None) -> Json | None:
    return _rounded(asdict(measure)) if measure else None


def _prompt(comparison: Comparison, number: int) -> Json:
    question = comparison.questions[number]
    return {
        "prompt": question.prompt,
        "system": question.system or None,
        "expected": question.answer or None,
        "answers": [_answer(one, number) for one in comparison.models],
    }


def _answer(one: Measured, number: int) -> Json:
    told = one.said.answers[number]
    figures = {name: values[number] for name, values in one.per_prompt.items()}
    heat = one.said.heat[number] if number < len(one.said.heat) else ()
    return {
        "text": told.text,
        "finish_reason": told.finish_reason,
        "tokens": len(told.token_ids),
        "figures": _rounded(figures),
        "heat": [_token(token) for token in heat],
    }


def _token(token: HeatToken) -> Json:
    return {
        "text": token.text,
        "kl_nats": round(token.kl_nats, DECIMALS),
        "reference": _likeliest(token.reference),
        "model": _likeliest(token.model),
    }


def _likeliest(pairs: Likeliest) -> list[list[object]]:
    return [[text, round(logprob, DECIMALS)] for text, logprob in pairs]


def _general(comparison: Comparison, number: int) -> Json:
    return {
        "prompt": GENERAL_PROMPTS[number],
        "answers": [
            {
                "text": one.said.general[number].text,
                "kl_nats": _mean(one.said.drift[number]) if one.said.drift else None,
            }
            for one in comparison.models
        ],
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), DECIMALS) if values else None


def _rounded(values: Mapping[str, float | None]) -> Json:
    return {name: None if value is None else round(value, DECIMALS) for name, value in values.items()}


def encoded(document: Json) -> str:
    """The text of the JSON file."""
    return json.dumps({"schema": SCHEMA, **document}, indent=1, ensure_ascii=False) + "\n"
