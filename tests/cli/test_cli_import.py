"""`remora import`: what it understands of every stock layout; the switch changes nothing unasked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import User
from tests.project.stock_layout import (
    CHAT_TEMPLATE,
    LAYOUTS,
    STOCK_COMMANDS,
    StockLayout,
    add_trained_models,
    write_stock_project,
)

from remora.cli.models.imported import ImportedProject, import_project
from remora.cli.output.console import Output
from remora.errors import InvalidFile, ProjectIncomplete
from remora.project.settings import load_settings
from remora.project.toolkit.commands import Program, remora_commands
from remora.project.toolkit.parameters import load_parameters
from remora.project.toolkit.switch import KEPT_BICEP, apply_switch

PHI3 = LAYOUTS[0]
TRAINED = {
    "SUBSCRIPTION_ID": "11111111-2222-3333-4444-555555555555",
    "RESOURCE_GROUP_NAME": "trained",
    "STORAGE_ACCOUNT_NAME": "madeaccount",
    "FILE_SHARE_NAME": "madeshare",
}
CHANGED = [
    "infra/provision/inference.parameters.json",
    KEPT_BICEP.as_posix(),
    "infra/provision/inference.bicep",
    "remora.toml",
]


def understood(root: Path) -> ImportedProject:
    return import_project(root, Output())


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Phi-3 project with its models, not to be changed."""
    root = tmp_path_factory.mktemp("trained") / "phi3"
    write_stock_project(root, PHI3, finetuning=TRAINED)
    add_trained_models(root, PHI3)
    return root


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "phi3")


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    somebody = User(tmp_path_factory.mktemp("home"))
    yield somebody
    assert not (somebody.home / "cloud").exists()  # import asks no cloud


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_is_understood_and_switched(tmp_path: Path, layout: StockLayout) -> None:
    write_stock_project(tmp_path, layout, finetuning=TRAINED)
    add_trained_models(tmp_path, layout)
    project = understood(tmp_path)
    assert project.program is Program.STOCK
    assert project.models is not None
    assert project.models.base.path == tmp_path / layout.base
    assert [adapter.path for adapter in project.models.adapters] == [tmp_path / layout.adapter]
    assert project.prompt_of("qlora") == layout.prompt_template
    named = {item.name: item.value for item in project.resolved}
    assert (named["resource_group"], named["storageAccountName"]) == ("trained", "madeaccount")
    strange = layout.script_model.lower() != layout.downloaded.lower()
    assert [text for text in project.warnings if "names the base model" in text] == (
        [project.warnings[-1]] if strange else []
    )
    changes = project.switch()
    assert [change.path.as_posix() for change in changes] == CHANGED
    apply_switch(tmp_path, changes)
    after = understood(tmp_path)
    assert after.program is Program.REMORA
    assert after.switch() == ()
    settings = load_settings(tmp_path, {})
    assert settings.adapters == {"qlora": tmp_path / layout.adapter}
    assert settings.prompt_templates == {"qlora": layout.prompt_template}
    assert load_parameters(tmp_path).values == {
        "defaultCommands": list(remora_commands()),
        "maximumInstanceCount": 2,
        "workloadProfile": "NC24-A100",
    }


def test_the_document_says_what_was_understood_and_nothing_is_changed(project: Path, user: User) -> None:
    before = tree(project)
    ran = user.run("import", str(project))
    assert ran.code == 0, ran
    document = ran.document
    assert document["schema"] == "remora.import/v1"
    assert document["base"]["path"] == PHI3.base
    (adapter,) = document["adapters"]
    assert (adapter["name"], adapter["prompt_template"]) == ("qlora", CHAT_TEMPLATE)
    assert document["prompt_template"]["origin"].startswith("inference/gradio_chat.py:")
    assert (document["program"], document["commands"]) == ("stock", list(STOCK_COMMANDS))
    assert document["parameters_file"] == "infra/provision/inference.parameters.json"
    origins = {row["name"]: row["origin"] for row in document["resolved"]}
    assert origins["storageAccountName"] == "infra/finetuning.config.json (STORAGE_ACCOUNT_NAME)"
    assert origins["acaAppName"] == "the template's default"
    assert origins["location"] == "the resource group"
    assert origins["cloud"] == "default"
    switch = document["switch"]
    assert (switch["changes"], switch["written"]) == (CHANGED, False)
    assert '-        "python3 ./gradio_chat.py"' in switch["diff"]
    assert '+        "python3 start.py"' in switch["diff"]
    assert switch["improvements"]
    assert tree(project) == before


