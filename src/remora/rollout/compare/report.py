"""The report as one HTML file that needs nothing else. Owns what is shown; `report.html` owns how it looks.

It is made of the comparison's document alone, so the same document gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from remora.rollout.compare.layer_plots import layer_name, shown_layers
from remora.rollout.compare.plots import WIDTH, IntervalPlot, interval_plot
from remora.rollout.compare.verdict import LITTLE_DRIFT_NATS, NO_DRIFT_NATS
from remora.rollout.compare.words import Piece, word_differences

HERE = files("remora.rollout.compare")
HEAT_FULL_NATS = 4.0
"""From here on a token has the full colour. Half of it is at a quarter, since most distances are small."""

Json = Mapping[str, Any]

_NAMES = {"accuracy": "Accuracy", "nll": "NLL a token"}
_UNITS = {"accuracy": "share of right answers", "nll": "nats a token; lower is better"}


def html_of(document: Json) -> str:
    """The text of the file."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: HERE.joinpath(name).read_text("utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "colour": heat_share,
        "exp100": lambda logprob: 100 * math.exp(logprob),
        "at": lambda number: f"{number:.1f}",
        "layer_name": layer_name,
    }
    text: str = environment.get_template("report.html").render(
        css=Markup(HERE.joinpath("report.css").read_text("utf-8")),  # noqa: S704 - our own files
        js=Markup(HERE.joinpath("report.js").read_text("utf-8")),  # noqa: S704
        document=document,
        models=document["models"],
        reference=document["models"][0],
        figures=_figures(document),
        name_of=lambda figure: _NAMES.get(figure, figure),
        plots=_interval_plots(document),
        layers=shown_layers(document),
        heats=[prompt for prompt in document["prompts"] if any(each["heat"] for each in prompt["answers"])],
        cards=[_card(prompt) for prompt in document["prompts"]],
        timings={one["label"]: one for one in document["timings"]["models"]},
        plot_width=WIDTH,
        no_drift=NO_DRIFT_NATS,
        little_drift=LITTLE_DRIFT_NATS,
        heat_full=HEAT_FULL_NATS,
    )
    return text


def heat_share(kl_nats: float) -> int:
    """How much of the full colour a token has, in percent."""
    return round(100 * math.sqrt(min(1.0, kl_nats / HEAT_FULL_NATS)))


def _figures(document: Json) -> list[str]:
    """The names of the figures that any model has, in the order of the first."""
    return list(dict.fromkeys(name for model in document["models"] for name in model["figures"]))


def _interval_plots(document: Json) -> list[IntervalPlot]:
    reference, *others = document["models"]
    plots = []
    for name in _figures(document):
        rows = [
            (model["label"], difference)
            for model in others
            if (difference := model["figures"].get(name, {}).get("difference"))
        ]
        if rows:
            title = f"{_NAMES.get(name, name)}: difference to {reference['label']}"
            plots.append(interval_plot(title, _UNITS.get(name, "mean of the scorer"), rows, signed=True))
    drifts = [(model["label"], model["drift"]) for model in others if model["drift"]]
    if drifts:
        title = f"Drift from {reference['label']} on general prompts"
        plots.append(interval_plot(title, "KL in nats a token; 0 is no change", drifts))
    return plots


def _card(prompt: Json) -> dict[str, Any]:
    """A prompt with its answers in pieces, and what the buttons above the answers select by."""
    texts = [answer["text"] for answer in prompt["answers"]]
    return {
        **prompt,
        "differs": any(text != texts[0] for text in texts[1:]),
        "wrong": any(answer["figures"].get("accuracy") == 0 for answer in prompt["answers"]),
        "pieces": [_reference_pieces(texts), *(word_differences(text, texts[0]) for text in texts[1:])],
    }


def _reference_pieces(texts: Sequence[str]) -> tuple[Piece, ...]:
    """With two models, the words that the other lacks are marked; with more, no mark would be true of all."""
    if len(texts) == 2:
        return word_differences(texts[0], texts[1])
    return (Piece(texts[0], shared=True),)
