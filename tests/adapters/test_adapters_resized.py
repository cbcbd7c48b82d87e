"""Adapters of a training that added `[PAD]`: what is saved beside the pairs, and is not the base's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tests.engine.tiny_models import a_request, answer, peft_warnings_ignored
from tests.project.stock_layout import LAYOUTS, StockLayout, add_trained_models
from transformers import AutoModelForCausalLM

from remora.adapters.adapter import RowSource, TokenRows
from remora.adapters.peft.inspect import inspect_adapter, read_base
from remora.engine.torch.engine import TorchEngine
from remora.errors import AdapterRejected

PHI3, PHI2, LLAMA = LAYOUTS[0], LAYOUTS[1], LAYOUTS[3]
WEIGHTS = "adapter_model.safetensors"
EMBEDDINGS = "base_model.model.model.embed_tokens.weight"
HEAD = "base_model.model.lm_head.weight"
PROMPT = (3, 5, 8, 13)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[StockLayout], Path]:
    """Projects whose training added a token, one for each layout."""
    made: dict[str, Path] = {}

    def project(layout: StockLayout) -> Path:
        if layout.name not in made:
            made[layout.name] = tmp_path_factory.mktemp(layout.name)
            add_trained_models(made[layout.name], layout, resized=True)
        return made[layout.name]

    return project


def with_tensors(root: Path, layout: StockLayout, change: Callable[[dict[str, torch.Tensor]], Any]) -> Path:
    """A copy of the adapter with other tensors."""
    source = root / layout.adapter
    tensors = load_file(source / WEIGHTS)
    change(tensors)
    folder = root / f"changed-{len(list(root.glob('changed-*')))}"
    folder.mkdir()
    (folder / "adapter_config.json").write_bytes((source / "adapter_config.json").read_bytes())
    save_file(tensors, folder / WEIGHTS)
    return folder


@pytest.mark.parametrize("layout", [PHI3, PHI2, LLAMA], ids=lambda layout: layout.name)
async def test_it_answers_as_in_training(trained: Any, layout: StockLayout) -> None:
    root = trained(layout)
    tensors = load_file(root / layout.adapter / WEIGHTS)
    assert {EMBEDDINGS, HEAD} <= set(tensors)
    assert len(tensors[EMBEDDINGS]) == 261  # one more than the base has
    adapter = inspect_adapter("tone", root / layout.adapter, read_base(root / layout.base))
    engine = TorchEngine.load(root / layout.base, dtype="float32")
    try:
        applied = engine.load_adapter(adapter)
        assert applied.modules == len(adapter.modules)
        ours = await answer(engine, a_request(PROMPT, adapter=adapter, max_tokens=12))
    finally:
        engine.close()
    assert ours == training_answer(root, layout, 12)


def training_answer(root: Path, layout: StockLayout, count: int) -> list[int]:
    """What the resized model of training generates."""
    model = AutoModelForCausalLM.from_pretrained(root / layout.base, dtype=torch.float32)
    model.resize_token_embeddings(261, mean_resizing=False)
    with peft_warnings_ignored():
        model = PeftModel.from_pretrained(model, root / layout.adapter)
    ids = torch.tensor([list(PROMPT)])
    made = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=count,
        eos_token_id=None,
        pad_token_id=260,
    )
    tokens: list[int] = made[0, len(PROMPT) :].tolist()
    return tokens


def test_only_the_new_row_is_the_adapters_own(trained: Any) -> None:
    root = trained(LLAMA)
    rows = inspect_adapter("a", root / LLAMA.adapter, read_base(root / LLAMA.base)).token_rows
    assert rows == TokenRows(
        embedding=(RowSource(EMBEDDINGS, (260,), (260,)),),
        head=(RowSource(HEAD, (260,), (260,)),),
        head_bias=None,
        token_count=261,
    )


def test_what_is_saved_beside_the_pairs_is_part_of_the_identity(trained: Any) -> None:
    """A row of a new token has an effect as soon as a prompt or an answer has that token."""
    root = trained(LLAMA)
    base = read_base(root / LLAMA.base)
    digests = {inspect_adapter("a", root / LLAMA.adapter, base).digest}
    for change in (without_copies, trained_row, new_row):
        digests.add(inspect_adapter("a", with_tensors(root, LLAMA, change), base).digest)
    assert len(digests) == 4


def without_copies(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[EMBEDDINGS], tensors[HEAD]


def new_row(tensors: dict[str, torch.Tensor]) -> None:
    tensors[EMBEDDINGS][260, 0] += 1


def test_a_trained_row_is_applied(trained: Any) -> None:
    root = trained(LLAMA)
    adapter = inspect_adapter("a", with_tensors(root, LLAMA, trained_row), read_base(root / LLAMA.base))
    assert adapter.token_rows is not None
    assert adapter.token_rows.embedding == (RowSource(EMBEDDINGS, (17, 260), (17, 260)),)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("loaded", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_training_in_another_precision_left_the_base_as_it_was(
    trained: Any, loaded: torch.dtype, dtype: torch.dtype
) -> None:
    root = trained(LLAMA)

    def in_precision(tensors: dict[str, torch.Tensor]) -> None:
        for name in (EMBEDDINGS, HEAD):
            tensors[name] = tensors[name].to(loaded).to(dtype)

    rows = inspect_adapter(
        "a", with_tensors(root, LLAMA, in_precision), read_base(root / LLAMA.base)
    ).token_rows
    assert rows is not None
    assert rows.embedding == (RowSource(EMBEDDINGS, (260,), (260,)),)


def test_fewer_rows_than_the_base_has_are_fine(trained: Any) -> None:
    """A checkpoint may pad its vocabulary; training then cuts it to the tokenizer's."""
    root = trained(LLAMA)
    folder = with_tensors(root, LLAMA, lambda all_: all_.update({HEAD: all_[HEAD][:250].clone()}))
    inspect_adapter("a", folder, read_base(root / LLAMA.base))


def trained_row(tensors: dict[str, torch.Tensor]) -> None:
    tensors[EMBEDDINGS][17, 3] += 0.001


def other_width(tensors: dict[str, torch.Tensor]) -> None:
    tensors[EMBEDDINGS] = tensors[EMBEDDINGS][:, :-1].clone()


def whole_numbers(tensors: dict[str, torch.Tensor]) -> None:
    tensors[HEAD] = tensors[HEAD].to(torch.int32)


def a_bias(tensors: dict[str, torch.Tensor]) -> None:
    tensors["base_model.model.lm_head.bias"] = torch.zeros(261)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (other_width, rf"{EMBEDDINGS}.*F32\[261, 47\], and that of the base is F32\[260, 48\]"),
        (whole_numbers, rf"{HEAD}.*I32"),
        (a_bias, r"lm_head\.bias.*no such tensor"),
    ],
)
def test_anything_else_is_refused_by_name(trained: Any, change: Any, named: str) -> None:
    root = trained(LLAMA)
    with pytest.raises(AdapterRejected, match=named) as caught:
        inspect_adapter("a", with_tensors(root, LLAMA, change), read_base(root / LLAMA.base))
    assert "merge it into the base model" in caught.value.hint


def test_without_a_base_to_compare_with_that_is_said(trained: Any) -> None:
    root = trained(LLAMA)
    adapter = inspect_adapter("a", root / LLAMA.adapter, None)
    assert "was not compared with a base model" in adapter.remarks[0]
