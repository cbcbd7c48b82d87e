"""A comparison over HTTP against a scripted endpoint: what is asked, computed, and shown in the report."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.api.endpoint_builder import BASE, KEY, KEYS, TONE_DIGEST, RunningEndpoint, echo_engine
from tests.cli.command import User
from tests.rollout.test_rollout_evaluation import ScoringNothing

from remora.cli.commands.compare import told_of_an_interrupt
from remora.engine.echo import CHOSEN_LOGPROB
from remora.errors import Interrupted, InvalidFile, InvalidInput, NotReady
from remora.rollout.compare.asking import Told
from remora.rollout.compare.comparison import Comparison, compare
from remora.rollout.compare.contestants import Contestant, Wanted, parse_models
from remora.rollout.compare.document import document_of, encoded
from remora.rollout.compare.gathering import Gathered, Limits, gather
from remora.rollout.compare.markdown import markdown_of
from remora.rollout.compare.plots import interval_plot, nice_ticks
from remora.rollout.compare.questions import GENERAL_PROMPTS, questions_of
from remora.rollout.compare.report import heat_share, html_of
from remora.rollout.compare.scorers import find_scorer
from remora.rollout.compare.words import Piece, word_differences
from remora.rollout.endpoint import Endpoint
from remora.rollout.evaluation.questions import Question
from remora.server.settings import ServerSettings

QUESTIONS = [
    Question("yes <b>", "yes <b>"),
    Question("no", "3f9a12cd3f9a:no"),
    Question("any", system="Be kind."),
]
LIMITS = Limits(heat_prompts=2, parallel=4)
SETTINGS = ServerSettings(api_keys=KEYS, chat_page=False)
WHEN = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with RunningEndpoint(SETTINGS, echo_engine) as running, Endpoint(running.url, KEY) as made:
        yield made


def contestants(endpoint: Endpoint) -> list[Contestant]:
    return [
        Contestant("base", endpoint, BASE),
        Contestant("tone", endpoint, f"tone@{TONE_DIGEST[:8]}"),
        Contestant("tone*0.5", endpoint, "tone", 0.5),
    ]


@pytest.fixture(scope="module")
def comparison(endpoint: Endpoint) -> Comparison:
    return compare(QUESTIONS, gather(contestants(endpoint), QUESTIONS, LIMITS))


@pytest.fixture(scope="module")
def document(comparison: Comparison) -> dict[str, Any]:
    return document_of(comparison, LIMITS, source="mine.jsonl", made_at=WHEN)


def test_every_model_is_asked_everything_and_progress_is_told(endpoint: Endpoint) -> None:
    told: list[tuple[int, int]] = []
    found = gather(contestants(endpoint), QUESTIONS, LIMITS, lambda *counts: told.append(counts))
    texts = [[answer.text for answer in one.answers] for one in found]
    short = TONE_DIGEST[:12]
    assert texts[0] == ["yes <b>", "no", "any"]
    assert texts[1] == [f"{short}:yes <b>", f"{short}:no", f"{short}:any"]
    assert texts[2] == [f"{short}*0.5:{text}" for text in texts[0]]
    assert all(len(one.general) == len(GENERAL_PROMPTS) for one in found)
    assert [len(one.heat) for one in found] == [0, 2, 2]
    assert told[-1][0] == told[-1][1] == len(told)


def test_figures_are_of_the_prompts_with_an_expected_answer(comparison: Comparison) -> None:
    base, tone, half = comparison.models
    assert [one.figures["accuracy"].measure.value for one in (base, tone, half)] == [0.5, 0.5, 0.0]
    difference = tone.figures["accuracy"].difference
    assert difference is not None
    assert difference.low < difference.value == 0 < difference.high
    assert base.figures["nll"].measure.value == pytest.approx(-CHOSEN_LOGPROB)
    assert base.figures["nll"].difference is None
    assert tone.per_prompt["accuracy"] == [0.0, 1.0, None]
    assert (tone.changed_answers, base.changed_answers) == (3, 0)
    assert tone.drift is not None
    assert tone.drift.value == 0  # the echo engine's log-probabilities are those of the text alone
    assert tone.said.digest == TONE_DIGEST


def test_the_same_answers_give_the_same_bytes_but_for_the_times(
    endpoint: Endpoint, document: dict[str, Any]
) -> None:
    again = compare(QUESTIONS, gather(contestants(endpoint), QUESTIONS, LIMITS))
    other = document_of(again, LIMITS, source="mine.jsonl", made_at=WHEN) | {"timings": document["timings"]}
    assert html_of(other) == html_of(document)
    assert encoded(other) == encoded(document)
    assert markdown_of(other) == markdown_of(document)


class Tags(HTMLParser):
    """Every tag with its attributes, and whether what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()


