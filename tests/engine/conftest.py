"""A tiny Llama with two adapters, an engine that serves it, and one whose steps the test counts out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.engine.tiny_models import DEVICE, NATIVE, GatedModel, TinyModel, write_model

from remora.engine.text.chat_template import HfTokenizer
from remora.engine.torch.engine import TorchEngine

MANY_STEPS = 100_000


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    model = TinyModel(write_model(tmp_path_factory.mktemp("llama") / "base", "llama"))
    model.add_adapter("one", r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    model.add_adapter("two", r=2, lora_alpha=6, target_modules="all-linear")
    return model


@pytest.fixture
def engine(llama: TinyModel) -> Iterator[TorchEngine]:
    engine = TorchEngine.load(llama.path, device=DEVICE, native=NATIVE)
    yield engine
    engine.close()


@pytest.fixture
def gated_model(llama: TinyModel) -> GatedModel:
    return GatedModel(llama.path)


@pytest.fixture
def gated(llama: TinyModel, gated_model: GatedModel) -> Iterator[TorchEngine]:
    """At most two requests run and two wait; no step is done before `gated_model.let`, and each makes one
    token of each answer.
    """
    engine = TorchEngine(
        gated_model,
        HfTokenizer(llama.path),
        max_running_requests=2,
        max_queued_requests=2,
        prefill_tokens_per_step=8,
        speculation="off",
    )
    yield engine
    gated_model.let(MANY_STEPS)
    engine.close()
