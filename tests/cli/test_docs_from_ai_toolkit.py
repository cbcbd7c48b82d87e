"""docs/how-to/from-ai-toolkit.md: each part of AI Toolkit's contract has its row; what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.project.stock_layout import (
    FINETUNING_KEYS,
    INFERENCE_KEYS,
    LAYOUTS,
    finetuning_parameters,
    inference_parameters,
    write_stock_project,
)
from typer.core import TyperGroup
from typer.main import get_command

from remora.cli.main import COMMANDS
from remora.project.toolkit.config import SCHEME_KEY

PAGE = (Path(__file__).parents[2] / "docs/how-to/from-ai-toolkit.md").read_text()
PALETTE = (
    "AI Toolkit: Provision Azure Container Apps for inference",
    "AI Toolkit: Deploy for inference",
    "Go to Inference Endpoint",
    "AI Toolkit: Add model for remote inference",
    "AI Toolkit: Provision Azure Container Apps job for fine-tuning",
    "AI Toolkit: Run fine-tuning",
    "AI Toolkit: Show the running fine-tuning job streaming logs",
    "AI Toolkit: Add Azure Container Apps Job secret for fine-tuning",
)
KEYS = (*INFERENCE_KEYS, SCHEME_KEY, *FINETUNING_KEYS, "COMMANDS")
PARAMETERS = (*inference_parameters(), *finetuning_parameters())
FILES = (
    "infra/inference.config.json",
    "infra/finetuning.config.json",
    "infra/provision/inference.parameters.json",
    "infra/inference.parameters.json",
    "infra/provision/finetuning.parameters.json",
    "infra/finetuning.parameters.json",
    "infra/provision/inference.bicep",
    "infra/provision/finetuning.bicep",
)
ROWS = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
MODULES = {entry.name: entry.module for group in COMMANDS.values() for entry in group}


@pytest.mark.parametrize("item", sorted({*PALETTE, *KEYS, *PARAMETERS, *FILES}))
def test_every_command_key_parameter_and_file_has_a_row(item: str) -> None:
    assert item in ROWS


def test_every_file_that_is_scaffolded_is_told_of(tmp_path: Path) -> None:
    write_stock_project(tmp_path, LAYOUTS[0])
    files = (path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    left_alone = ("inference/requirements.txt", "setup/project-settings.json")
    assert [name for name in files if name not in PAGE and name not in left_alone] == []


def test_the_rows_of_parameters_are_those_of_the_contract() -> None:
    section = PAGE.partition("## Parameters")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)) == set(PARAMETERS)


def test_every_command_and_option_that_is_named_exists() -> None:
    import importlib

    for line in re.findall(r"remora [a-z]+[^`\n|,;)]*", PAGE):
        name, *words = line.split()[1:]
        assert name in MODULES, line
        command = get_command(importlib.import_module(MODULES[name]).app)
        if isinstance(command, TyperGroup) and words:
            command = command.commands[words[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        named = [word for word in words if word.startswith("-")]
        assert set(named) <= options, line
