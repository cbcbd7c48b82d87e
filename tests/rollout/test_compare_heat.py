"""Token heat-map, strength and layers with real models, against what PEFT and numpy find."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from tests.api.endpoint_builder import BASE, KEY, KEYS, RunningEndpoint
from transformers import AutoModelForCausalLM

from remora.adapters.adapter import Adapter
from remora.adapters.peft.base_shape import read_base
from remora.adapters.peft.inspect import inspect_adapter
from remora.adapters.peft.update_norms import layer_of, norms_by_layer
from remora.engine.torch.engine import TorchEngine
from remora.rollout.compare.contestants import Contestant
from remora.rollout.compare.gathering import Gathered, Limits, gather
from remora.rollout.compare.layers import Layer, with_shares
from remora.rollout.compare.switching import switch_off_layers
from remora.rollout.endpoint import Endpoint
from remora.rollout.evaluation.questions import Question
from remora.server.settings import ServerSettings

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
ADAPTER = EXAMPLE / "adapters" / "pirate"
QUESTIONS = [Question("My sister won the chess tournament.", "Arr!")]
LAYERS, HOLLOW_LAYER = 4, 3
TOLD = 20  # likeliest tokens that the endpoint tells

Distribution = np.ndarray[tuple[int], np.dtype[np.float64]]


class RealEndpoint(RunningEndpoint):
    """One over the torch engine, which has nothing to release."""

    def release(self) -> None: ...


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gathered]]:
    """The base, the adapter at no strength, as it is, and with nothing in one layer."""
    pirate = inspect_adapter("pirate", ADAPTER, read_base(EXAMPLE / "base"))
    hollow = hollowed(tmp_path_factory.mktemp("hollow"))
    settings = ServerSettings(api_keys=KEYS, chat_page=False)
    with (
        RealEndpoint(settings, real_engine, (pirate, hollow)) as running,
        Endpoint(running.url, KEY) as endpoint,
    ):
        models = {"base": (BASE, 1.0), "p*0": ("pirate", 0.0), "p": ("pirate", 1.0), "h*0.5": ("hollow", 0.5)}
        asked = [Contestant(label, endpoint, *model) for label, model in models.items()]
        limits = Limits(max_tokens=24)
        gathered = gather(asked, QUESTIONS, limits)
        switch_off_layers(gathered, layers_of, limits)
        yield gathered


def layers_of(one: Gathered) -> list[Layer]:
    return [Layer(number, 1.0) for number in (*range(LAYERS), None)] if one.digest else []


def hollowed(folder: Path) -> Adapter:
    """The adapter with an update of nothing in one layer."""
    shutil.copytree(ADAPTER, folder, dirs_exist_ok=True)
    weights = load_file(folder / "adapter_model.safetensors")
    for key in weights:
        if f".layers.{HOLLOW_LAYER}." in key and "lora_B" in key:
            weights[key] = torch.zeros_like(weights[key])
    save_file(weights, folder / "adapter_model.safetensors")
    return inspect_adapter("hollow", folder, read_base(EXAMPLE / "base"))


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
    base, none, full, _ = found
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


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_layers_share_is_what_numpy_finds_without_it(
    found: list[Gathered], peft_model: PeftModel, layer: int
) -> None:
    told = found[2].answers[0]

    def distributions(scale_of: Callable[[str], float]) -> list[Distribution]:
        ids, start = torch.tensor([[*told.prompt_ids, *told.token_ids]]), len(told.prompt_ids) - 1
        with scaled(peft_model, scale_of), torch.no_grad():
            return [*peft_model(ids).logits[0].double().log_softmax(-1).numpy()[start:-1]]

    base = distributions(lambda _: 0.0)
    left, whole = (
        [least_divergence(p, q, token) for p, q, token in zip(base, other, told.token_ids, strict=True)]
        for other in (
            distributions(lambda name: f".layers.{layer}." not in name),
            distributions(lambda _: 1.0),
        )
    )
    got = with_shares(layers_of(found[2]), found[2].switched_off)[layer]
    assert got.kl_nats_without == pytest.approx(np.mean(left), rel=0.01, abs=2e-3)
    assert got.kl_share == pytest.approx(1 - sum(left) / sum(whole), abs=0.01)
    assert abs(sum(left) - sum(whole)) > 0.02 * sum(whole)  # else the whole adapter would do as well


@contextmanager
def scaled(peft_model: PeftModel, scale_of: Callable[[str], float]) -> Iterator[None]:
    """PEFT's own scaling of each module, multiplied."""
    modules = [(name, each) for name, each in peft_model.named_modules() if isinstance(each, LoraLayer)]
    before = [module.scaling["default"] for _, module in modules]
    for name, module in modules:
        module.scaling["default"] *= scale_of(name)
    yield
    for (_, module), scaling in zip(modules, before, strict=True):
        module.scaling["default"] = scaling


def test_a_layer_whose_update_is_nothing_has_no_share(found: list[Gathered]) -> None:
    shares = [layer.kl_share for layer in with_shares(layers_of(found[3]), found[3].switched_off)]
    assert shares[HOLLOW_LAYER] == pytest.approx(0, abs=1e-4)
    assert all(abs(share or 0) > 0.01 for share in shares[:HOLLOW_LAYER])
    assert shares[-1] is None  # what is in no layer cannot be switched off


def test_no_strength_has_nothing_to_divide(found: list[Gathered]) -> None:
    base, none, *_ = found
    assert base.switched_off is None
    layers = with_shares(layers_of(none), none.switched_off)
    assert [layer.kl_share for layer in layers] == [None] * (LAYERS + 1)
    assert [layer.kl_nats_without for layer in layers[:-1]] == pytest.approx([0] * LAYERS, abs=1e-4)


def test_a_module_is_in_the_layer_that_its_name_tells() -> None:
    names = ["model.layers.3.mlp.experts.5.up_proj", "transformer.h.11.attn.c_attn", "lm_head", "layers.0.q"]
    assert [layer_of(name) for name in names] == [3, 11, None, 0]


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
