"""What the report shows of each model's layers: two plots, or one and why not the other. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remora.rollout.compare.plots import BarPlot, bar_plot

Json = Mapping[str, Any]
_Bars = Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class ShownLayers:
    """The plots of a model's layers. `no_shares` is why none is of the shares, "" where one is."""

    model: Json
    plots: Sequence[BarPlot]
    no_shares: str


def shown_layers(document: Json) -> list[ShownLayers]:
    """Of each model whose layers are known; the plots of a figure have the same axis for all models."""
    models = [model for model in document["models"] if model["layers"]]
    norms = [_bars(model, "norm") for model in models]
    shares = [_bars(model, "kl_share", 100.0) for model in models]
    norm_ends, share_ends = _ends(norms), _ends(shares)
    shown = []
    for model, norm, share in zip(models, norms, shares, strict=True):
        plots = [bar_plot(model["label"], "norm of the update", norm, norm_ends)]
        if share:
            plots.append(bar_plot(model["label"], "share of the effect", share, share_ends, " %"))
        shown.append(ShownLayers(model, plots, "" if share else _why_no_shares(model)))
    return shown


def layer_name(number: int | None) -> str:
    """What a layer is called; an adapter can have modules that are in none."""
    return "other" if number is None else str(number)


def _bars(model: Json, figure: str, factor: float = 1.0) -> _Bars:
    known = [layer for layer in model["layers"] if layer[figure] is not None]
    return [(layer_name(layer["layer"]), factor * layer[figure]) for layer in known]


def _ends(plots: Sequence[_Bars]) -> tuple[float, float]:
    values = [value for bars in plots for _, value in bars]
    return min(values, default=0.0), max(values, default=0.0)


def _why_no_shares(model: Json) -> str:
    off = model["layers_off"]
    if off is None:
        return "no answer was scored with a layer switched off, because none has a heat-map."
    if off["refusal"]:
        return f"the endpoint cannot switch off a layer of this adapter: {off['refusal']}."
    return f"the effect, {off['kl_nats']:.1g} nats a token, is so small that it could be rounding."
