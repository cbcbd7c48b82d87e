"""AI Toolkit's rules for null: what every parameter is and which file says so; what cannot be is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.project.stock_layout import (
    BICEP,
    LAYOUTS,
    finetuning_parameters,
    inference_parameters,
    parameters_document,
    write_stock_project,
)

from remora.azure.bicep import compile_bicep
from remora.errors import InvalidFile
from remora.project.toolkit.config import load_finetuning_config
from remora.project.toolkit.parameter_rules import check_parameters
from remora.project.toolkit.parameters import load_parameters
from remora.project.toolkit.resolved import Resolved, check_group_known, given_values, resolve_parameters

MADE = {
    "SUBSCRIPTION_ID": "sub",
    "RESOURCE_GROUP_NAME": "Trained",
    "STORAGE_ACCOUNT_NAME": "madeaccount",
    "FILE_SHARE_NAME": "madeshare",
}
CONFIG = "infra/finetuning.config.json"
FINETUNING = "infra/provision/finetuning.parameters.json"
OURS = "infra/provision/inference.parameters.json"
TEMPLATE: dict[str, Any] = json.loads(json.dumps(compile_bicep(BICEP.read_text(), BICEP)))


def resolve(root: Path, group: str = "trained") -> dict[str, Resolved]:
    found = resolve_parameters(
        root,
        load_parameters(root),
        load_finetuning_config(root),
        resource_group=group,
        declared=TEMPLATE["parameters"],
    )
    return {item.name: item for item in found}


def ask_finetuning_for(root: Path, folder: str = "infra/provision", **values: object) -> None:
    document = parameters_document({**finetuning_parameters(), **values})
    (root / folder / "finetuning.parameters.json").write_text(json.dumps(document))


def test_null_is_what_the_finetuning_step_made_then_asked_for_then_the_default(tmp_path: Path) -> None:
    write_stock_project(tmp_path, LAYOUTS[0], finetuning=MADE)
    ask_finetuning_for(tmp_path, storageAccountName="asked", acaEnvironmentName="env", location="eastus")
    found = resolve(tmp_path)
    assert found["storageAccountName"] == Resolved(
        "storageAccountName", "madeaccount", f"{CONFIG} (STORAGE_ACCOUNT_NAME)"
    )
    assert found["fileShareName"].value == "madeshare"
    assert found["acaEnvironmentName"] == Resolved("acaEnvironmentName", "env", FINETUNING)
    assert found["acaLogAnalyticsName"] == Resolved("acaLogAnalyticsName", None, "the template's default")
    assert found["acaAppName"] == Resolved("acaAppName", None, "the template's default")
    assert found["location"] == Resolved("location", None, "the resource group")
    assert found["maximumInstanceCount"] == Resolved("maximumInstanceCount", 2, OURS)
    assert given_values(found.values()).keys() == {
        "defaultCommands",
        "maximumInstanceCount",
        "storageAccountName",
        "fileShareName",
        "acaEnvironmentName",
    }


def test_the_other_spelling_of_the_finetuning_parameters_is_read(tmp_path: Path) -> None:
    write_stock_project(tmp_path, LAYOUTS[0], finetuning=MADE)
    (tmp_path / FINETUNING).unlink()
    ask_finetuning_for(tmp_path, "infra", acaEnvironmentName="env")
    assert resolve(tmp_path)["acaEnvironmentName"].origin == "infra/finetuning.parameters.json"


def test_what_the_user_wrote_wins(tmp_path: Path) -> None:
    named = {"storageAccountName": "mine", "location": "westus3"}
    write_stock_project(tmp_path, LAYOUTS[0], finetuning=MADE, parameters=named)
    found = resolve(tmp_path)
    assert found["storageAccountName"] == Resolved("storageAccountName", "mine", OURS)
    assert found["location"] == Resolved("location", "westus3", OURS)


def test_in_another_group_nothing_is_inherited(tmp_path: Path) -> None:
    write_stock_project(tmp_path, LAYOUTS[0], finetuning=MADE)
    assert resolve(tmp_path, "another")["storageAccountName"].value is None


def test_a_template_without_a_parameter_inherits_none(tmp_path: Path) -> None:
    write_stock_project(tmp_path, LAYOUTS[0], finetuning=MADE)
    found = resolve_parameters(
        tmp_path,
        load_parameters(tmp_path),
        load_finetuning_config(tmp_path),
        resource_group="trained",
        declared=["defaultCommands"],
    )
    assert [item.name for item in found] == ["defaultCommands", "maximumInstanceCount"]


def test_a_half_filled_finetuning_config_is_refused(tmp_path: Path) -> None:
    half = {**MADE, "RESOURCE_GROUP_NAME": None}
    write_stock_project(tmp_path, LAYOUTS[0], finetuning=half)
    with pytest.raises(InvalidFile, match="RESOURCE_GROUP_NAME is null, but STORAGE_ACCOUNT_NAME") as caught:
        check_group_known(tmp_path, load_finetuning_config(tmp_path))
    assert str(tmp_path / CONFIG) in caught.value.message
    assert "--resource-group" in caught.value.hint
    write_stock_project(tmp_path, LAYOUTS[0], finetuning=MADE)
    check_group_known(tmp_path, load_finetuning_config(tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("storageAccountName", "a" * 25, "25 characters"),
        ("storageAccountName", "MyAccount", "'MyAccount'"),
        ("storageAccountName", "my-account", "lower-case letters and digits"),
        ("fileShareName", "Share", "'Share'"),
        ("fileShareName", "a--b", "single hyphens"),
        ("acaAppName", "1app", "'1app'"),
        ("acaAppName", "a" * 33, "33 characters"),
        ("acaEnvironmentName", "env_1", "'env_1'"),
        ("acaLogAnalyticsName", "log", "4 to 63"),
        ("maximumInstanceCount", "2", "a string, '2', but the template takes a whole number"),
        ("maximumInstanceCount", True, "true or false"),
        ("maximumInstanceCount", 2.5, "takes a whole number"),
        ("defaultCommands", "cd /mount", "takes an array"),
        ("location", 3, "takes a string"),
        ("mine", 1, "mine is not a parameter of t.bicep"),
    ],
)
def test_a_value_that_cannot_be_names_file_key_and_next_command(
    tmp_path: Path, name: str, value: object, said: str
) -> None:
    write_stock_project(tmp_path, LAYOUTS[0], parameters={name: value})
    with pytest.raises(InvalidFile) as caught:
        check_parameters(tmp_path, resolve(tmp_path).values(), TEMPLATE["parameters"], "t.bicep")
    assert caught.value.message.startswith(f"{tmp_path / OURS}: {name} is ")
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert "remora plan" in caught.value.hint
    assert caught.value.param == name


def test_an_inherited_name_that_cannot_be_names_the_file_that_has_it(tmp_path: Path) -> None:
    write_stock_project(tmp_path, LAYOUTS[0], finetuning={**MADE, "STORAGE_ACCOUNT_NAME": "Wrong_Name"})
    with pytest.raises(InvalidFile, match="storageAccountName is 'Wrong_Name'") as caught:
        check_parameters(tmp_path, resolve(tmp_path).values(), TEMPLATE["parameters"], "t.bicep")
    assert caught.value.message.startswith(f"{tmp_path / CONFIG}: ")


def test_the_stock_parameters_pass(tmp_path: Path) -> None:
    write_stock_project(tmp_path, LAYOUTS[0], finetuning=MADE)
    found = resolve(tmp_path)
    assert set(found) == set(inference_parameters())
    check_parameters(tmp_path, found.values(), TEMPLATE["parameters"], "t.bicep")
