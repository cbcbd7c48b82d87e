"""Numbers that cannot be computed with are found with numpy and without, wherever a chunk begins."""

from __future__ import annotations

import numpy as np
import pytest

from remora.adapters.peft import weight_numbers
from remora.adapters.peft.weight_numbers import LIMIT, unusable_number

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


@pytest.mark.parametrize("with_numpy", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("value", "told"),
    [(np.nan, "NaN"), (-np.inf, "-inf"), (np.inf, "inf"), (LIMIT, "5.6295e+14"), (-1.5, "")],
)
def test_the_number_is_found_and_told(
    monkeypatch: pytest.MonkeyPatch, dtype: str, value: float, told: str, with_numpy: bool
) -> None:
    if not with_numpy:
        monkeypatch.setattr(weight_numbers, "_numpy", lambda: None)
    numbers = np.linspace(-3, 3, 999).astype(DTYPES[dtype])
    with np.errstate(over="ignore"):
        numbers[500] = value
    if dtype == "F16" and value == LIMIT:
        told = "inf"
    assert unusable_number(memoryview(numbers.tobytes()), dtype) == told
    assert unusable_number(memoryview(numbers.tobytes())[3:], dtype, 3) == told


@pytest.mark.parametrize("with_numpy", [True, False])
def test_just_below_the_limit_is_usable(monkeypatch: pytest.MonkeyPatch, with_numpy: bool) -> None:
    if not with_numpy:
        monkeypatch.setattr(weight_numbers, "_numpy", lambda: None)
    below = np.nextafter(np.float32(LIMIT), np.float32(0), dtype=np.float32)
    assert unusable_number(memoryview(np.array([1, below], np.float32).tobytes()), "F32") == ""
    brain = (np.array([1, below], np.float32).view(np.uint32) >> 16).astype("<u2")
    assert unusable_number(memoryview(brain.tobytes()), "BF16") == ""
    brain[1] = 0x7FC0
    assert unusable_number(memoryview(brain.tobytes()), "BF16") == "NaN"


def test_whole_numbers_are_not_looked_at() -> None:
    assert unusable_number(memoryview(b"\xff" * 8), "I8") == ""
    assert unusable_number(memoryview(b""), "F32") == ""
