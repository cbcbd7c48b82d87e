"""The last gate: what is answered by another than was deployed, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from remora.adapters.adapter import Digest
from remora.errors import ModelNotFound, VerificationFailed
from remora.rollout.endpoint import Answer, Endpoint, Json
from remora.rollout.gates.check import check_endpoint
from remora.rollout.golden.check import check_golden
from remora.rollout.golden.prompts import Golden, GoldenPrompt

DIGEST = Digest("a" * 64)


class Scripted(Endpoint):
    """Answers for the models that it has, by whom it is told."""

    def __init__(self, digests: Mapping[str, str]) -> None:
        super().__init__("http://127.0.0.1:1", "")
        self._digests = digests
        self.asked: list[tuple[str, str]] = []

    def models(self) -> list[Json]:
        return [{"id": model} for model in self._digests]

    def chat(self, model: str, messages: Sequence[Mapping[str, str]], **_: object) -> Answer:
        self.asked.append((model, messages[0]["content"]))
        if model not in self._digests:
            raise ModelNotFound(f"the model {model!r} does not exist")
        return Answer(model, "joy", self._digests[model], "stop", 1, 10.0)


def test_every_model_is_asked_once() -> None:
    with Scripted({"base": "", "tone": DIGEST}) as endpoint:
        checked = check_endpoint(endpoint, "base", {"tone": DIGEST}, (), timeout_seconds=1)
    assert [item.answer.model for item in checked] == ["base", "tone"]


def test_no_golden_prompt_is_asked_twice() -> None:
    prompts = [GoldenPrompt("tone", user, "joy", 4) for user in ("hi", "ho", "hi")]
    with Scripted({"base": "", "tone": DIGEST}) as endpoint:
        answers = check_endpoint(endpoint, "base", {"tone": DIGEST}, prompts, timeout_seconds=1)
        known = {each.answer.model: each.answer for each in answers}
        report = check_golden(endpoint, Golden(tuple(prompts)), known)
    assert [item.prompt for item in report.checked] == prompts
    assert report.checked[0].answer is answers[1].answer
    assert sorted(endpoint.asked) == [("base", "Hello!"), ("tone", "hi"), ("tone", "hi"), ("tone", "ho")]


def test_prompts_that_could_not_be_asked_are_no_success() -> None:
    prompt = GoldenPrompt("renamed", "hi", "joy", 4)
    with Scripted({"base": ""}) as endpoint:
        report = check_golden(endpoint, Golden((prompt,)))
    assert report.summary == "none of 1 golden prompts is for a served model"
    with pytest.raises(VerificationFailed, match=r"nothing was checked: .*'renamed'"):
        report.require_asked()


@pytest.mark.parametrize(
    ("digests", "message"),
    [
        (
            {"base": "", "tone": "b" * 64},
            "'tone' was answered by bbbbbbbbbbbb, but aaaaaaaaaaaa was deployed",
        ),
        ({"base": "", "tone": ""}, "answered by the base model"),
        ({"base": ""}, "'tone' was deployed and is not served"),
    ],
)
def test_another_one_or_none_is_not_what_was_deployed(digests: dict[str, str], message: str) -> None:
    with Scripted(digests) as endpoint, pytest.raises(VerificationFailed, match=message):
        check_endpoint(endpoint, "base", {"tone": DIGEST}, (), timeout_seconds=1)
