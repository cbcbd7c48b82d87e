"""Scores of the user's own: `--scorer module:function`. Owns how they are found and called.

The function gets a prompt, the expected answer ("" for none) and the model's answer, and returns a number, or
True and False. It runs in this process, as the user's own code.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from remora.errors import InvalidInput, said

_HINT = "write: def score(prompt: str, expected: str, answer: str) -> float"


@dataclass(frozen=True, slots=True)
class Scorer:
    """A function of the user's own, by the name that they gave."""

    name: str
    function: Callable[[str, str, str], object]

    def __call__(self, prompt: str, expected: str, answer: str) -> float:
        """Raises InvalidInput if the function fails or returns no number."""
        try:
            value = self.function(prompt, expected, answer)
        except Exception as error:  # whatever the user's code raises
            raise InvalidInput(
                f"scorer {self.name} failed with {type(error).__name__}: {said(error)}",
                hint=_HINT,
                param="--scorer",
            ) from error
        if not isinstance(value, int | float) or not isfinite(value):
            raise InvalidInput(
                f"scorer {self.name} returned {value!r}, which is no number", hint=_HINT, param="--scorer"
            )
        return float(value)


def find_scorer(name: str, folder: Path) -> Scorer:
    """The function `module:function` of the project's folder or an installed package. Raises InvalidInput."""
    module, colon, function = name.partition(":")
    if not module or not colon or not function:
        raise InvalidInput(f"{name!r} is no scorer", hint="write --scorer module:function", param="--scorer")
    sys.path.insert(0, str(folder.resolve()))
    try:
        found = getattr(importlib.import_module(module), function, None)
    except Exception as error:  # whatever importing the user's code raises
        raise InvalidInput(
            f"module {module!r} of scorer {name} cannot be imported: {said(error)}",
            hint="put it in the project's folder, or install it",
            param="--scorer",
        ) from error
    finally:
        sys.path.pop(0)
    if not callable(found):
        raise InvalidInput(f"module {module!r} has no function {function!r}", hint=_HINT, param="--scorer")
    return Scorer(name, found)
