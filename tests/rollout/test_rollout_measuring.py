"""The comparison of a candidate with what serves, over HTTP against scripted endpoints; the gate's bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from tests.api.endpoint_builder import (
    BASE,
    KEY,
    KEYS,
    PIRATE_DIGEST,
    TONE_DIGEST,
    RunningEndpoint,
    adapter,
    echo_engine,
)

from remora.adapters.adapter import Digest
from remora.errors import InvalidFile, InvalidInput, VerificationFailed
from remora.project.gate_settings import GateSettings
from remora.project.settings import load_settings
from remora.rollout.compare.comparison import Comparison
from remora.rollout.compare.gathering import Limits
from remora.rollout.endpoint import Endpoint
from remora.rollout.evaluation.questions import Question
from remora.rollout.gates.measuring import Measuring
from remora.server.settings import ServerSettings

FORMER = Digest("aaaa1111" * 8)
QUESTIONS = [Question("yes", f"{TONE_DIGEST[:12]}:yes"), Question("no", "no")]
DIGESTS: Mapping[str, Digest] = {"tone": TONE_DIGEST, "pirate": PIRATE_DIGEST}
SETTINGS = ServerSettings(api_keys=KEYS, chat_page=False)


@pytest.fixture(scope="module")
def candidate() -> Iterator[Endpoint]:
    with RunningEndpoint(SETTINGS, echo_engine) as running, Endpoint(running.url, KEY) as made:
        yield made


@pytest.fixture(scope="module")
def serving() -> Iterator[Endpoint]:
    """It has another `tone`, and no `pirate`."""
    former = (adapter("tone", FORMER),)
    with RunningEndpoint(SETTINGS, adapters=former) as running, Endpoint(running.url, KEY) as made:
        yield made


class Silent:
    """A step that nobody looks at."""

    def __call__(self, text: str) -> None: ...

    def now(self, text: str) -> None: ...

    def reason(self, text: str) -> None: ...


def steps(label: str) -> AbstractContextManager[Silent]:
    return nullcontext(Silent())


def measuring(gate: GateSettings, serving: Endpoint | None, kept: list[Comparison]) -> Measuring:
    return Measuring(BASE, gate, QUESTIONS, lambda: serving, lambda made, _: kept.append(made), Limits())


def test_the_candidate_is_compared_with_the_base_and_with_what_serves(
    candidate: Endpoint, serving: Endpoint
) -> None:
    kept: list[Comparison] = []
    told = measuring(GateSettings(), serving, kept).check(candidate, DIGESTS, steps)
    assert [one.label for one in kept[0].models] == ["base", "tone (serving)", "tone", "pirate"]
    assert [one.said.digest for one in kept[0].models] == ["", FORMER, TONE_DIGEST, PIRATE_DIGEST]
    assert [line.partition(" on ")[0] for line in told] == [
        f"No difference is seen between {name} and base" for name in ("tone (serving)", "tone", "pirate")
    ]


def test_without_anything_that_serves_the_base_alone_is_compared_with(candidate: Endpoint) -> None:
    kept: list[Comparison] = []
    measuring(GateSettings(adapters=("tone",)), None, kept).check(candidate, DIGESTS, steps)
    with Endpoint("http://127.0.0.1:9", KEY) as broken:
        measuring(GateSettings(adapters=("tone",)), broken, kept).check(candidate, DIGESTS, steps)
    assert [[one.label for one in made.models] for made in kept] == [["base", "tone"]] * 2
    assert measuring(GateSettings(adapters=("other",)), None, kept).check(candidate, DIGESTS, steps) == ()


def test_the_bounds_hold_back_what_does_not_reach_them(candidate: Endpoint) -> None:
    reached = GateSettings(adapters=("tone",), min_accuracy=0.5, max_drift=0.0)
    measuring(reached, None, []).check(candidate, DIGESTS, steps)
    kept: list[Comparison] = []
    with pytest.raises(VerificationFailed, match=r"tone has an accuracy of 0\.500, and .* is 0\.6") as caught:
        measuring(replace(reached, min_accuracy=0.6), None, kept).check(candidate, DIGESTS, steps)
    assert caught.value.exit_code == 8
    assert len(kept) == 1  # the report is there to be looked at
    with pytest.raises(VerificationFailed, match="pirate has an accuracy of 0"):
        measuring(replace(reached, adapters=()), None, []).check(candidate, DIGESTS, steps)
    with pytest.raises(VerificationFailed, match="tone drifts by 0"):
        measuring(replace(reached, max_drift=-1.0), None, []).check(candidate, DIGESTS, steps)


def test_a_bound_for_an_adapter_that_is_not_there_is_refused(candidate: Endpoint) -> None:
    misspelt = GateSettings(adapters=("tone", "tnoe"), max_drift=100)
    with pytest.raises(InvalidFile, match="adapters names tnoe") as caught:
        measuring(misspelt, None, []).check(candidate, DIGESTS, steps)
    assert caught.value.param == "gate.adapters"


def test_a_bound_on_accuracy_needs_expected_answers() -> None:
    with pytest.raises(InvalidFile, match="no prompt of golden has an expected answer"):
        Measuring(
            BASE, GateSettings(min_accuracy=0.9), [Question("x")], lambda: None, lambda *_: None, Limits()
        )


def test_the_gate_is_read_from_file_and_environment(tmp_path: Path) -> None:
    text = '[gate]\nprompts = "p.jsonl"\nadapters = ["tone"]\nmin_accuracy = 0.9\nmax_drift = 1\n'
    (tmp_path / "remora.toml").write_text(text)
    assert load_settings(tmp_path, {}).gate == GateSettings("p.jsonl", ("tone",), 0.9, 1.0)
    assert load_settings(tmp_path, {"REMORA_GATE_MIN_ACCURACY": "0.25"}).gate.min_accuracy == 0.25
    assert not load_settings(tmp_path / "elsewhere", {}).gate.asks
    for wrong in ("min_accuracy = 1.5", "min_accuracy = true", 'max_drift = "x"', "max_drift = nan"):
        (tmp_path / "remora.toml").write_text(f"[gate]\n{wrong}\n")
        with pytest.raises(InvalidFile, match="expected a number from 0 to"):
            load_settings(tmp_path, {})
    with pytest.raises(InvalidInput, match="REMORA_GATE_MAX_DRIFT='much': expected a number"):
        load_settings(tmp_path / "elsewhere", {"REMORA_GATE_MAX_DRIFT": "much"})
