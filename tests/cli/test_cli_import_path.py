"""AI Toolkit projects from import to answers on the local cloud; the tests of a project build on one another.

The served answers are compared with what the model of training generates from the prompt of training.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import User
from tests.cli.stock_project import TUNED, Project, as_trained, by_name, make_project
from tests.project.stock_layout import INFERENCE_KEYS, LAYOUTS, write_stock_project

PHI3, LLAMA3 = LAYOUTS[0], LAYOUTS[4]

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    somebody = User(tmp_path_factory.mktemp("imported") / "home", {"OMP_NUM_THREADS": "1"})
    yield somebody
    somebody.run("cloud", "stop")


@pytest.fixture(scope="module")
def phi3(user: User) -> Project:
    """Its training added `[PAD]`; it stays on the GPU profile of its template."""
    return make_project(user, PHI3, resized=True)


@pytest.fixture(scope="module")
def deployed(phi3: Project) -> dict[str, Any]:
    return phi3.ok("up", "--yes")


def test_a_plan_says_what_is_inherited_and_that_all_is_new(phi3: Project) -> None:
    plan = phi3.ok("plan", "--yes")
    rows = by_name(plan)
    assert rows["resource_group"]["value"] == "tuned"
    assert rows["resource_group"]["origin"] == "infra/finetuning.config.json (RESOURCE_GROUP_NAME)"
    assert rows["storageAccountName"]["value"] == "tunedaccount"
    assert rows["location"] | {"value": ""} == {
        "name": "location",
        "value": "",
        "origin": "the resource group",
        "action": None,
    }
    assert plan["new_resource_group"] is True


def test_a_plan_before_the_switch_needs_no_models(user: User, tmp_path: Path) -> None:
    """In a live project they lie on the share only, and AI Toolkit's program reads them there."""
    project = Project(write_stock_project(tmp_path, PHI3, finetuning=TUNED), user, PHI3)
    plan = project.ok("plan", "--yes")
    assert (plan["program"], plan["release"], plan["uploads"]) == ("stock", None, None)
    assert {change["kind"] for change in plan["resources"]} >= {"containerApps", "storageAccounts"}


def test_it_answers_as_the_model_of_training(phi3: Project, deployed: dict[str, Any]) -> None:
    prompt_tokens, text = as_trained(phi3)
    answer = phi3.asked(deployed["endpoint"])
    assert answer["usage"]["prompt_tokens"] == prompt_tokens
    assert answer["choices"][0]["message"]["content"] == text
    config = json.loads((phi3.root / "infra/inference.config.json").read_text())
    assert [key for key in INFERENCE_KEYS if not config[key]] == []
    assert (config["STORAGE_ACCOUNT_NAME"], config["FILE_SHARE_NAME"]) == ("tunedaccount", "tunedshare")


def test_a_second_deploy_changes_nothing(phi3: Project, deployed: dict[str, Any]) -> None:
    again = phi3.ok("deploy")
    assert (again["new_revision"], again["uploaded"]) == (False, {"files": 0, "bytes": 0})


def test_then_the_parameters_name_what_exists(phi3: Project, deployed: dict[str, Any]) -> None:
    rows = by_name(phi3.ok("plan", "--yes"))
    names = {name: row["value"] for name, row in rows.items() if row["action"] == "use"}
    assert len(names) == 6
    phi3.set_parameters(**names)
    provisioned = phi3.ok("provision", "--yes")
    assert (provisioned["changed"], provisioned["app"]) == (True, names["acaAppName"])
    rows = by_name(provisioned)
    assert {rows[name]["action"] for name in names} == {"use"}
    assert {rows[name]["origin"] for name in names} == {"infra/provision/inference.parameters.json"}
    again = phi3.ok("deploy")
    assert (again["new_revision"], again["revision"]) == (False, deployed["revision"])
    assert [entry["model"] for entry in again["answers"] if entry["adapter_digest"]] == ["qlora"]


def test_then_only_the_names_are_left(phi3: Project, deployed: dict[str, Any]) -> None:
    config = phi3.root / "infra/inference.config.json"
    names = {key: value for key, value in json.loads(config.read_text()).items() if key in INFERENCE_KEYS}
    shutil.rmtree(phi3.root / "infra")
    config.parent.mkdir()
    config.write_text(json.dumps(names))
    again = phi3.ok("deploy")
    assert (again["new_revision"], again["revision"]) == (False, deployed["revision"])


def test_another_layout_with_its_own_prompt_on_cpus(user: User, deployed: dict[str, Any]) -> None:
    project = make_project(user, LLAMA3, resized=False)
    project.set_parameters(workloadProfile="Consumption", acaAppName="second")
    project.set_parameters(storageAccountName="secondaccount", acaEnvironmentStorageName="secondmount")
    answer = project.asked(project.ok("up", "--yes")["endpoint"])
    prompt_tokens, text = as_trained(project)
    assert answer["usage"]["prompt_tokens"] == prompt_tokens
    assert answer["choices"][0]["message"]["content"] == text


def share_of(user: User) -> Path:
    return user.home / "cloud" / "shares" / "tunedaccount" / "tunedshare"


def test_models_that_are_on_the_share_only_are_fetched(
    user: User, phi3: Project, deployed: dict[str, Any], tmp_path: Path
) -> None:
    config = json.loads((phi3.root / "infra/inference.config.json").read_text())
    known = {key: config[key] for key in TUNED}
    project = Project(write_stock_project(tmp_path, PHI3, finetuning=known), user, PHI3)
    empty = user.run("import", str(tmp_path), "--fetch")
    assert (empty.code, empty.document["error"]["param"]) == (3, "FILE_SHARE_NAME")
    assert f"{tmp_path / 'infra/finetuning.config.json'}: FILE_SHARE_NAME is 'tunedshare'" in empty.message
    assert f"remora import -C {tmp_path} --fetch" in empty.message

    for name in (PHI3.base, PHI3.adapter):
        shutil.copytree(phi3.root / name, share_of(user) / name)
    shutil.copytree(phi3.root / PHI3.adapter, share_of(user) / "models/checkpoints/adapter")
    document = project.ok("import", "--fetch")
    assert document["base"]["path"] == PHI3.base
    assert [adapter["path"] for adapter in document["adapters"]] == [PHI3.adapter]
    assert not (tmp_path / "models/checkpoints").exists()
    for name in (PHI3.base, PHI3.adapter):
        for path in (tmp_path / name).iterdir():
            assert path.read_bytes() == (phi3.root / name / path.name).read_bytes()


def test_a_share_that_was_deleted_names_the_key(user: User, phi3: Project, deployed: dict[str, Any]) -> None:
    config = phi3.root / "infra/inference.config.json"
    names = json.loads(config.read_text())
    config.write_text(json.dumps({**names, "FILE_SHARE_NAME": "gone"}))
    refused = user.run("deploy", str(phi3.root))
    assert (refused.code, refused.document["error"]["code"]) == (3, "deployment_not_found")
    assert "'gone'" in refused.message
    assert "FILE_SHARE_NAME of infra/inference.config.json" in refused.message
    assert refused.document["next"] == ["remora", "provision", str(phi3.root)]