def test_the_report_is_one_whole_page_that_loads_nothing(document: dict[str, Any]) -> None:
    page, tags = html_of(document), Tags()
    tags.feed(page)
    assert tags.open == []
    assert not [name for tag, attrs in tags.found for name in attrs if name in ("src", "srcset", "action")]
    assert all(str(attrs.get("href", "#")).startswith("#") for _, attrs in tags.found)
    assert "url(" not in page
    assert "@import" not in page
    assert "yes &lt;b&gt;" in page
    assert "<b>yes" not in page
    pictures = [attrs for tag, attrs in tags.found if tag == "svg"]
    assert len(pictures) == 3
    assert all(attrs["role"] == "img" and "95 %" in str(attrs["aria-label"]) for attrs in pictures)


def test_the_verdict_comes_first_and_says_how_sure_it_is(document: dict[str, Any]) -> None:
    first, second = (one["text"] for one in document["verdicts"])
    assert first.startswith("No difference is seen between tone and base on 2 prompts: +0.00 accuracy [-")
    assert first.endswith("; no drift seen on 24 general prompts")
    assert second.startswith(
        "No difference is seen between tone*0.5 and base on 2 prompts: -0.50 accuracy [-"
    )
    page = html_of(document)
    assert page.index(first) < page.index('id="summary"')


def answered(label: str, texts: Sequence[str], endpoint: Endpoint) -> Gathered:
    told = [Told(text, "stop", (1,), (2,), "", 0.1, 0.01, 9.0) for text in texts]
    general = [told[0]] * len(GENERAL_PROMPTS)
    return Gathered(Contestant(label, endpoint, label), told, [None] * len(told), general=general)


def test_a_model_is_better_where_the_interval_leaves_out_zero(endpoint: Endpoint) -> None:
    asked = [Question("a", "right")] * 40
    base, good = (
        answered("base", ["wrong"] * 40, endpoint),
        answered("good", ["right"] * 38 + ["x"] * 2, endpoint),
    )
    made = document_of(compare(asked, [base, good]), LIMITS, source="x")
    assert made["verdicts"][0]["outcome"] == "better"
    assert made["verdicts"][0]["text"].startswith(
        "good is better than base on 40 prompts: +0.95 accuracy [0."
    )
    made = document_of(compare(asked, [good, base]), LIMITS, source="x")
    assert made["verdicts"][0]["outcome"] == "worse"


def test_without_expected_answers_it_says_so(endpoint: Endpoint) -> None:
    one, other = (answered(name, [f"{name} a", "b"], endpoint) for name in ("x", "y"))
    made = document_of(compare([Question("?")] * 2, [one, other]), LIMITS, source="x")
    assert made["verdicts"][0] == {
        "model": "y",
        "outcome": "unknown",
        "text": "y answers 1 of 2 prompts otherwise than x; no expected answers to judge by;"
        " drift was not measured",
    }
    assert "nothing to plot" in html_of(made)


