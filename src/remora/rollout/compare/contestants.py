"""The models of a comparison, as users name them: `base`, `tone`, `tone@DIGEST`, `tone*0.5`. Asks nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from remora.errors import InvalidInput, listed
from remora.rollout.endpoint import Endpoint

BASE_WORD = "base"  # stands for the base model, whatever its name is
MOST_MODELS = 8
MOST_SCALE = 1.5  # the endpoint's own limit
_STRENGTH = re.compile(r"(?P<name>.+)\*(?P<scale>\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entry of `--models`: the name for the endpoint and the adapter's strength."""

    label: str
    model: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model that is compared, and the endpoint that serves it; perhaps without its update in one layer."""

    label: str
    endpoint: Endpoint
    model: str
    scale: float = 1.0
    without_layer: int | None = None


def parse_models(text: str, served: Sequence[str]) -> list[Wanted]:
    """The models of a comma-separated list; all of `served`, where the base is first, if it is empty.

    Raises InvalidInput for a name that is not served, a wrong strength, or fewer than two models.
    """
    wanted = [_wanted(part.strip(), served) for part in text.split(",") if part.strip()]
    wanted = wanted or [Wanted(name, name) for name in served[:MOST_MODELS]]
    labels = [one.label for one in wanted]
    repeated = next((label for label in labels if labels.count(label) > 1), None)
    if repeated:
        raise InvalidInput(f"{repeated!r} is named twice", hint="name it once", param="--models")
    if not 2 <= len(wanted) <= MOST_MODELS:
        raise InvalidInput(
            f"{len(wanted)} models are named, and a comparison is of 2 … {MOST_MODELS}",
            hint=f"choose from {listed(served)}, for example: --models {','.join(served[:2])}",
            param="--models",
        )
    return wanted


def adapter_name(model: str) -> str:
    """The adapter's name in a model's, without a version."""
    return model.partition("@")[0]


def _wanted(text: str, served: Sequence[str]) -> Wanted:
    found = _STRENGTH.fullmatch(text)
    name, scale = (found["name"], float(found["scale"])) if found else (text, 1.0)
    if scale > MOST_SCALE:
        raise InvalidInput(
            f"{text!r} asks for strength {scale:g}",
            hint=f"use a strength from 0 to {MOST_SCALE:g}",
            param="--models",
        )
    if name == BASE_WORD and BASE_WORD not in served:
        name = served[0]
    if adapter_name(name) not in served:
        raise InvalidInput(
            f"the endpoint does not serve {name!r}", hint=f"choose from {listed(served)}", param="--models"
        )
    return Wanted(text, name, scale)
