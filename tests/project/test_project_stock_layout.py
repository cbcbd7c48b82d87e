"""The fixtures are what they say: AI Toolkit's files and folders, which every other part reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.project.stock_layout import (
    BICEP,
    INFERENCE_KEYS,
    LAYOUTS,
    STOCK_COMMANDS,
    StockLayout,
    add_trained_models,
    write_stock_project,
)

from remora.adapters.peft.inspect import inspect_adapter, read_base
from remora.azure.bicep import compile_bicep
from remora.project.toolkit.commands import Program, program_of, remora_commands
from remora.project.toolkit.config import InferenceConfig, load_finetuning_config, load_inference_config
from remora.project.toolkit.parameters import load_parameters
from remora.project.workspace import find_workspace

EIGHT = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)


@EIGHT
def test_every_layout_has_the_files_of_the_contract(tmp_path: Path, layout: StockLayout) -> None:
    write_stock_project(tmp_path, layout, finetuning={"RESOURCE_GROUP_NAME": "trained"})
    assert load_inference_config(tmp_path) == InferenceConfig()
    assert load_finetuning_config(tmp_path).resource_group == "trained"
    parameters = load_parameters(tmp_path)
    assert len(parameters.names) == 9
    assert set(parameters.values) == {"defaultCommands", "maximumInstanceCount"}
    assert set(load_parameters(tmp_path, "finetuning").values) == {"timeout", "maximumInstanceCount"}


@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[1], LAYOUTS[6]], ids=lambda layout: layout.name)
def test_a_trained_project_has_base_and_adapter_where_the_job_leaves_them(
    tmp_path: Path, layout: StockLayout
) -> None:
    add_trained_models(tmp_path, layout)
    found = find_workspace(tmp_path)
    (base,), (adapter,) = found.bases, found.adapters
    assert base.path == tmp_path / layout.base
    assert adapter.path == tmp_path / layout.adapter
    assert adapter.name == "qlora"
    assert inspect_adapter("tone", adapter.path, read_base(base.path)).modules


def test_the_stock_template_compiles_to_the_preview_version_and_the_six_outputs(tmp_path: Path) -> None:
    text = json.dumps(compile_bicep(BICEP.read_text(), BICEP))
    template: dict[str, Any] = json.loads(text)
    assert "2023-11-02-preview" in text
    assert list(template["outputs"]) == list(INFERENCE_KEYS)
    write_stock_project(tmp_path, LAYOUTS[0])
    assert set(load_parameters(tmp_path).names) < set(template["parameters"])


@pytest.mark.parametrize(
    ("commands", "program"),
    [
        (STOCK_COMMANDS, Program.STOCK),
        (("cd /mount/inference", "python gradio_chat.py --baseonly"), Program.STOCK),
        (remora_commands(), Program.REMORA),
        (("cd /mount && exec python3 start.py",), Program.OTHER),
        (("sleep 1000",), Program.OTHER),
        ((), Program.OTHER),
    ],
)
def test_whose_program_the_commands_start(commands: tuple[str, ...], program: Program) -> None:
    assert program_of(commands) is program