def test_an_engine_that_scores_no_prompts_is_compared_by_its_answers() -> None:
    with RunningEndpoint(SETTINGS, ScoringNothing) as running, Endpoint(running.url, KEY) as made:
        found = compare(QUESTIONS, gather(contestants(made)[:2], QUESTIONS, LIMITS))
    assert set(found.models[1].figures) == {"accuracy"}
    assert found.models[1].drift is None
    assert "drift was not measured" in html_of(document_of(found, LIMITS, source="x"))


def test_the_markdown_escapes_what_models_say(document: dict[str, Any]) -> None:
    text = markdown_of(document)
    assert "| base | 0.500 [" in text
    assert "yes &lt;b&gt;" in text
    assert f"{TONE_DIGEST[:12]}\\*0.5:no" in text
    assert "2 of 3" not in text.splitlines()[0]


def test_words_that_differ_are_marked_and_spaces_belong_to_them() -> None:
    assert word_differences("Arr! the yer cat", "the your cat") == (
        Piece("Arr!", shared=False),
        Piece(" the ", shared=True),
        Piece("yer", shared=False),
        Piece(" cat", shared=True),
    )
    assert word_differences("two new words", "other") == (Piece("two new words", shared=False),)
    assert word_differences("", "x") == ()
    assert word_differences("नमस्ते दुनिया", "नमस्ते")[0].shared


@pytest.mark.parametrize(
    "low_high", [(0.0, 1.0), (-0.1, 0.976), (0.0, 13.75), (-21.8, 1.85), (0, 1e-7), (3, 3)]
)
def test_axes_have_round_numbers_and_hold_what_they_show(low_high: tuple[float, float]) -> None:
    ticks = nice_ticks(*low_high)
    assert ticks[0] <= low_high[0] + 1e-9
    assert ticks[-1] >= low_high[1] - 1e-9
    assert 3 <= len(ticks) <= 9


def test_a_plot_places_its_numbers_on_its_axis() -> None:
    plot = interval_plot("t", "u", [("a", {"value": 0.5, "low": 0.0, "high": 1.0})])
    (row,) = plot.rows
    by_text = {float(tick.text): tick.at for tick in plot.ticks}
    assert (row.low, row.high) == (by_text[0.0], by_text[1.0])
    assert row.value == pytest.approx((row.low + row.high) / 2)
    assert [heat_share(nats) for nats in (0, 1, 4, 40)] == [0, 50, 100, 100]


def test_models_are_named_as_users_name_them() -> None:
    served = ["tone-base", "tone", "pirate"]
    assert parse_models("", served) == [Wanted(name, name) for name in served]
    assert parse_models("base, tone*0.5,tone@previous", served) == [
        Wanted("base", "tone-base"),
        Wanted("tone*0.5", "tone", 0.5),
        Wanted("tone@previous", "tone@previous"),
    ]
    for text, said in [
        ("base", "1 models are named"),
        ("base,toon", "does not serve 'toon'"),
        ("base,tone,tone", "'tone' is named twice"),
        ("base,tone*9", "asks for strength 9"),
    ]:
        with pytest.raises(InvalidInput, match=said):
            parse_models(text, served)


def test_prompts_are_read_from_lines_or_from_the_golden_ones(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "a"}\n\n{"prompt": "b", "answer": "c", "system": "d"}\n')
    assert questions_of(str(file), tmp_path) == [Question("a"), Question("b", "c", "d")]
    (tmp_path / "golden.toml").write_text(
        "".join(f'[[prompt]]\nmodel = "{model}"\nuser = "hi"\nanswer = "x"\n' for model in ("a", "b"))
    )
    assert questions_of("golden", tmp_path) == [Question("hi")]
    with pytest.raises(InvalidFile, match="has no prompts"):
        questions_of("golden", tmp_path / "elsewhere")
    for text, said in [
        ("", "has 0 prompts"),
        ("{", ":1 is not JSON"),
        ('{"answer": "x"}', "'prompt' is no text"),
        ('{"prompt": "x", "score": "y"}', "'score' is no text"),
        ('{"prompt": "x", "answer": 1}', "'answer' is no text"),
    ]:
        file.write_text(text)
        with pytest.raises(InvalidFile, match=said):
            questions_of(str(file), tmp_path)


