"""Whether every adapter changes the base's answers: as measured by the endpoint, else by its answers.

A replica measures with neutral prompts and reports the result in `/v1/models`. If that shows no change, or
was not measured, the golden prompts decide: base and adapter get the same ones from here. Serves and changes
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from remora.adapters.adapter import Digest, short
from remora.adapters.proof import ANSWER_TOKENS, NEUTRAL_PROMPTS, Proof, ScoredToken, effect_of
from remora.errors import VerificationFailed
from remora.rollout.endpoint import Answer, Endpoint, Json
from remora.rollout.golden.check import ask
from remora.rollout.golden.prompts import Golden
from remora.rollout.steps import Steps

_POLL_SECONDS = 0.2
_MEASURED_SECONDS = 120.0  # a replica measures the adapters one by one, beside its other work


def prove_adapters(
    endpoint: Endpoint,
    adapters: Mapping[str, Digest],
    golden: Golden,
    steps: Steps,
    *,
    timeout_seconds: float,
    allow_unproven: bool,
) -> dict[str, Proof]:
    """The proof of every adapter by name.

    Raises VerificationFailed if no prompt, neutral or golden, shows a difference to the base beyond rounding,
    unless that is allowed.
    """
    if not adapters:
        return {}
    with steps("proving the adapters") as say:
        base, told = _measured(endpoint, adapters, min(timeout_seconds, _MEASURED_SECONDS))
        proofs = {
            name: told[name]
            if told[name].state in ("proven", "off")
            else _asked(endpoint, base, name, golden, told[name])
            for name in adapters
        }
        say("; ".join(f"{name}: {proof}" for name, proof in proofs.items()))
    unproven = [name for name, proof in proofs.items() if proof.state == "unproven"]
    if unproven and not allow_unproven:
        first = unproven[0]
        others = f" and {len(unproven) - 1} more" if len(unproven) > 1 else ""
        raise VerificationFailed(
            f"{first}@{short(adapters[first])}{others} answers like the base model: {proofs[first]}",
            hint="train it further, or serve it anyway with --allow-unproven",
        )
    return proofs


def proofs_of(cards: Sequence[Json]) -> dict[str, Proof]:
    """The proofs in the entries of `/v1/models`, by adapter; entries without one are left out."""
    found = {str(card["id"]): (card.get("adapter") or {}).get("proof") for card in cards[1:]}
    return {name: _proof(told) for name, told in found.items() if told}


def _measured(
    endpoint: Endpoint, adapters: Mapping[str, Digest], timeout_seconds: float
) -> tuple[str, dict[str, Proof]]:
    """The base model's name, and the endpoint's measurements once they are complete."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        cards = endpoint.models()
        found = proofs_of(cards)
        proofs = {
            name: found.get(name, Proof("unknown", problem="the endpoint does not report it"))
            for name in adapters
        }
        late = time.monotonic() > deadline
        if late or all(one.state != "pending" for one in proofs.values()):
            return str(cards[0]["id"]), {
                name: replace(one, problem=f"not measured in {timeout_seconds:.0f} s")
                if one.state == "pending"
                else one
                for name, one in proofs.items()
            }
        time.sleep(_POLL_SECONDS)


def _asked(endpoint: Endpoint, base: str, name: str, golden: Golden, told: Proof) -> Proof:
    """Measure base and adapter with the same prompts; without probabilities in the answers, return `told`."""
    users = dict.fromkeys(prompt.user for prompt in golden.prompts if prompt.model == name)
    prompts = [*users, *(NEUTRAL_PROMPTS if told.state != "unproven" else ())]
    ids: dict[str, int] = {}
    ours, theirs = (
        [_told(ask(endpoint, model, user, ANSWER_TOKENS), ids) for user in prompts] for model in (base, name)
    )
    if not any(ours) or not any(theirs):
        return told
    return Proof.of(effect_of(ours, theirs))


def _told(answer: Answer, ids: dict[str, int]) -> list[ScoredToken]:
    """An answer's tokens. A token is identified by its text here, and numbered when it is first seen."""
    return [
        ScoredToken(
            ids.setdefault(position.token, len(ids)),
            {ids.setdefault(text, len(ids)): logprob for text, logprob in position.top},
        )
        for position in answer.positions
    ]


def _proof(told: Json) -> Proof:
    return Proof(
        state=str(told.get("state") or "unknown"),
        kl_nats=float(told.get("kl_nats_at_least") or 0.0),
        first_difference=int(told.get("first_difference") or 0),
        prompts=int(told.get("prompts") or 0),
        problem=str(told.get("problem") or ""),
    )
