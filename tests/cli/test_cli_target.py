"""Which subscription is meant: flags over files; one that is gone is refused by file, key and command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from tests.azure.arm_stand_in import SUBSCRIPTION, Answer, ArmStandIn

from remora.azure.profile import Clients
from remora.cli.output.console import Mode, Output
from remora.cli.target import ProjectFiles, TargetOptions, find_subscription
from remora.errors import InvalidInput, SignInRequired
from remora.project.toolkit.config import FinetuningConfig, InferenceConfig

GONE = "99999999-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"


@pytest.fixture
def clients() -> Iterator[Clients]:
    """An account that sees two subscriptions."""
    with ArmStandIn() as arm:
        seen = [{"subscriptionId": each, "state": "Enabled"} for each in (SUBSCRIPTION, OTHER)]
        arm.answers["GET", "subscriptions"] = Answer(200, {"value": seen})
        yield arm.clients()


def files(folder: Path, *, inference: str | None = None, finetuning: str | None = None) -> ProjectFiles:
    return ProjectFiles(
        folder, InferenceConfig(subscription_id=inference), FinetuningConfig(subscription_id=finetuning)
    )


@pytest.mark.parametrize(
    ("said", "chosen", "origin"),
    [
        ({"finetuning": OTHER}, OTHER, "infra/finetuning.config.json (SUBSCRIPTION_ID)"),
        (
            {"inference": SUBSCRIPTION, "finetuning": GONE},
            SUBSCRIPTION,
            "infra/inference.config.json (SUBSCRIPTION_ID)",
        ),
    ],
)
def test_the_files_say_it(
    clients: Clients, tmp_path: Path, said: dict[str, str], chosen: str, origin: str
) -> None:
    found = find_subscription(clients, TargetOptions(), files(tmp_path, **said), Output())
    assert (found.value, found.origin) == (chosen, origin)


@pytest.mark.parametrize("key", ["inference", "finetuning"])
def test_one_that_is_gone_is_refused_on_azure(clients: Clients, tmp_path: Path, key: str) -> None:
    said = files(tmp_path, **{key: GONE})
    with pytest.raises(SignInRequired, match=f"SUBSCRIPTION_ID {GONE}") as caught:
        find_subscription(clients, TargetOptions(), said, Output())
    assert caught.value.message.startswith(str(tmp_path / f"infra/{key}.config.json"))
    assert "remora provision --subscription" in caught.value.hint
    found = find_subscription(clients, TargetOptions(subscription=OTHER), said, Output())
    assert (found.value, found.origin) == (OTHER, "--subscription")


def test_in_a_rehearsal_another_stands_for_it(
    clients: Clients, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rehearsing = Clients(replace(clients.profile, rehearses=True), SUBSCRIPTION)
    said = files(tmp_path, inference=GONE, finetuning=SUBSCRIPTION)
    assert find_subscription(rehearsing, TargetOptions(), said, Output()).value == SUBSCRIPTION
    assert f"SUBSCRIPTION_ID {GONE} is not visible to you on this cloud" in capsys.readouterr().err


def test_on_azure_a_question_is_a_line_and_so_is_its_answer(
    clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps({"answer": OTHER}) + "\n"))
    found = find_subscription(clients, TargetOptions(), files(tmp_path), Output(Mode.JSONL))
    assert (found.value, found.origin) == (OTHER, "your answer")
    question = json.loads(capsys.readouterr().err)
    assert (question["schema"], question["kind"]) == ("remora.question/v1", "choice")
    assert [choice["value"] for choice in question["choices"]] == [SUBSCRIPTION, OTHER]
    rehearsing = Clients(replace(clients.profile, rehearses=True), SUBSCRIPTION)
    assert (
        find_subscription(rehearsing, TargetOptions(), files(tmp_path), Output(Mode.JSONL)).value
        == SUBSCRIPTION
    )
    assert capsys.readouterr().err == ""


def test_a_wish_for_none_of_them_is_refused(clients: Clients, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=GONE):
        find_subscription(clients, TargetOptions(subscription=GONE), files(tmp_path), Output())
