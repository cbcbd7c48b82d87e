"""Every layout that AI Toolkit scaffolds, the whole way: import, provision, deploy, an answer, no change,
existing names, the names alone.

REMORA_LAYOUTS=all takes all of them (`make conformance`); else one stands for the others.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.command import User
from tests.cli.stock_project import as_trained, by_name, make_project
from tests.project.stock_layout import INFERENCE_KEYS, LAYOUTS, StockLayout

CHOSEN = LAYOUTS if os.environ.get("REMORA_LAYOUTS") == "all" else LAYOUTS[5:6]

pytestmark = pytest.mark.timeout(300)


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
