"""Every layout that AI Toolkit scaffolds, the whole way: import, provision, deploy, an answer, no change,
existing names, the names alone; and with its models on the share only, on a cloud with one GPU node.

REMORA_LAYOUTS=all takes all of them (`make conformance`); else one stands for the others.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import User
from tests.cli.stock_project import TUNED, Project, as_trained, by_name, make_project, train_on, tune
from tests.project.stock_layout import INFERENCE_KEYS, LAYOUTS, StockLayout, write_stock_project

CHOSEN = LAYOUTS if os.environ.get("REMORA_LAYOUTS") == "all" else LAYOUTS[5:6]

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    somebody = User(tmp_path / "home", {"OMP_NUM_THREADS": "1"})
    yield somebody
    somebody.run("cloud", "stop")


@pytest.mark.parametrize("layout", CHOSEN, ids=lambda layout: layout.name)
def test_a_layout_goes_the_whole_way(user: User, layout: StockLayout) -> None:
    project = make_project(user, layout, resized=False)

    project.ok("provision", "--yes")
    deployed = project.ok("deploy")
    prompt_tokens, text = as_trained(project)
    answer = project.asked(deployed["endpoint"])
    assert answer["usage"]["prompt_tokens"] == prompt_tokens
    assert answer["choices"][0]["message"]["content"] == text

    again = project.ok("deploy")
    assert (again["new_revision"], again["uploaded"]) == (False, {"files": 0, "bytes": 0})

    rows = by_name(project.ok("plan", "--yes"))
    names = {name: row["value"] for name, row in rows.items() if row["action"] == "use"}
    project.set_parameters(**names)
    rows = by_name(project.ok("provision", "--yes"))
    assert {rows[name]["action"] for name in names} == {"use"}
    again = project.ok("deploy")
    assert (again["new_revision"], again["revision"]) == (False, deployed["revision"])

    config = project.root / "infra/inference.config.json"
    alone = {key: value for key, value in json.loads(config.read_text()).items() if key in INFERENCE_KEYS}
    shutil.rmtree(project.root / "infra")
    config.parent.mkdir()
    config.write_text(json.dumps(alone))
    again = project.ok("deploy")
    assert (again["new_revision"], again["revision"]) == (False, deployed["revision"])
    assert project.asked(again["endpoint"])["choices"][0]["message"]["content"] == text


@pytest.mark.parametrize("layout", CHOSEN, ids=lambda layout: layout.name)
def test_models_on_the_share_only_are_served_there_with_one_gpu_node(
    user: User, tmp_path: Path, layout: StockLayout
) -> None:
    trained = Project(tmp_path / "trained", user, layout)
    share = tune(user, layout, trained.root)
    left_by_the_job = contents(share)
    project = Project(write_stock_project(tmp_path / "project", layout, finetuning=TUNED), user, layout)
    project.set_parameters(maximumInstanceCount=1)

    imported = project.ok("import", "--write")
    assert (imported["switch"]["written"], imported["share"]) == (True, TUNED["FILE_SHARE_NAME"])
    assert imported["base"]["path"] == layout.base
    assert [adapter["path"] for adapter in imported["adapters"]] == [layout.adapter]
    plan = project.ok("plan", "--yes")
    assert plan["on_share"]["served"] == {"base": layout.base, "qlora": layout.adapter}
    assert plan["uploads"]["bytes"] < 4_000_000  # code and settings

    first = project.ok("up", "--yes")
    assert project.asked(first["endpoint"])["choices"][0]["message"]["content"] == as_trained(trained)[1]
    again = project.ok("up", "--yes")
    assert (again["new_revision"], again["uploaded"]) == (False, {"files": 0, "bytes": 0})

    train_on(trained.root, share, layout)
    left_by_the_job = contents(share)
    assert project.ok("plan", "--yes")["new_revision"] is True
    second = project.ok("up", "--yes", "--strategy", "in-place")
    assert second["revision"] != first["revision"]
    assert digest_of(second) != digest_of(first)
    assert project.asked(second["endpoint"])["choices"][0]["message"]["content"] == as_trained(trained)[1]

    assert contents(share) == left_by_the_job
    assert list(project.root.rglob("*.safetensors")) == []


def contents(share: Path) -> dict[str, tuple[int, bytes]]:
    """What lies on a share beside Remora's own folder: path → time of the last write, bytes."""
    return {
        path.relative_to(share).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in share.rglob("*")
        if path.is_file() and ".remora" not in path.parts
    }


def digest_of(deployed: dict[str, Any]) -> str:
    (digest,) = (answer["adapter_digest"] for answer in deployed["answers"] if answer["adapter_digest"])
    return str(digest)
