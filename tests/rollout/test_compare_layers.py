"""Layers that are switched off, over HTTP against a scripted endpoint: what is asked, computed and shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.api.endpoint_builder import BASE, KEY, KEYS, RunningEndpoint, WatchedEngine, echo_engine

from remora.engine.base import GenerationRequest, TokenStream
from remora.errors import EngineFailed, NotReady, UnsupportedParameter
from remora.rollout.compare.comparison import compare
from remora.rollout.compare.contestants import Contestant
from remora.rollout.compare.document import document_of
from remora.rollout.compare.gathering import Gathered, Limits, SwitchedOff, gather
from remora.rollout.compare.layers import Layer
from remora.rollout.compare.plots import BARS_HEIGHT, TOP, bar_plot
from remora.rollout.compare.report import html_of
from remora.rollout.compare.switching import MOST_PROMPTS, switch_off_layers
from remora.rollout.endpoint import Endpoint
from remora.rollout.evaluation.questions import Question
from remora.server.settings import ServerSettings

QUESTIONS = [Question(f"prompt {number}") for number in range(MOST_PROMPTS + 2)]
LIMITS = Limits(parallel=4)
SETTINGS = ServerSettings(api_keys=KEYS, chat_page=False)
LAYERS = [Layer(0, 3.0), Layer(1, 1.5), Layer(2, 0.0), Layer(None, 2.0)]
Asked = tuple[bool, float, int | None]


class RequestingEngine(WatchedEngine):
    """Remembers of each text to score if it is for an adapter, its scale, and the layer that is left out."""

    asked: list[Asked]

    def submit(self, request: GenerationRequest) -> TokenStream:
        if request.sampling.prompt_logprobs is not None:
            self.asked.append(
                (request.adapter is not None, request.adapter_scale, request.adapter_without_layer)
            )
        return super().submit(request)


class Refusing(RequestingEngine):
    """Has no layer to switch off, and says so as the torch engine does of an adapter with a DoRA."""

    def submit(self, request: GenerationRequest) -> TokenStream:
        stream = super().submit(request)
        if request.adapter_without_layer is not None:
            raise UnsupportedParameter("<it> is applied whole", param="adapter_without_layer")
        return stream


class Failing(RequestingEngine):
    def submit(self, request: GenerationRequest) -> TokenStream:
        if request.adapter_without_layer == 1:
            raise EngineFailed("the device is gone")
        return super().submit(request)


def made_by(kind: type[RequestingEngine], asked: list[Asked]) -> Any:
    def make() -> RequestingEngine:
        engine = kind()
        engine.asked = asked
        for adapter in echo_engine()._adapters.values():
            engine.load_adapter(adapter)
        return engine

    return make


def contestants(endpoint: Endpoint) -> list[Contestant]:
    return [Contestant("base", endpoint, BASE), Contestant("tone*0.5", endpoint, "tone", 0.5)]


def layers_of(one: Gathered) -> Sequence[Layer]:
    return LAYERS if one.digest else ()


@pytest.fixture(scope="module")
def found() -> Iterator[list[Gathered]]:
    with RunningEndpoint(SETTINGS, echo_engine) as running, Endpoint(running.url, KEY) as made:
        yield gather(contestants(made), QUESTIONS, LIMITS)


@pytest.mark.parametrize("heat_prompts", [0, 2, 12])
def test_each_layer_is_switched_off_for_a_few_answers(heat_prompts: int) -> None:
    asked: list[Asked] = []
    told: list[tuple[int, int]] = []
    limits = replace(LIMITS, heat_prompts=heat_prompts)
    make = made_by(RequestingEngine, asked)
    with RunningEndpoint(SETTINGS, make) as running, Endpoint(running.url, KEY) as made:
        gathered = gather(contestants(made), QUESTIONS, limits)
        asked.clear()
        switch_off_layers(gathered, layers_of, limits, lambda *counts: told.append(counts))
    prompts = min(heat_prompts, MOST_PROMPTS)
    tried = [(True, 0.5, 2)] if prompts else []
    of_each = [(True, 0.0, None), (True, 0.5, None), *((True, 0.5, layer) for layer in (0, 1, 2))]
    assert sorted(asked, key=str) == sorted([*tried, *of_each * prompts], key=str)
    assert told == [(number, 5 * prompts) for number in range(1, 5 * prompts + 1)]
    off = gathered[1].switched_off
    assert (off.prompts if off else 0) == prompts
    assert gathered[0].switched_off is None


def test_an_endpoint_that_cannot_is_asked_once_and_the_report_says_why() -> None:
    asked: list[Asked] = []
    told: list[tuple[int, int]] = []
    with (
        RunningEndpoint(SETTINGS, made_by(Refusing, asked)) as running,
        Endpoint(running.url, KEY) as made,
    ):
        gathered = gather(contestants(made), QUESTIONS, LIMITS)
        asked.clear()
        switch_off_layers(gathered, layers_of, LIMITS, lambda *counts: told.append(counts))
    assert (len(asked), told) == (1, [])
    document, page = shown(gathered)
    off = document["models"][1]["layers_off"]
    assert (off["prompts"], off["kl_nats"], off["refusal"]) == (0, None, "<it> is applied whole")
    assert [layer["kl_share"] for layer in document["models"][1]["layers"]] == [None] * 4
    assert "the endpoint cannot switch off a layer of this adapter: &lt;it&gt; is applied whole." in page
    assert page.count('class="bar"') == 4  # the norms alone


def test_another_error_of_the_endpoint_is_no_refusal() -> None:
    make = made_by(Failing, [])
    with RunningEndpoint(SETTINGS, make) as running, Endpoint(running.url, KEY) as made:
        gathered = gather(contestants(made), QUESTIONS, LIMITS)
        with pytest.raises(NotReady, match="the device is gone"):
            switch_off_layers(gathered, layers_of, LIMITS)


def shown(found: Sequence[Gathered]) -> tuple[dict[str, Any], str]:
    document = document_of(compare(QUESTIONS, found, layers=layers_of), LIMITS, source="x")
    return document, html_of(document)


def with_off(found: Sequence[Gathered], off: SwitchedOff | None) -> list[Gathered]:
    return [found[0], replace(found[1], switched_off=off)]


def test_a_share_is_what_goes_away_of_the_distance_from_the_base(found: list[Gathered]) -> None:
    without = {0: (0.25, 0.25, 0.0), 1: (1.0, 3.0, 1.0), 2: (1.0, 2.0, 1.0)}
    document, page = shown(with_off(found, SwitchedOff(2, (1.0, 2.0, 1.0), without)))
    tone = document["models"][1]
    assert tone["layers_off"] == {"prompts": 2, "tokens": 3, "kl_nats": 1.333333, "refusal": None}
    assert tone["layers"] == [
        {"layer": 0, "norm": 3.0, "kl_nats_without": 0.166667, "kl_share": 0.875},
        {"layer": 1, "norm": 1.5, "kl_nats_without": 1.666667, "kl_share": -0.25},
        {"layer": 2, "norm": 0.0, "kl_nats_without": 1.333333, "kl_share": 0.0},
        {"layer": None, "norm": 2.0, "kl_nats_without": None, "kl_share": None},
    ]
    assert "share of the effect by layer, 3 bars; the largest is 87.5 % in layer 0" in page
    assert page.count('class="bar"') == 4 + 3
    assert "KL(base ‖ tone*0.5) is 1.333 nats a token over 3 tokens of 2 answers" in page
    assert "<td>1.5</td><td>1.667</td><td>-25.0 %</td>" in page
    assert "<td>2</td><td>\u2013</td><td>\u2013</td>" in page


@pytest.mark.parametrize(
    ("off", "why"),
    [
        (None, "because none has a heat-map"),
        (SwitchedOff(1, (9e-5, 9e-5), {0: (0.0, 0.0)}), "9e-05 nats a token, is so small that it could be"),
    ],
)
def test_where_there_is_no_share_the_report_says_why(
    found: list[Gathered], off: SwitchedOff | None, why: str
) -> None:
    document, page = shown(with_off(found, off))
    assert all(layer["kl_share"] is None for layer in document["models"][1]["layers"])
    assert why in page
    assert "Share</th>" not in page


def test_bars_below_zero_hang_from_the_axis() -> None:
    plot = bar_plot("t", "w", [("0", 80.0), ("1", -20.0), ("2", 0.0)], (-20.0, 80.0), " %")
    by_text = {tick.text: tick.at for tick in plot.y_ticks}
    assert (by_text["80 %"], by_text["-20 %"], by_text["0 %"]) == (TOP, TOP + BARS_HEIGHT, plot.zero_y)
    above, below, none = plot.bars
    assert (above.y, above.y + above.height) == pytest.approx((TOP, plot.zero_y))
    assert (below.y, below.y + below.height) == pytest.approx((plot.zero_y, TOP + BARS_HEIGHT))
    assert (none.y, none.height) == pytest.approx((plot.zero_y, 0))
