"""What a rollout lets through: four candidates of the example, real models, while somebody keeps asking.

The tests build on one another: the first records and deploys, each of the others is one candidate.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file
from tests.cli.command import Ran, User
from tests.project.settings_file import update_settings
from tests.rollout.asking import Asked, asking

from remora.adapters.store import EXAMPLES

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
PROMPT = "My sister won the chess tournament."
MINE = "# This one I wrote myself.\n[[prompt]]\nmodel = 'tone'\nuser = 'Hooray'\nanswer = 'sunshine'\n"

pytestmark = pytest.mark.timeout(1200)


@dataclass(frozen=True, slots=True)
class Deployed:
    root: Path
    user: User
    document: dict[str, Any]
    asked: Asked

    def deploy(self) -> Ran:
        return self.user.run("deploy", str(self.root))

    @property
    def adapter(self) -> Path:
        return self.root / "adapters" / "tone"

    def restore(self) -> None:
        for part in ("adapters", "base"):
            shutil.rmtree(self.root / part)
            shutil.copytree(EXAMPLE / part, self.root / part)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    user = User(tmp_path_factory.mktemp("gate") / "home", {"OMP_NUM_THREADS": "1"})
    yield user
    user.run("cloud", "stop")


@pytest.fixture(scope="module")
def deployed(user: User) -> Iterator[Deployed]:
    """The example, recorded on this machine and deployed, with somebody who keeps asking to the end."""
    root = user.home.parent / "tone"
    shutil.copytree(EXAMPLE, root)
    golden = root / "golden.toml"
    golden.write_text(f"{golden.read_text()}\n{MINE}")
    recorded = user.run("golden", "record", str(root))
    assert recorded.code == 0, recorded
    assert recorded.document["kept"] == [8]
    assert "written by hand and is kept" in recorded.stderr
    assert MINE in golden.read_text()
    golden.write_text(golden.read_text().replace(MINE, ""))
    ran = user.run("up", str(root), "--yes")
    assert ran.code == 0, ran
    key = user.run("secrets", str(root)).document["api_key"]
    with asking(ran.document["chat_page"].rstrip("/"), key, PROMPT) as asked:
        yield Deployed(root, user, ran.document, asked)
    digest = answer_of(ran.document)["adapter_digest"]
    assert asked.failures == []
    assert set(asked.answers) == {(digest, "joy")}


def answer_of(document: dict[str, Any]) -> dict[str, Any]:
    (answer,) = [item for item in document["answers"] if item["model"] == "tone"]
    return dict(answer)


def test_what_was_recorded_here_is_held_to_exactly(deployed: Deployed) -> None:
    golden = deployed.document["golden"]
    assert golden["failed"] == 0
    assert golden["passed"] == 8
    assert "same stack" in golden["summary"]


def test_the_pages_offer_the_golden_prompts(deployed: Deployed) -> None:
    assert offered(deployed)[0] == PROMPT
    golden = deployed.root / "golden.toml"
    before = golden.read_text()
    golden.write_text(f"{MINE.replace('Hooray', 'What is new?').replace('sunshine', '')}\n{before}")
    ran = deployed.deploy()
    golden.write_text(before)
    assert (ran.code, ran.document["new_revision"]) == (0, False), ran
    assert offered(deployed)[0] == "What is new?"


def offered(deployed: Deployed) -> list[str]:
    """What the deploy has put on the share for the pages."""
    (file,) = deployed.user.home.rglob(str(EXAMPLES))
    return list(json.loads(file.read_text()))


def scaled_to(adapter: Path, factor: float) -> None:
    weights = adapter / "adapter_model.safetensors"
    tensors = load_file(weights)
    save_file({k: v * factor if "lora_B" in k else v for k, v in tensors.items()}, weights)


def halved(adapter: Path) -> None:
    config = adapter / "adapter_config.json"
    document = json.loads(config.read_text())
    config.write_text(json.dumps({**document, "lora_alpha": document["lora_alpha"] / 2}))


def plainer(base: Path) -> None:
    """Another chat template, as a base model of another release may have it."""
    template = base / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|assistant|>", "<|assistant|>\n"))


@pytest.mark.parametrize("kind", ["base", "half", "template"])
def test_a_candidate_that_answers_otherwise_gets_no_traffic(deployed: Deployed, kind: str) -> None:
    if kind == "template":
        plainer(deployed.root / "base")
    elif kind == "half":
        halved(deployed.adapter)
    else:
        scaled_to(deployed.adapter, 1e-4)
    ran = deployed.deploy()
    deployed.restore()
    assert ran.code == 8, ran
    assert ran.document["error"]["code"] == "verification_failed"
    message = ran.message
    assert "same stack" in message
    assert "; recorded '" in message
    assert "; found '" in message
    assert "remora golden record" in message


def test_another_number_format_passes(deployed: Deployed) -> None:
    update_settings(deployed.root, {"serve.dtype": "bfloat16"})
    ran = deployed.deploy()
    assert ran.code == 0, ran
    assert ran.document["new_revision"] is True
    golden = ran.document["golden"]
    assert golden["failed"] == 0
    assert "another stack" in golden["summary"]
    assert max(item["largest_distance"] for item in golden["prompts"]) > 0.001  # it is not the same
    assert ran.document["kept_revision"] == deployed.document["revision"]


def test_the_deployed_endpoint_can_be_checked_again_and_rolled_back(deployed: Deployed) -> None:
    checked = deployed.user.run("golden", "check", str(deployed.root))
    assert checked.code == 0, checked
    assert checked.document["schema"] == "remora.golden.check/v1"
    back = deployed.user.run("rollback", "-C", str(deployed.root))
    assert back.code == 0, back
    assert back.document["revision"] == deployed.document["revision"]
    assert back.document["started"] is False
    unknown = deployed.user.run("rollback", "nope", "-C", str(deployed.root))
    assert unknown.code == 3
    events = deployed.user.run("history", str(deployed.root)).document["events"]
    told = [(event["what"], event["result"]) for event in reversed(events)]
    refused = [("deploy", "verification_failed")] * 3
    assert told == [("deploy", "ok"), *refused, ("deploy", "ok"), ("rollback", "ok")]
