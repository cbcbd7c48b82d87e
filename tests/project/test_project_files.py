"""AI Toolkit's files: config, parameters, and what init writes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.project.stock_layout import parameters_document

from remora.errors import InvalidFile, ProjectIncomplete
from remora.project.scaffold import scaffold_texts, write_scaffold
from remora.project.settings import load_settings
from remora.project.toolkit.config import (
    INFERENCE_FILE,
    FinetuningConfig,
    InferenceConfig,
    load_finetuning_config,
    load_inference_config,
    save_inference_config,
    with_outputs,
)
from remora.project.toolkit.parameters import (
    changed_parameters,
    find_parameters,
    load_parameters,
    shadowed_parameters,
)

OUTPUTS = {
    "SUBSCRIPTION_ID": "sub",
    "RESOURCE_GROUP_NAME": "group",
    "STORAGE_ACCOUNT_NAME": "account",
    "FILE_SHARE_NAME": "share",
    "ACA_APP_NAME": "app",
    "ACA_APP_ENDPOINT": "127.0.0.1:4040",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def write(root: Path, name: str, content: object) -> Path:
    path = root / "infra" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_project_that_was_never_provisioned_has_an_empty_config(tmp_path: Path) -> None:
    config = load_inference_config(tmp_path)
    assert config == InferenceConfig()
    assert config.url is None
    assert config.missing == tuple(key for key in OUTPUTS if key != "ACA_APP_ENDPOINT")


def test_outputs_are_written_and_unknown_keys_kept(tmp_path: Path) -> None:
    write(tmp_path, "inference.config.json", {**dict.fromkeys(OUTPUTS), "MINE": {"a": [1]}})
    config = with_outputs(load_inference_config(tmp_path), OUTPUTS, scheme="http")
    save_inference_config(tmp_path, config)
    written = json.loads((tmp_path / INFERENCE_FILE).read_text())
    assert written == {**OUTPUTS, "ACA_APP_ENDPOINT_SCHEME": "http", "MINE": {"a": [1]}}
    assert list(written)[:6] == list(OUTPUTS)
    assert load_inference_config(tmp_path) == config
    assert config.url == "http://127.0.0.1:4040"
    assert [path.name for path in (tmp_path / "infra").iterdir()] == ["inference.config.json"]


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("app.region.azurecontainerapps.io", "https://app.region.azurecontainerapps.io"),
        ("https://app.example/", "https://app.example"),
        ("http://app.example:81", "http://app.example:81"),
        ("127.0.0.1:4040", "http://127.0.0.1:4040"),
        ("localhost:4040", "http://localhost:4040"),
        ("  ", None),
    ],
)
def test_an_endpoint_filled_in_by_hand(tmp_path: Path, endpoint: str, url: str | None) -> None:
    write(tmp_path, "inference.config.json", {**OUTPUTS, "ACA_APP_ENDPOINT": endpoint})
    assert load_inference_config(tmp_path).url == url


@pytest.mark.parametrize(
    "wrong",
    [
        {"ACA_APP_ENDPOINT": "ftp://x"},
        {"ACA_APP_ENDPOINT": "https://user:pw@x"},
        {"ACA_APP_ENDPOINT": "x/path"},
        {"ACA_APP_ENDPOINT_SCHEME": "gopher"},
        {"ACA_APP_NAME": 3},
    ],
)
def test_a_wrong_config_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    write(tmp_path, "inference.config.json", {**OUTPUTS, **wrong})
    with pytest.raises(InvalidFile, match=next(iter(wrong))):
        load_inference_config(tmp_path)


def test_the_finetuning_config_is_read(tmp_path: Path) -> None:
    assert load_finetuning_config(tmp_path) == FinetuningConfig()
    write(
        tmp_path,
        "finetuning.config.json",
        {"RESOURCE_GROUP_NAME": "g", "ACA_JOB_NAME": "", "COMMANDS": ["cd /mount"], "OTHER": 1},
    )
    expected = FinetuningConfig(resource_group="g", commands=("cd /mount",))
    assert load_finetuning_config(tmp_path) == expected


def write_parameters(root: Path, values: dict[str, object], step: str = "inference") -> Path:
    return write(root, f"provision/{step}.parameters.json", parameters_document(values))


@settings(max_examples=50, deadline=None)
@given(values=st.dictionaries(st.text(), JSON, max_size=5))
def test_parameters_are_read_without_the_nulls(values: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_parameters(Path(folder), values)
        loaded = load_parameters(Path(folder))
    assert loaded.names == tuple(values)
    assert loaded.values == {name: value for name, value in values.items() if value is not None}


def test_comments_are_understood_and_kept_with_unknown_parameters_and_the_schema(tmp_path: Path) -> None:
    text = """{
  "$schema": "https://schema.management.azure.com/schemas/2015-01-01/deploymentParameters.json#",
  // which container app
  "parameters": {
    "acaAppName": {"value": null}, /* yours */
    "ours": {"value": 1}
  },
  "metadata": {}
}
"""
    path = write(tmp_path, "provision/inference.parameters.json", text)
    assert load_parameters(tmp_path).values == {"ours": 1}
    changed = changed_parameters(path, {"acaAppName": "mine", "ours": 1})
    assert changed == text.replace('{"value": null}', '{"value": "mine"}')


def test_comments_in_the_config_survive_a_provisioning(tmp_path: Path) -> None:
    text = '{\r\n\t"SUBSCRIPTION_ID": null, // ask Ada\r\n\t"MINE": [1,2]\r\n}\r\n'
    path = write(tmp_path, "inference.config.json", text)
    path.write_bytes(text.encode())
    config = with_outputs(load_inference_config(tmp_path), OUTPUTS, scheme="http")
    save_inference_config(tmp_path, config)
    written = path.read_bytes().decode()
    assert written.startswith('{\r\n\t"SUBSCRIPTION_ID": "sub", // ask Ada\r\n\t"MINE": [1,2],\r\n\t"RES')
    assert load_inference_config(tmp_path) == config


def test_both_places_of_the_parameters_are_read(tmp_path: Path) -> None:
    with pytest.raises(ProjectIncomplete, match=r"infra/provision/inference\.parameters\.json"):
        find_parameters(tmp_path)
    second = write(tmp_path, "inference.parameters.json", {"parameters": {}})
    assert find_parameters(tmp_path) == second
    first = write(tmp_path, "provision/inference.parameters.json", {"parameters": {"a": {"value": 1}}})
    assert load_parameters(tmp_path).path == first
    assert load_parameters(tmp_path).values == {"a": 1}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"parameters": {\n  "a": {"value": 1},\n}}', ":3:1: not valid JSON"),
        ('{"parameters": {"a": {"value": 1}}', ":1:35: not valid JSON"),
        ("[]", "expected an object, found an array"),
        ("{}", "'parameters' is null"),
        ('{"parameters": []}', "'parameters' is an array"),
        ('{"parameters": {"a": 1}}', "a is a number without 'value'"),
        ('{"parameters": {"a": {}}}', "a is an object without 'value'"),
        ('{"parameters": {"a": {"value": 1}, "a": {"value": 2}}}', "'a' occurs twice"),
        ('{"parameters": {"a": {"value": NaN}}}', "NaN"),
        ('{"parameters": {"a": {"reference": {}}}}', "key vault"),
        ("", ":1:1: not valid JSON"),
    ],
)
def test_malformed_parameters_are_refused_with_the_place(tmp_path: Path, text: str, named: str) -> None:
    path = write(tmp_path, "provision/inference.parameters.json", text)
    with pytest.raises(InvalidFile) as caught:
        load_parameters(tmp_path)
    assert caught.value.message.startswith(str(path))
    assert named in caught.value.message
    assert caught.value.hint


def test_of_two_parameters_files_one_is_shadowed(tmp_path: Path) -> None:
    second = write(tmp_path, "inference.parameters.json", {"parameters": {}})
    assert shadowed_parameters(tmp_path) is None
    write_parameters(tmp_path, {})
    assert shadowed_parameters(tmp_path) == second


def scaffold(root: Path, *, force: bool = False) -> tuple[set[str], set[str]]:
    result = write_scaffold(
        root, scaffold_texts(base="base", name="b", adapters={"t": "adapters/t"}), force=force
    )
    return {path.as_posix() for path in result.written}, {path.as_posix() for path in result.kept}


ALL_FILES = {
    "remora.toml",
    "infra/inference.config.json",
    "infra/provision/inference.bicep",
    "infra/provision/inference.json",
    "infra/provision/inference.parameters.json",
}


def test_a_new_project_gets_every_file_and_they_are_valid(tmp_path: Path) -> None:
    assert scaffold(tmp_path) == (ALL_FILES, set())
    assert load_settings(tmp_path, {}).adapters == {"t": tmp_path / "adapters/t"}
    assert load_settings(tmp_path, {}).model.base == tmp_path / "base"
    assert load_inference_config(tmp_path) == InferenceConfig()
    parameters = load_parameters(tmp_path)
    assert parameters.values == {
        "defaultCommands": [
            'test "$REMORA_RELEASE" || exec sleep infinity',
            "cd /mount/.remora/releases/$REMORA_RELEASE",
            "python3 start.py",
        ],
        "maximumInstanceCount": 1,
    }
    assert len(parameters.names) == 9
    template = json.loads((tmp_path / "infra/provision/inference.json").read_text())
    assert set(parameters.names) <= set(template["parameters"])


def test_a_second_time_nothing_is_written(tmp_path: Path) -> None:
    scaffold(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in ALL_FILES}
    assert scaffold(tmp_path) == (set(), ALL_FILES)
    assert {name: (tmp_path / name).read_bytes() for name in ALL_FILES} == before


def test_force_overwrites_all_but_the_record_of_what_was_provisioned(tmp_path: Path) -> None:
    for name in ALL_FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    record = {"infra/inference.config.json"}
    assert scaffold(tmp_path, force=True) == (ALL_FILES - record, record)
    assert (tmp_path / "infra/inference.config.json").read_text() == "mine"


def test_a_users_template_gets_no_compiled_file_of_another(tmp_path: Path) -> None:
    write(tmp_path, "provision/inference.bicep", "param mine string")
    written, kept = scaffold(tmp_path)
    assert kept == {"infra/provision/inference.bicep"}
    assert "infra/provision/inference.json" not in written


def test_parameters_in_the_other_place_are_not_shadowed(tmp_path: Path) -> None:
    write(tmp_path, "inference.parameters.json", {"parameters": {}})
    written, _ = scaffold(tmp_path)
    assert "infra/provision/inference.parameters.json" not in written