def test_with_write_it_is_switched_once(project: Path, user: User) -> None:
    bicep = (project / "infra/provision/inference.bicep").read_text()
    first = user.run("import", str(project), "--write")
    assert first.document["switch"]["written"] is True
    assert (project / KEPT_BICEP).read_text() == bicep
    after = tree(project)
    again = user.run("import", str(project), "--write")
    assert again.document["switch"] == {
        "changes": [],
        "diff": "",
        "improvements": [],
        "differences": [],
        "written": False,
    }
    assert again.document["program"] == "remora"
    assert tree(project) == after


@pytest.mark.parametrize(("answer", "accepted"), [("n", False), ("", False), ("y", True)])
def test_at_a_terminal_the_diff_is_shown_and_asked_about(
    project: Path, user: User, answer: str, accepted: bool
) -> None:
    before = tree(project)
    terminal = user.at_terminal("import", str(project))
    terminal.answer(answer)
    ran = terminal.finish()
    assert ran.code == 0
    assert "Switch the project to Remora's program?" in ran.stderr
    assert "+++ b/remora.toml" in ran.stderr
    assert "What improves:" in ran.stderr
    assert ran.document["switch"]["written"] is accepted
    assert (tree(project) != before) is accepted


@pytest.mark.parametrize("written", [1, 2, 3])
def test_a_switch_that_was_interrupted_is_ended_by_the_next(project: Path, written: int) -> None:
    changes = understood(project).switch()
    apply_switch(project, changes[:written])
    apply_switch(project, understood(project).switch())
    assert understood(project).switch() == ()
    assert {path: (project / path).read_text() for path in CHANGED} == {
        change.path.as_posix(): change.after for change in changes
    }


def test_people_read_it_too(project: Path, user: User) -> None:
    human = User(user.home, {"REMORA_OUTPUT": "human"}).start("import", str(project))
    text, _ = human.communicate(timeout=400)
    assert f"base     {PHI3.name}  {PHI3.base}" in text
    assert "runs     AI Toolkit's own program: cd /mount; pip install" in text
    assert "storageAccountName" in text
    assert f"Accept it with: remora import {project} --write" in text


def test_comments_and_order_of_the_parameters_survive_the_switch(project: Path) -> None:
    path = project / "infra/provision/inference.parameters.json"
    text = path.read_text().replace('"maximumInstanceCount"', '// two at most\n    "maximumInstanceCount"')
    path.write_text(text)
    changes = understood(project).switch()
    (change,) = (change for change in changes if change.path.name == path.name)
    removed = [line for line in change.diff().splitlines() if line.startswith("-") and "value" not in line]
    assert [line.strip('- ,"') for line in removed[1:]] == list(STOCK_COMMANDS)
    assert "// two at most" in change.after


def test_a_template_with_a_key_stays_and_settings_only_gain_the_prompt(project: Path) -> None:
    bicep = project / "infra/provision/inference.bicep"
    bicep.write_text("@secure()\nparam apiKey string = ''\n" + bicep.read_text())
    mine = f'[adapters]\ntone = "{PHI3.adapter}" # mine\nother = "models/other"\n'
    (project / "models/other").mkdir()
    for path in (project / PHI3.adapter).iterdir():
        shutil.copy(path, project / "models/other")
    (project / "remora.toml").write_text(mine)
    changes = understood(project).switch()
    assert [change.path.name for change in changes] == ["inference.parameters.json", "remora.toml"]
    assert changes[1].after.startswith(mine)
    apply_switch(project, changes)
    assert load_settings(project, {}).prompt_templates == {"tone": CHAT_TEMPLATE}
    assert understood(project).switch() == ()


