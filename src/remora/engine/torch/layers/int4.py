"""Matrices in 4 bits with a scale and an offset for a group. Owns reading GPTQ and AWQ, and the product.

A row is cut into groups of 32, 64 or 128 numbers. A group has a scale and an offset: a number is
code * scale + offset. Checkpoints have a zero point instead, and there offset is -zero * scale. How GPTQ and
AWQ lay codes into words of 32 bits (sizes: `adapters/peft/int4_entries.py`; sources: TorchLinear of
GPTQModel, WQLinear_GEMM of AutoAWQ, gptq_gemm of vLLM):

    gptq      code i of a word, from the lowest bits on, is for row 8 r + i of (in, out); of the zero points
              one is taken away in four bits, so 0 is written as 15
    gptq_v2   the same, zero points as they are
    awq       code i of a word is for column 8 c + (0, 2, 4, 6, 1, 3, 5, 7)[i] of (in, out)

GPTQ in the order of activations (desc_act) groups columns that do not lie side by side, and `g_idx` names the
group of each. Columns are sorted by group once, and so is each x before it is multiplied.

In memory scales and offsets are float32, and codes lie as those of nf4, each row up to whole 32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.nn.functional import linear, pad

from remora.adapters.peft.int4_entries import GROUPS, SIZES, WORD_CODES, WORDS
from remora.engine.torch.layers.nf4 import CACHED_NUMBERS, GROUP, SLAB_NUMBERS, in_halves
from remora.engine.torch.layers.weights import BadMatrix

LARGEST = 15
QUANTIZED_GROUP = 64  # of what is quantised here, where rows are whole ones
AWQ_PLACES = [0, 4, 1, 5, 2, 6, 3, 7]  # of the codes of eight columns in a word


class Int4Weights:
    """A matrix (out, in) that is dequantised some rows at a time to be multiplied by."""

    def __init__(
        self, codes: torch.Tensor, scales: torch.Tensor, offsets: torch.Tensor, columns: int
    ) -> None:
        """`codes` are (out, in up to whole 32 / 2) in our order, the others (out, groups) in float32."""
        self.weight = codes
        self.scales = scales
        self.offsets = offsets
        self.shape = (len(codes), columns)
        self.bias: torch.Tensor | None = None
        self.order: torch.Tensor | None = None  # of x's columns, where it is another

    @classmethod
    def of(cls, weight: torch.Tensor) -> Int4Weights:
        """Quantised here: to the nearest of sixteen numbers from the lowest to the highest of a group."""
        columns = weight.shape[1]
        group = next((size for size in (QUANTIZED_GROUP, 32) if columns % size == 0), columns)
        slabs = _some_rows(slice(0, len(weight)), columns, SLAB_NUMBERS)
        made = [_nearest(weight[rows], group) for rows in slabs]
        codes, scales, offsets = (torch.cat(parts) for parts in zip(*made, strict=True))
        return cls(codes, scales, offsets, columns)

    @classmethod
    def joined(cls, parts: Sequence[Int4Weights], bias: torch.Tensor | None) -> Int4Weights:
        """Matrices with equal groups, one below the other; one with an order of its own is alone."""
        codes, scales, offsets = (
            each[0] if len(each) == 1 else torch.cat(each)
            for each in zip(*((part.weight, part.scales, part.offsets) for part in parts), strict=True)
        )
        made = cls(codes, scales, offsets, parts[0].shape[1])
        made.bias, made.order = bias, parts[0].order
        return made

    @property
    def group(self) -> int:
        return self.shape[1] // self.scales.shape[1]

    @property
    def is_streamable(self) -> bool:
        """Whether native code can read it: it has no order of x's columns."""
        return self.group in SIZES and self.order is None

    def move(self, place: torch.device) -> None:
        self.weight, self.scales = self.weight.to(place), self.scales.to(place)
        self.offsets = self.offsets.to(place)
        self.order = None if self.order is None else self.order.to(place)

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        out = x.new_empty((len(x), self.shape[0]))
        if self.order is not None:
            x = x[:, self.order]
        for rows in _some_rows(slice(0, self.shape[0]), self.shape[1], SLAB_NUMBERS):
            out[:, rows] = linear(x, self._rows(rows, x.dtype))
        return out if self.bias is None else out.add_(self.bias)

    def matrix(self) -> torch.Tensor:
        made = self._rows(slice(0, self.shape[0]), torch.float32)
        return made if self.order is None else made[:, self.order.argsort()]

    def _rows(self, rows: slice, dtype: torch.dtype) -> torch.Tensor:
        """Dequantised, some numbers at a time, which stay in a cache."""
        columns = self.shape[1]
        made = torch.empty((rows.stop - rows.start, columns), dtype=dtype, device=self.weight.device)
        for some in _some_rows(rows, columns, CACHED_NUMBERS):
            halves = self.weight[some].view(some.stop - some.start, -1, GROUP // 2)
            codes = torch.cat([halves & LARGEST, halves >> 4], dim=-1).flatten(1)[:, :columns]
            grouped = codes.reshape(len(codes), -1, self.group).float()
            numbers = grouped.mul_(self.scales[some, :, None]).add_(self.offsets[some, :, None])
            made[some.start - rows.start : some.stop - rows.start] = numbers.flatten(1)
        return made


def read_int4(tensors: Mapping[str, torch.Tensor], layout: str, shape: tuple[int, int]) -> Int4Weights:
    """A matrix of a checkpoint, from its parts by their names. Raises BadMatrix."""
    if layout == "awq":
        codes = _codes_of_columns(tensors[WORDS]).t()
        zeros = _codes_of_columns(tensors["qzeros"]).t()
    else:
        codes = _codes(tensors[WORDS].t())
        zeros = _codes(tensors["qzeros"]).t()
        if layout == "gptq":
            zeros = (zeros + 1) & LARGEST
    scales = tensors["scales"].t().to(torch.float32, copy=True)  # what is read lies in the file
    if tuple(codes.shape) != shape or zeros.shape != scales.shape:
        raise BadMatrix(f"shape {tuple(codes.shape)} in {layout} where the model needs {shape}")
    if not bool(scales.isfinite().all()):
        raise BadMatrix("NaN or infinite numbers")
    order = _order(tensors[GROUPS].long(), scales.shape[1]) if GROUPS in tensors else None
    if order is not None:
        codes = codes[:, order]
    scales, offsets = _of_equal_groups(scales, -zeros.float() * scales, shape[1])
    kept = Int4Weights(_packed(codes), scales, offsets, shape[1])
    kept.order = order
    return kept


def _codes(words: torch.Tensor) -> torch.Tensor:
    """(rows, words) as (rows, 8 * words), those in the lowest bits first."""
    halves = words.contiguous().view(torch.uint8)
    return torch.stack([halves & LARGEST, halves >> 4], dim=-1).flatten(1)


def _codes_of_columns(words: torch.Tensor) -> torch.Tensor:
    """The same in the order of AWQ."""
    return _codes(words).view(len(words), -1, WORD_CODES)[:, :, AWQ_PLACES].flatten(1)


def _order(groups: torch.Tensor, count: int) -> torch.Tensor | None:
    """The columns by group, of which each has as many as the others; None where they lie so."""
    if bool((groups < 0).any()) or bool((groups >= count).any()):
        wrong = int(groups[(groups < 0) | (groups >= count)][0])
        raise BadMatrix(f"{GROUPS} with group {wrong} of {count}")
    sizes = groups.bincount(minlength=count)
    if bool((sizes != sizes[0]).any()):
        raise BadMatrix(f"{GROUPS} with groups of {int(sizes.min())} to {int(sizes.max())} columns")
    order = groups.argsort(stable=True)
    return None if bool((order.diff() == 1).all()) else order


def _of_equal_groups(
    scales: torch.Tensor, offsets: torch.Tensor, columns: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where a row is one group: as groups that native code reads, if rows are whole ones."""
    size = next((size for size in sorted(SIZES, reverse=True) if columns % size == 0), columns)
    if scales.shape[1] == 1:
        scales, offsets = (each.expand(-1, columns // size) for each in (scales, offsets))
    return scales.contiguous(), offsets.contiguous()


def _nearest(weight: torch.Tensor, group: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes in our order, scales and offsets."""
    groups = weight.float().reshape(len(weight), -1, group)
    lowest, highest = groups.aminmax(dim=-1)
    scales = (highest - lowest) / LARGEST
    steps = (groups - lowest[:, :, None]) / scales.clamp(min=1e-38)[:, :, None]
    return _packed(steps.round_().clamp_(0, LARGEST).to(torch.uint8).flatten(1)), scales, lowest


def _packed(codes: torch.Tensor) -> torch.Tensor:
    """A byte for each code (rows, columns) as (rows, columns up to whole 32 / 2)."""
    return in_halves(pad(codes, (0, -codes.shape[1] % GROUP))).view(len(codes), -1)


def _some_rows(rows: slice, columns: int, numbers: int) -> list[slice]:
    step = max(1, numbers // columns)
    return [slice(row, min(row + step, rows.stop)) for row in range(rows.start, rows.stop, step)]
