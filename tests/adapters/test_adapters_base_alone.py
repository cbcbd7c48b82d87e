"""A folder with a base model and no adapter: enough to serve, not to deploy."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.tiny_models import write_model

from remora.adapters.model_set import models_of_project
from remora.errors import ProjectIncomplete
from remora.project.settings import load_settings


def test_a_base_alone_can_be_served(tmp_path: Path) -> None:
    write_model(tmp_path / "base", "llama")
    settings = load_settings(tmp_path, {})
    models = models_of_project(settings, base_alone=True)
    assert (models.base_name, models.adapters) == ("base", ())
    with pytest.raises(ProjectIncomplete, match="no LoRA adapter was found"):
        models_of_project(settings)
