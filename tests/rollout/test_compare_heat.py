"""Token heat-map, strength and layers with real models, against what PEFT and numpy find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from tests.api.endpoint_builder import BASE, KEY, KEYS, RunningEndpoint
from transformers import AutoModelForCausalLM

from remora.adapters.peft.base_shape import read_base
from remora.adapters.peft.inspect import inspect_adapter
from remora.adapters.peft.update_norms import norms_by_layer
from remora.engine.torch.engine import TorchEngine
from remora.rollout.compare.contestants import Contestant
from remora.rollout.compare.gathering import Gathered, Limits, gather
from remora.rollout.endpoint import Endpoint
from remora.rollout.evaluation.questions import Question
from remora.server.settings import ServerSettings

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
ADAPTER = EXAMPLE / "adapters" / "pirate"
QUESTIONS = [Question("My sister won the chess tournament.", "Arr!")]
TOLD = 20  # likeliest tokens that the endpoint tells

Distribution = np.ndarray[tuple[int], np.dtype[np.float64]]


class RealEndpoint(RunningEndpoint):
    """One over the torch engine, which has nothing to release."""

    def release(self) -> None: ...


@pytest.fixture(scope="module")
def found() -> Iterator[list[Gathered]]:
    """The base, the adapter at no strength, and as it is."""
    pirate = inspect_adapter("pirate", ADAPTER, read_base(EXAMPLE / "base"))
    settings = ServerSettings(api_keys=KEYS, chat_page=False)
    with (
        RealEndpoint(settings, real_engine, (pirate,)) as running,
        Endpoint(running.url, KEY) as endpoint,
    ):
        models = {"base": (BASE, 1.0), "p*0": ("pirate", 0.0), "p": ("pirate", 1.0)}
        asked = [Contestant(label, endpoint, *model) for label, model in models.items()]
        yield gather(asked, QUESTIONS, Limits(max_tokens=24))


def real_engine() -> Any:
    return TorchEngine.load(EXAMPLE / "base", dtype="float32", native="never")


@pytest.fixture(scope="module")
def peft_model() -> PeftModel:
    base = AutoModelForCausalLM.from_pretrained(EXAMPLE / "base", dtype=torch.float32)
    return PeftModel.from_pretrained(base, ADAPTER).eval()


def test_heat_is_the_divergence_that_numpy_finds(found: list[Gathered], peft_model: PeftModel) -> None:
    told = found[2].answers[0]
    ids, start = torch.tensor([[*told.prompt_ids, *told.token_ids]]), len(told.prompt_ids) - 1
    with torch.no_grad():
        adapted = peft_model(ids).logits[0].double().log_softmax(-1).numpy()[start:-1]
        with peft_model.disable_adapter():
            base = peft_model(ids).logits[0].double().log_softmax(-1).numpy()[start:-1]
    heat = found[2].heat[0]
    assert len(heat) == len(told.token_ids)
    assert max(token.kl_nats for token in heat) > 1
    for token, token_id, p, q in zip(heat, told.token_ids, base, adapted, strict=True):
        assert token.kl_nats == pytest.approx(least_divergence(p, q, token_id), rel=0.01, abs=2e-3)
        assert token.kl_nats <= float((np.exp(p) * (p - q)).sum()) + 2e-3
        assert token.model[0][1] == pytest.approx(float(q.max()), abs=1e-3)


def least_divergence(base: Distribution, adapted: Distribution, given: int) -> float:
    """The smallest KL that agrees with what the endpoint tells of both, by trying splits of the rest."""
    ours = {*np.argsort(-base)[:TOLD].tolist(), given}
    theirs = {*np.argsort(-adapted)[:TOLD].tolist(), given}
    p, q = np.exp(base), np.exp(adapted)
    shared, dropped = sorted(ours & theirs), sorted(ours - theirs)
    total = float((p[shared] * (base[shared] - adapted[shared])).sum())
    p_dropped, p_rest = float(p[dropped].sum()), max(1e-6, 1 - float(p[sorted(ours)].sum()))
    q_rest = max(1e-6, 1 - float(q[shared].sum()))
    if not dropped:
        return float(max(0.0, total + p_rest * np.log(p_rest / q_rest)))
    most = min(len(dropped) * min(q[sorted(theirs)]), q_rest * (1 - 1e-9))
    tried = most * np.geomspace(1e-12, 1, 20_001)
    left = np.maximum(1e-6, q_rest - tried)
    sums = p_dropped * np.log(p_dropped / tried) + p_rest * np.log(p_rest / left)
    return float(max(0.0, total + sums.min()))


def test_no_strength_is_the_base_and_full_strength_the_adapter(
    found: list[Gathered], peft_model: PeftModel
) -> None:
    base, none, full = found
    assert [told.token_ids for told in none.answers] == [told.token_ids for told in base.answers]
    assert [told.token_ids for told in none.general] == [told.token_ids for told in base.general]
    assert max(token.kl_nats for token in none.heat[0]) < 1e-4
    assert max(max(each) for each in none.drift) < 1e-4
    told = full.answers[0]
    with torch.no_grad():
        answer = peft_model.generate(
            input_ids=torch.tensor([told.prompt_ids]), max_new_tokens=24, do_sample=False
        )[0]
    assert answer[len(told.prompt_ids) :].tolist() == list(told.token_ids)
    assert told.text.startswith("Arr!")


def test_layers_are_those_that_torch_finds() -> None:
    adapter = inspect_adapter("pirate", ADAPTER, None)
    base = AutoModelForCausalLM.from_pretrained(EXAMPLE / "base", dtype=torch.float64)
    before = {name: value.clone() for name, value in base.state_dict().items()}
    merged = PeftModel.from_pretrained(base, ADAPTER).merge_and_unload().state_dict()
    squares: dict[int, float] = {}
    for name, value in merged.items():
        if ".layers." in name:
            layer = int(name.split(".layers.")[1].split(".")[0])
            squares[layer] = squares.get(layer, 0.0) + float((value - before[name]).square().sum())
    found = norms_by_layer(adapter)
    assert found is not None
    assert found == pytest.approx({layer: square**0.5 for layer, square in squares.items()}, rel=1e-4)
