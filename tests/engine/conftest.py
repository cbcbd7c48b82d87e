"""A tiny Llama with two adapters, and an engine that serves it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.engine.tiny_models import TinyModel, write_model

from remora.engine.torch.engine import TorchEngine


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    model = TinyModel(write_model(tmp_path_factory.mktemp("llama") / "base", "llama"))
    model.add_adapter("one", r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    model.add_adapter("two", r=2, lora_alpha=6, target_modules="all-linear")
    return model


@pytest.fixture
def engine(llama: TinyModel) -> Iterator[TorchEngine]:
    engine = TorchEngine.load(llama.path, device="cpu", max_running_requests=4, max_queued_requests=4)
    yield engine
    engine.close()
