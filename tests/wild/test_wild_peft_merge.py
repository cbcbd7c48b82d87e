"""`remora adapters merge`: what is no LoRA becomes a base model that is served and answers as PEFT does."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from tests.cli.command import User
from tests.engine.tiny_models import a_request, read
from tests.wild.peft_kinds import Kind, load_base, logprobs, make, make_base, quiet, train
from tests.wild.peft_table import REFUSED

from remora.adapters.peft.other_methods import MERGED_BY_PEFT, NEVER_MERGED
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.merge import merge

PROMPT = [5, 9, 42, 77, 104]
SETTINGS: dict[str, dict[str, Any]] = {
    "BOFT": {"boft_block_size": 4},
    "C3A": {"block_size": 8},
    "FOURIERFT": {"n_frequency": 50},
    "IA3": {"feedforward_modules": []},
    "MISS": {"r": 8},
    "LN_TUNING": {"target_modules": ["input_layernorm"]},
    "OFT": {"r": 0, "oft_block_size": 4},
    "PSOFT": {"r": 4},
    "ROAD": {"group_size": 8},
    "SHIRA": {"r": 4},
    "TRAINABLE_TOKENS": {"token_indices": [3, 7], "target_modules": ["embed_tokens"]},
    "VBLORA": {"num_vectors": 8, "vector_length": 8},
    "WAVEFT": {"n_frequency": 50},
}
NEEDS = {"ADAMSS": "sklearn"}


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path / "home")


def trained(kind: Kind, base: Path, folder: Path) -> Any:
    """The reference for a kind that is refused: what was trained, or what PEFT makes of the folder."""
    reference = make(kind, base, folder)
    if reference is not None:
        return reference
    with quiet():
        return PeftModel.from_pretrained(load_base(base), folder).eval()


@pytest.mark.parametrize(
    "title", ["IA³", "PiSSA, not converted", "OLoRA, not converted", "DoRA on the embedding"]
)
async def test_the_command_makes_a_served_base(tmp_path: Path, user: User, title: str) -> None:
    base = make_base(tmp_path, REFUSED[title].base)
    reference = trained(REFUSED[title], base, tmp_path / "adapter")
    ran = user.run(
        *("adapters", "merge", str(tmp_path / "adapter"), str(tmp_path)),
        *("--out", str(tmp_path / "merged"), "--base", str(base)),
    )
    assert ran.code == 0, ran.document
    assert ran.document["wrote"] == str(tmp_path / "merged")
    engine = TorchEngine.load(tmp_path / "merged", dtype="float32")
    try:
        events = await read(engine, a_request(PROMPT, max_tokens=8, top_logprobs=260))
    finally:
        engine.close()
    answer = [event.token_id for event in events]
    expected = logprobs(reference, PROMPT, answer)
    assert answer == expected.argmax(-1).tolist()
    for event, row in zip(events, expected, strict=True):
        assert all(abs(float(row[token]) - logprob) < 1e-3 for token, logprob in event.top_logprobs)


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (lambda adapter: (adapter / "adapter_model.safetensors").unlink(), 3, "adapters convert"),
        (lambda adapter: (adapter.parent / "merged" / "sub").mkdir(parents=True), 2, "is not empty"),
        (lambda adapter: told(adapter, base_model_name_or_path="org/other"), 5, "trained on 'org/other'"),
        (lambda adapter: told(adapter, peft_type="XLORA"), 5, "X-LoRA"),
        (lambda adapter: told(adapter, init_lora_weights="pissa_niter_4"), 5, "PEFT cannot repeat"),
        (lambda adapter: told(adapter, layer_replication=[[0, 1]]), 5, "layers share their weights"),
    ],
    ids=["no-weights", "not-empty", "other-base", "x-lora", "random-start", "repeated-layers"],
)
def test_what_cannot_be_merged_leaves_nothing(
    tmp_path: Path, user: User, spoil: Callable[[Path], None], code: int, said: str
) -> None:
    base = make_base(tmp_path, "llama")
    make(REFUSED["IA³"], base, tmp_path / "adapter")
    spoil(tmp_path / "adapter")
    before = sorted(path.name for path in tmp_path.iterdir())
    ran = user.run(
        *("adapters", "merge", str(tmp_path / "adapter"), str(tmp_path)),
        *("--out", str(tmp_path / "merged"), "--base", str(base)),
    )
    assert (ran.code, said in ran.message) == (code, True), ran.message
    assert [path for path in before if path != "home"] == sorted(
        path.name for path in tmp_path.iterdir() if path.name != "home"
    )


def told(adapter: Path, **settings: object) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | settings))


@pytest.mark.parametrize("method", MERGED_BY_PEFT)
def test_every_method_that_is_said_to_be_merged_is(tmp_path: Path, method: str) -> None:
    """Within the program's own check: the merged model's logits are those of base and adapter."""
    if method in NEEDS and find_spec(NEEDS[method]) is None:
        pytest.skip(f"PEFT needs {NEEDS[method]} for {method}")
    config = next(config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items() if kind.value == method)
    base = make_base(tmp_path, "qwen2")  # with biases, which BEFT is about
    settings = {"target_modules": ["q_proj", "v_proj"], **SETTINGS.get(method, {})}
    torch.manual_seed(1)
    with quiet():
        model = get_peft_model(load_base(base), config(task_type="CAUSAL_LM", **settings))
        train(model)
        model.save_pretrained(tmp_path / "adapter")
        merge(base, tmp_path / "adapter", tmp_path / "merged")
    assert (tmp_path / "merged" / "model.safetensors").is_file()


def test_a_method_that_peft_does_not_merge_ends_with_its_name(tmp_path: Path) -> None:
    assert "PROMPT_TUNING" in NEVER_MERGED
    base = make_base(tmp_path, "llama")
    make(REFUSED["prompt tuning"], base, tmp_path / "adapter")
    with quiet(), pytest.raises(TypeError, match="PEFT merges no PROMPT_TUNING"):
        merge(base, tmp_path / "adapter", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