def test_a_scorer_of_the_users_own_scores_every_answer(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "my_scores_for_compare.py").write_text(
        "def short(prompt, expected, answer):\n    return len(answer) < 5\n"
        "def broken(prompt, expected, answer):\n    return answer\n"
        "def failing(prompt, expected, answer):\n    return 1 / 0\n"
    )
    scorer = find_scorer("my_scores_for_compare:short", tmp_path)
    found = compare(
        QUESTIONS,
        [answered("x", ["yes", "no", "any"], endpoint), answered("y", ["longer"] * 3, endpoint)],
        [scorer],
    )
    assert [one.figures[scorer.name].measure.value for one in found.models] == [1.0, 0.0]
    assert scorer.name in html_of(document_of(found, LIMITS, source="x"))
    with pytest.raises(InvalidInput, match="returned 'yes', which is no number"):
        find_scorer("my_scores_for_compare:broken", tmp_path)("p", "", "yes")
    with pytest.raises(InvalidInput, match="failed with ZeroDivisionError"):
        find_scorer("my_scores_for_compare:failing", tmp_path)("p", "", "yes")
    for name, said in [
        ("nothing", "is no scorer"),
        ("no_such_module:f", "cannot be imported"),
        ("json:f", "no function"),
    ]:
        with pytest.raises(InvalidInput, match=said):
            find_scorer(name, tmp_path)


def test_an_error_names_the_prompt(endpoint: Endpoint) -> None:
    asked = [Question("short"), Question("x" * 5000)]
    with pytest.raises(InvalidInput, match="prompt 2: "):
        gather(contestants(endpoint)[:2], asked, LIMITS)


def test_an_endpoint_that_does_not_answer_is_named() -> None:
    with (
        Endpoint("http://127.0.0.1:9", KEY) as gone,
        pytest.raises(NotReady, match="does not answer"),
    ):
        gather(contestants(gone)[:2], QUESTIONS, LIMITS)


def test_an_interrupt_ends_the_comparison_and_the_answers() -> None:
    with RunningEndpoint(SETTINGS, echo_engine) as running, Endpoint(running.url, KEY) as made:
        running.hold()

        def interrupt() -> None:
            running.until(lambda stats: stats.running_requests > 0)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(Interrupted, match="no report was written"), told_of_an_interrupt():
            gather(contestants(made), QUESTIONS, LIMITS)
        thread.join()
        running.until(lambda stats: stats.running_requests == 0 and stats.cancelled_requests > 0)


def test_the_command_writes_report_data_and_summary(endpoint: Endpoint, tmp_path: Path) -> None:
    prompts, out = tmp_path / "p.jsonl", tmp_path / "new" / "r.html"
    prompts.write_text('{"prompt": "yes", "answer": "yes"}\n')
    asked = ("--url", endpoint.url, "--prompts", str(prompts), "--markdown", str(tmp_path / "r.md"))
    user = User(tmp_path / "home", {"REMORA_API_KEY": KEY})
    ran = user.run("compare", str(tmp_path), "--models", "base,tone", *asked, "--out", str(out))
    assert ran.code == 0, ran
    assert ran.document["schema"] == "remora.compare/v1"
    assert ran.document["models"][1]["figures"]["accuracy"]["value"] == 0
    data = json.loads(out.with_suffix(".json").read_text())
    assert data["schema"] == "remora.comparison/v1"
    assert html_of({key: value for key, value in data.items() if key != "schema"}) == out.read_text()
    assert (tmp_path / "r.md").read_text().startswith("### Comparison of `base`, `tone`")
    ran = user.run("compare", str(tmp_path), *asked, "--models", "base,tone@previous")
    assert (ran.code, ran.document["error"]["code"]) == (3, "model_not_found")
    assert "'tone' has no previous version here" in ran.message
