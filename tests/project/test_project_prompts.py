"""Prompt templates: the one that training used is found in AI Toolkit's scripts, without running them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.project.stock_layout import (
    CHAT_TEMPLATE,
    LAYOUTS,
    TONE_TEMPLATE,
    StockLayout,
    add_trained_models,
    write_stock_project,
)

from remora.adapters.model_set import models_of_project
from remora.cli.commands.init import init_project
from remora.errors import InvalidFile, InvalidInput
from remora.project.prompt_template import parse_prompt_template
from remora.project.settings import load_settings
from remora.project.toolkit.stock_scripts import StockScripts, read_stock_scripts

SCRIPT = "inference/gradio_chat.py"


@pytest.mark.parametrize("text", [CHAT_TEMPLATE, TONE_TEMPLATE, "{}", "{0}!", 'a {{"json"}}: {}'])
def test_a_template_fills_in_as_python_does(text: str) -> None:
    words = "so {} much %s {fun}\n"
    assert parse_prompt_template(text).fill(words) == text.format(words)


@pytest.mark.parametrize("text", ["", "no words", "{} and {}", "{phrase}", "{", "}", "{!r}", "{:>9}", "{1}"])
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_prompt_template(text)


def test_of_a_conversation_the_last_user_message_is_used() -> None:
    template = parse_prompt_template(TONE_TEMPLATE)
    turns = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "joy"},
        {"role": "user", "content": "second"},
    ]
    assert template.fill_from(turns) == TONE_TEMPLATE.format("second")
    with pytest.raises(InvalidInput, match="no user message"):
        template.fill_from(turns[:1])


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_says_how_it_was_trained(tmp_path: Path, layout: StockLayout) -> None:
    scripts = read_stock_scripts(write_stock_project(tmp_path, layout))
    assert scripts.warnings == ()
    assert scripts.prompt_template is not None
    assert scripts.prompt_template.value == layout.prompt_template
    assert scripts.prompt_template.origin.startswith(f"{SCRIPT}:")
    assert scripts.base is not None
    assert scripts.base.value == f"model-cache/{layout.script_model}"
    assert scripts.adapter is not None
    assert scripts.adapter.value == layout.adapter


def test_scripts_are_parsed_and_never_run(tmp_path: Path) -> None:
    write_stock_project(tmp_path, LAYOUTS[0], program="raise SystemExit\ntemplate = '<{}>'\nopen('x', 'w')")
    found = read_stock_scripts(tmp_path).prompt_template
    assert found is not None
    assert (found.value, found.origin) == ("<{}>", f"{SCRIPT}:2")
    assert not Path("x").exists()


def test_without_a_script_the_training_texts_say_it(tmp_path: Path) -> None:
    write_stock_project(tmp_path, LAYOUTS[0])
    (tmp_path / SCRIPT).unlink()
    found = read_stock_scripts(tmp_path).prompt_template
    assert found is not None
    assert found.value == CHAT_TEMPLATE + "\n"  # in training a line ends before the answer
    assert found.origin == "finetuning/olive-config.json (text_template)"


def test_a_folder_without_scripts_says_nothing(tmp_path: Path) -> None:
    assert read_stock_scripts(tmp_path) == StockScripts()


@pytest.mark.parametrize(
    ("program", "warning"),
    [
        ('template = "<prompt_template>"', f"{SCRIPT}:1 still has the placeholder <prompt_template>"),
        ("def broken(:", f"{SCRIPT} cannot be read"),
        ("\0", f"{SCRIPT} cannot be read"),
        ('template = "Q: {}"', f"{SCRIPT}:1 asks with 'Q: {{}}', but finetuning/olive-config.json"),
        (f"template = {CHAT_TEMPLATE!r}\nmy_template = 'x {{}}'", f"{SCRIPT}:2 has another prompt template"),
    ],
)
def test_what_may_be_wrong_is_told(tmp_path: Path, program: str, warning: str) -> None:
    scripts = read_stock_scripts(write_stock_project(tmp_path, LAYOUTS[0], program=program))
    assert any(text.startswith(warning) for text in scripts.warnings), scripts.warnings


def test_a_broken_olive_config_is_told(tmp_path: Path) -> None:
    write_stock_project(tmp_path, LAYOUTS[0])
    (tmp_path / "finetuning/olive-config.json").write_text('{\n  "a": <lora_r>\n}')
    assert "olive-config.json:2:8" in read_stock_scripts(tmp_path).warnings[0]


def test_a_path_out_of_the_project_is_none(tmp_path: Path) -> None:
    write_stock_project(tmp_path, LAYOUTS[0], program='model_name = "../../other/model"')
    assert read_stock_scripts(tmp_path).base is None


def test_settings_hold_a_template_for_an_adapter(tmp_path: Path) -> None:
    text = f'[adapters]\ntone = "models/a"\n[prompt_templates]\ntone = {json.dumps(TONE_TEMPLATE)}\n'
    (tmp_path / "remora.toml").write_text(text)
    assert load_settings(tmp_path, {}).prompt_templates == {"tone": TONE_TEMPLATE}


@pytest.mark.parametrize(
    ("line", "named"),
    [('x = "{}"', "there is no adapter 'x'"), ("tone = 1", "is 1"), ('tone = "{}{}"', "2 {} fields")],
)
def test_wrong_templates_in_settings_are_refused(tmp_path: Path, line: str, named: str) -> None:
    (tmp_path / "remora.toml").write_text(f'[adapters]\ntone = "a"\n[prompt_templates]\n{line}\n')
    with pytest.raises(InvalidFile, match=named) as caught:
        load_settings(tmp_path, {})
    assert "remora.toml:4" in caught.value.message


def test_init_writes_the_template_that_it_finds(tmp_path: Path) -> None:
    write_stock_project(tmp_path, LAYOUTS[0])
    add_trained_models(tmp_path, LAYOUTS[0])
    init_project(tmp_path, force=False)
    assert load_settings(tmp_path, {}).prompt_templates == {"qlora": CHAT_TEMPLATE}
    (tmp_path / "remora.toml").unlink()
    assert models_of_project(load_settings(tmp_path, {})).prompt_templates == {"qlora": CHAT_TEMPLATE}
