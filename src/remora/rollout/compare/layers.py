"""An adapter's layers: how large the update is in each, and which share of the effect goes away without it.

Owns these figures; asks nothing. The effect of an adapter is the mean of KL(base ‖ adapter) over some tokens.
A layer's share of it is 1 - KL(base ‖ adapter without the layer's update) / KL(base ‖ adapter), over the same
tokens: 1 if nothing is left without the layer, 0 if nothing changes, negative if the layer kept the adapter
nearer to the base. Layers build on each other, so the shares need not add up to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum

from remora.adapters.proof import BOUND_NATS
from remora.rollout.compare.gathering import SwitchedOff


@dataclass(frozen=True, slots=True)
class Layer:
    """What an adapter does in one layer. None as the number: in no layer.

    `norm` is the Frobenius norm of B·A times its scaling, `kl_nats_without` what is left of the effect, in
    nats a token, without the layer, and `kl_share` the share that goes away; None where that is not known.
    """

    number: int | None
    norm: float
    kl_nats_without: float | None = None
    kl_share: float | None = None


def effect_nats(off: SwitchedOff) -> float | None:
    """The mean of KL(base ‖ adapter), in nats a token; None where no token was scored."""
    return fsum(off.whole) / len(off.whole) if off.whole else None


def with_shares(layers: Sequence[Layer], off: SwitchedOff | None) -> Sequence[Layer]:
    """The same layers with what was found when each was switched off.

    There is no share of an effect so small that it could be rounding (BOUND_NATS).
    """
    if off is None or not off.whole:
        return layers
    return [_measured(layer, off) for layer in layers]


def _measured(layer: Layer, off: SwitchedOff) -> Layer:
    without = None if layer.number is None else off.without.get(layer.number)
    if without is None:
        return layer
    whole, left = (fsum(each) / len(off.whole) for each in (off.whole, without))
    share = 1 - left / whole if whole >= BOUND_NATS else None
    return replace(layer, kl_nats_without=left, kl_share=share)