def test_parameters_at_the_docs_other_place(project: Path) -> None:
    old = project / "infra/provision/inference.parameters.json"
    old.rename(project / "infra/inference.parameters.json")
    found = understood(project)
    assert found.parameters.path == project / "infra/inference.parameters.json"
    assert Path("infra/inference.parameters.json") in [change.path for change in found.switch()]
    shutil.copy(project / "infra/inference.parameters.json", old)
    assert any("infra/inference.parameters.json is not read" in text for text in understood(project).warnings)


def test_without_models_it_says_where_they_may_be(tmp_path: Path, user: User) -> None:
    write_stock_project(tmp_path, PHI3, finetuning=TRAINED)
    ran = user.run("import", str(tmp_path))
    assert ran.code == 0
    assert (ran.document["base"], ran.document["adapters"]) == (None, [])
    assert "no base model was found below" in ran.document["missing"]
    assert ran.document["prompt_template"]["text"] == CHAT_TEMPLATE
    human = User(user.home, {"REMORA_OUTPUT": "human"}).start("import", str(tmp_path))
    text, _ = human.communicate(timeout=400)
    assert f"They may be on share 'madeshare'. Copy them here with: remora import {tmp_path} --fetch" in text
    refused = user.run("import", str(tmp_path), "--write")
    assert (refused.code, refused.document["error"]["code"]) == (3, "project_incomplete")


def test_a_folder_that_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectIncomplete, match=r"inference\.parameters\.json does not exist") as caught:
        understood(tmp_path)
    assert "remora init" in caught.value.hint


def half_filled_finetuning(root: Path) -> None:
    write_stock_project(root, PHI3, finetuning={**TRAINED, "RESOURCE_GROUP_NAME": None})


def half_filled_inference(root: Path) -> None:
    write_stock_project(root, PHI3)
    document = {"SUBSCRIPTION_ID": "x", "RESOURCE_GROUP_NAME": "g", "STORAGE_ACCOUNT_NAME": "abc"}
    (root / "infra/inference.config.json").write_text(json.dumps(document))


def long_name(root: Path) -> None:
    write_stock_project(root, PHI3, parameters={"storageAccountName": "a" * 30})


def wrong_type(root: Path) -> None:
    write_stock_project(root, PHI3, parameters={"maximumInstanceCount": "two"})


@pytest.mark.parametrize(
    ("make", "file", "key"),
    [
        (half_filled_finetuning, "infra/finetuning.config.json", "RESOURCE_GROUP_NAME"),
        (half_filled_inference, "infra/inference.config.json", "FILE_SHARE_NAME, ACA_APP_NAME"),
        (long_name, "infra/provision/inference.parameters.json", "storageAccountName"),
        (wrong_type, "infra/provision/inference.parameters.json", "maximumInstanceCount"),
    ],
)
def test_what_is_wrong_names_file_key_and_next_command(
    tmp_path: Path, make: Any, file: str, key: str
) -> None:
    make(tmp_path)
    (warning,) = understood(tmp_path).warnings
    assert warning.startswith(f"{tmp_path / file}: {key}")
    assert "remora " in warning.partition("→")[2]


def test_a_malformed_config_is_refused_with_its_line(tmp_path: Path) -> None:
    write_stock_project(tmp_path, PHI3)
    (tmp_path / "infra/finetuning.config.json").write_text('{\n  "COMMANDS": [,]\n}')
    with pytest.raises(InvalidFile, match=r"finetuning\.config\.json:2:16"):
        understood(tmp_path)
