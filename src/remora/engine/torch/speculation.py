"""Whether a step computes guesses at what its texts say next, and how many rows it may then have."""

from __future__ import annotations

import torch

from remora.engine.torch.native.levels import Level, level_here
from remora.errors import InvalidInput, listed

CHOICES = ("auto", "off")
TILE_ROWS, REGISTER_ROWS = 16, 4


def rows_with_drafts(speculation: str, rows_at_once: int) -> int:
    """The most rows of a step with guesses; 0 where there are to be none.

    `auto` fills up what a step computes at once, so requests take the place of guesses. Raises InvalidInput
    for what is none of CHOICES.
    """
    if speculation not in CHOICES:
        raise InvalidInput(
            f"speculation {speculation!r} is none of {listed(CHOICES)}", param="serve.speculation"
        )
    return rows_at_once if speculation == "auto" else 0


def rows_at_once(device: torch.device) -> int:
    """Up to how many rows a step costs little more than one: as many as its products multiply at once."""
    return TILE_ROWS if device.type != "cpu" or level_here() >= Level.AMX else REGISTER_ROWS
