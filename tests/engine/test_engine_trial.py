"""What is said of a kind of model before its weights are read, and that loading says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.engine.families import SERVED, Family
from tests.engine.tiny_models import ARCHITECTURES, SIZES, write_model
from transformers import AutoConfig

from remora.engine.torch.model.checkpoint import load_model
from remora.engine.torch.model.trial import check_without_weights, try_layers
from remora.errors import Refused
from remora.project.architectures import OWN_ATTENTION, REFUSED, TRIED, why_not_on_torch

GPT = {"n_embd": 48, "n_layer": 2, "n_head": 4}


def config_of(kind: str, **overrides: Any) -> Any:
    return AutoConfig.for_model(kind, **(SIZES | ARCHITECTURES.get(kind, {}) | overrides))


def test_the_layers_themselves_say_what_the_table_says(tmp_path: Path) -> None:
    config = config_of("openai-gpt", **GPT)
    assert why_not_on_torch(config.to_dict()) == REFUSED["openai-gpt"]
    with pytest.raises(Refused) as caught:
        try_layers(tmp_path, config)
    says = f"the torch engine cannot run the openai-gpt model in {tmp_path}: it has {OWN_ATTENTION}"
    assert caught.value.message == says


@pytest.mark.parametrize("family", SERVED, ids=str)
def test_what_is_served_passes_the_trial(tmp_path: Path, family: Family) -> None:
    assert why_not_on_torch(family.full_config.to_dict()) == ""
    try_layers(tmp_path, family.full_config)


def test_what_is_never_tried_is_served() -> None:
    assert {family.kind for family in SERVED} >= TRIED


def test_a_kind_that_no_table_knows_is_refused_as_loading_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path / "base", "openai-gpt", **GPT)
    monkeypatch.delitem(REFUSED, "openai-gpt")
    with pytest.raises(Refused, match=OWN_ATTENTION) as tried:
        check_without_weights(folder)
    with pytest.raises(Refused) as loaded:
        load_model(folder, dtype="auto", device="cpu", max_running_requests=2)
    assert (tried.value.message, tried.value.hint) == (loaded.value.message, loaded.value.hint)
    (folder / "model.safetensors").write_bytes(b"nothing that could be read")
    with pytest.raises(Refused, match=OWN_ATTENTION):
        check_without_weights(folder)
