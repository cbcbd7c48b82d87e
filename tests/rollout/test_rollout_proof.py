"""An adapter that changes nothing is refused, by deploy and by push, and what an adapter changes is told.

The tests build on one another: the first deploys the example without golden prompts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import User
from tests.rollout.test_rollout_gate import EXAMPLE, scaled_to

from remora.adapters.proof import Effect, Proof

pytestmark = pytest.mark.timeout(1200)


@dataclass(frozen=True, slots=True)
class Served:
    root: Path
    user: User
    document: dict[str, Any]
    stderr: str

    @property
    def adapter(self) -> Path:
        return self.root / "adapters" / "tone"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("proof")
    user = User(folder / "home", {"OMP_NUM_THREADS": "1"})
    root = folder / "tone"
    shutil.copytree(EXAMPLE, root)
    (root / "golden.toml").unlink()
    generation = root / "base" / "generation_config.json"
    generation.write_text(json.dumps({**json.loads(generation.read_text()), "repetition_penalty": 1.2}))
    ran = user.run("up", str(root), "--yes")
    assert ran.code == 0, ran
    yield Served(root, user, ran.document, ran.stderr)
    user.run("cloud", "stop")


def test_up_warns_of_sampling_that_a_generation_config_asks_for(served: Served) -> None:
    assert "the generation config of tone-base asks for repetition_penalty 1.2" in " ".join(
        served.stderr.split()
    )


def test_the_panel_and_the_status_tell_what_the_adapter_changes(served: Served) -> None:
    proof = served.document["proof"]["tone"]
    assert proof["state"] == "proven"
    assert proof["kl_nats"] > 0.01
    assert f"first difference at token {proof['first_difference']} of 4 prompts" in proof["text"]
    people = {**served.user.environment, "REMORA_OUTPUT": "human", "COLUMNS": "200"}
    command = [sys.executable, "-m", "remora", "status", str(served.root)]
    shown = subprocess.run(command, env=people, check=True, capture_output=True, text=True).stdout
    assert f"tone  {proof['text']}" in shown
    planned = served.user.run("plan", str(served.root), "--yes").document
    assert planned["proof"]["tone"]["text"] == proof["text"]


def test_deploy_refuses_an_adapter_that_changes_nothing(served: Served) -> None:
    scaled_to(served.adapter, 1e-5)
    ran = served.user.run("deploy", str(served.root))
    assert ran.code == 8, ran
    assert "answers like the base model" in ran.message
    assert "--allow-unproven" in ran.message
    state = served.user.run("status", str(served.root)).document
    assert state["serving_revision"] == served.document["revision"]


def test_push_takes_an_adapter_that_changes_nothing_back(served: Served) -> None:
    before = digests(served)
    push = ("adapters", "push", "weak", str(served.adapter), "--project", str(served.root))
    ran = served.user.run(*push)
    assert ran.code == 8, ran
    assert digests(served) == before
    allowed = served.user.run(*push, "--allow-unproven")
    assert allowed.code == 0, allowed
    assert allowed.document["proof"]["weak"]["state"] == "unproven"
    assert digests(served).keys() == {*before, "weak"}


def digests(served: Served) -> dict[str, str]:
    models = served.user.run("status", str(served.root)).document["models"]
    return {each["id"]: each["adapter"]["digest"] for each in models[1:]}


def test_allow_unproven_lets_it_pass(served: Served) -> None:
    ran = served.user.run("deploy", str(served.root), "--allow-unproven")
    assert ran.code == 0, ran
    assert ran.document["proof"]["tone"]["state"] == "unproven"
    assert ran.document["proof"]["tone"]["text"].startswith("unproven: KL ")


def test_a_proof_in_words() -> None:
    effect = Effect(8, 64, 20, 30, 0.412, 2.0, first_difference=1)
    assert str(Proof.of(effect)) == "KL 0.41, first difference at token 1 of 8 prompts"
    assert str(Proof("unknown", problem="not reported")) == "unknown: not reported"
