"""`remora eval`'s scores, over HTTP against a scripted endpoint, and its file of pairs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.endpoint_builder import (
    BASE,
    KEY,
    KEYS,
    TONE_DIGEST,
    RunningEndpoint,
    WatchedEngine,
    echo_engine,
)
from tests.cli.command import User

from remora.engine.base import GenerationRequest, TokenStream
from remora.engine.echo import CHOSEN_LOGPROB
from remora.errors import InvalidFile, InvalidInput, NotOffered, UnsupportedParameter
from remora.rollout.endpoint import Endpoint
from remora.rollout.evaluation import harness
from remora.rollout.evaluation.harness import metrics_of
from remora.rollout.evaluation.kept_scores import FILE, keep_scores, kept_scores
from remora.rollout.evaluation.questions import Question
from remora.rollout.evaluation.scores import Measure, chosen_models, evaluate, read_pairs
from remora.server.settings import ServerSettings

PAIRS = [
    Question("yes", "yes"),
    Question("no", "yes"),
    Question("yes", "yes", system="Be kind."),
    Question("yes", " yes\n"),
]


class ScoringNothing(WatchedEngine):
    def submit(self, request: GenerationRequest) -> TokenStream:
        if request.sampling.prompt_logprobs is not None:
            raise UnsupportedParameter("'echo' with 'logprobs' is not supported", param="echo")
        return super().submit(request)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    settings = ServerSettings(api_keys=KEYS, chat_page=False)
    with RunningEndpoint(settings, echo_engine) as running, Endpoint(running.url, KEY) as made:
        yield made


def test_a_model_is_scored_by_what_it_answers_and_by_what_it_thinks(endpoint: Endpoint) -> None:
    told: list[int] = []
    found = evaluate(endpoint, BASE, PAIRS, told.append)
    assert told == [1, 2, 3, 4]
    assert (found.pairs, found.digest, found.accuracy.value) == (4, "", 0.75)
    assert 0 <= found.accuracy.low < 0.75 < found.accuracy.high <= 1
    assert found.nll is not None
    assert math.isclose(found.nll.value, -CHOSEN_LOGPROB)
    tone = evaluate(endpoint, f"tone@{TONE_DIGEST[:8]}", PAIRS[:1])
    assert (tone.digest, tone.accuracy) == (TONE_DIGEST, Measure(0.0, 0.0, 0.0))


def test_the_same_scores_have_the_same_interval(endpoint: Endpoint) -> None:
    assert evaluate(endpoint, BASE, PAIRS) == evaluate(endpoint, BASE, PAIRS)


def test_an_engine_that_scores_no_prompts_still_has_an_accuracy() -> None:
    settings = ServerSettings(api_keys=KEYS, chat_page=False)
    with RunningEndpoint(settings, ScoringNothing) as running, Endpoint(running.url, KEY) as made:
        found = evaluate(made, BASE, PAIRS)
    assert (found.accuracy.value, found.nll) == (0.75, None)


def test_models_are_those_that_are_served() -> None:
    assert chosen_models(["base", "tone"], []) == ["base", "tone"]
    assert chosen_models(["base", "tone"], ["tone@0badcafe"]) == ["tone@0badcafe"]
    with pytest.raises(InvalidInput, match="does not serve 'toon'"):
        chosen_models(["base", "tone"], ["tone", "toon"])


def test_pairs_are_read_from_lines(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(
        '{"prompt": "a", "answer": "b"}\r\n\n{"prompt": "c\u2028", "answer": "d", "system": "e"}\n'
    )
    assert read_pairs(file) == [Question("a", "b"), Question("c\u2028", "d", "e")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 pairs"),
        ('{"prompt": "a", "answer": "b"}\n{"prompt": "a"', "pairs.jsonl:2 is not JSON"),
        ("[1]", ":1: 'prompt' is no text"),
        ('{"prompt": "a"}', ":1: 'answer' is no text"),
        ('{"prompt": "a", "answer": ""}', ":1: 'answer' is no text"),
        ('{"prompt": "a", "answer": "b", "system": 5}', ":1: 'system' is no text"),
        ('{"prompt": "a", "answer": "b", "score": 5}', ":1: 'score' is no text"),
        (b"\xff".decode("latin-1"), None),
    ],
)
def test_what_is_no_pair_is_named_with_its_line(tmp_path: Path, text: str, said: str | None) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidFile, match=said or "cannot be read"):
        read_pairs(file)


def test_the_harness_numbers_have_intervals_where_their_error_is_known() -> None:
    results = {"tiny": {"alias": "tiny", "acc,none": 0.5, "acc_stderr,none": 0.1, "bleu,flexible": 3.0}}
    acc, bleu = metrics_of(results)
    assert (acc.task, acc.name, acc.value) == ("tiny", "acc", 0.5)
    assert acc.low is not None
    assert math.isclose(acc.low, 0.304)
    assert (bleu.name, bleu.low, bleu.high) == ("bleu (flexible)", None, None)


@pytest.mark.parametrize("flags", [(), ("--pairs", "x.jsonl", "--tasks", "arc_easy")])
def test_pairs_or_tasks_are_measured_and_not_both(tmp_path: Path, flags: tuple[str, ...]) -> None:
    ran = User(tmp_path).run("eval", str(tmp_path), *flags)
    assert (ran.code, ran.document["error"]["code"]) == (2, "invalid_value")
    assert "either --pairs or --tasks" in ran.message


def test_without_the_harness_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "PACKAGE", "no_such_package")
    with pytest.raises(NotOffered) as caught:
        harness.check_installed()
    assert "pip install 'remora[eval]'" in caught.value.hint


def test_the_command_says_what_is_wrong_with_its_file_before_it_looks_for_a_cloud(tmp_path: Path) -> None:
    ran = User(tmp_path).run("eval", str(tmp_path), "--pairs", str(tmp_path / "nothing.jsonl"))
    assert (ran.code, ran.document["error"]["code"]) == (2, "invalid_file")
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps({"prompt": "a", "answer": "b"}))
    assert User(tmp_path).run("eval", str(tmp_path), "--pairs", str(file)).code == 3


def test_scores_of_each_version_are_kept_and_the_same_version_is_replaced(tmp_path: Path) -> None:
    assert kept_scores(tmp_path) == []
    keep_scores(tmp_path, "pairs.jsonl", [{"model": "tone@3f9a12cd", "adapter_digest": "3f9a", "pairs": 1}])
    keep_scores(tmp_path, "pairs.jsonl", [{"model": "tone", "adapter_digest": "0bad", "pairs": 2}])
    keep_scores(tmp_path, "arc_easy", [{"model": "tone", "adapter_digest": "0bad", "metrics": []}])
    path = keep_scores(tmp_path, "pairs.jsonl", [{"model": "tone", "adapter_digest": "3f9a", "pairs": 3}])
    assert path == tmp_path / FILE
    assert [
        (entry["source"], entry["adapter_digest"], entry.get("pairs")) for entry in kept_scores(tmp_path)
    ] == [
        ("pairs.jsonl", "0bad", 2),
        ("arc_easy", "0bad", None),
        ("pairs.jsonl", "3f9a", 3),
    ]
    assert {entry["model"] for entry in kept_scores(tmp_path)} == {"tone"}


@pytest.mark.parametrize("text", ["[]", '{"evaluations": 5}', '{"evaluations": [5]}', "{"])
def test_a_file_that_is_not_one_of_scores_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InvalidFile, match="evaluation"):
        keep_scores(tmp_path, "pairs.jsonl", [{"model": "tone", "adapter_digest": "3f9a"}])
    assert (tmp_path / FILE).read_text() == text
