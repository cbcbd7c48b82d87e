"""The weights of one matrix, in the form that this machine multiplies fastest. Owns the forms and the choice.

    plain    as in the checkpoint: GPUs, float32, and wherever nothing else applies
    packed   reordered once for the CPU's 16-bit matrix units (oneDNN); the original is dropped
    tall     a head on a CPU with AMX: as in the checkpoint, so an embedding tied to it is the same memory
    int8     one byte a weight and one scale an output row, quantised while loading
    nf4      four bits a weight and a scale for 64 of them, as bitsandbytes computes it (nf4.py)
    int4     four bits a weight, a scale and an offset for 32 to 128 of them, as in GPTQ and AWQ (int4.py)

oneDNN's operators are those that torch's own compiler emits for frozen weights. They are private, so a packed
matrix is used only where it was compared with the plain one when it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Protocol, TypeVar

import torch
from torch.nn.functional import linear

from remora.engine.torch.cache.pages import in_huge_pages

PACKED_FOR_ROWS = 512  # the layout that is best at a prefill's size costs one row nothing
PROBE_ROWS = 3
ALLOWED_ERROR_SHARE = 0.01  # bfloat16 has 8 bits; two orders of summation differ by less
INT8_MAX = 127
INT8_ROWS = 8  # beyond these, one copy of the matrix in x's precision costs less than the int8 kernel
INT8_KERNEL_COLUMNS = 16  # the kernel reads that many at a time, and beyond the end where they do not divide
QUANTIZATIONS = ("none", "int8", "int4", "nf4")


class BadMatrix(Exception):
    """What is no matrix that can be served; says why."""


class HasWeight(Protocol):
    weight: torch.Tensor


Streamed = TypeVar("Streamed", bound=HasWeight)


class KeptWeights(Protocol):
    """A matrix (out, in), with a bias or without."""

    bias: torch.Tensor | None

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        """x W^T + bias for rows x (rows, in): a new tensor (rows, out)."""

    def matrix(self) -> torch.Tensor:
        """W as it is multiplied by, in a plain form; perhaps made for this call, which takes time."""


class PlainWeights:
    """As torch keeps them."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight = weight
        self.bias = bias

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        return linear(x, self.weight, self.bias)

    def matrix(self) -> torch.Tensor:
        return self.weight


class PackedWeights:
    """In oneDNN's blocked layout. Raises RuntimeError where this build or this CPU has none."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_FOR_ROWS)
        self.bias = bias
        self._in_features = weight.shape[1]
        self._linear: Callable[..., torch.Tensor] = torch.ops.mkldnn._linear_pointwise.default

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        return self._linear(x, self.packed, self.bias, "none", [], "")

    def matrix(self) -> torch.Tensor:
        """Nothing gives the original back but products: those with rows of the identity are exact."""
        identity = torch.eye(self._in_features, dtype=torch.bfloat16)
        columns = [
            self._linear(rows, self.packed, None, "none", [], "")
            for rows in torch.split(identity, PACKED_FOR_ROWS)
        ]
        return torch.cat(columns).t()


class TallWeights:
    """As torch keeps them, but multiplied as W x^T: there AMX reads W as it lies, and packing gains nothing.

    What comes out lies transposed in memory, so this is for a matrix whose product nobody multiplies again.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self._weight = weight
        self.bias = bias

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        # A single row would be a product of a matrix and a vector, which takes half as long again.
        rows = x.expand(2, -1) if len(x) == 1 else x
        out = torch.mm(self._weight, rows.t())[:, : len(x)].t()
        return out if self.bias is None else out.add_(self.bias)

    def matrix(self) -> torch.Tensor:
        return self._weight


class Int8Weights:
    """Symmetric int8 with a scale for each output row, as `torch._weight_int8pack_mm` wants them."""

    is_streamable = True  # native code can read it

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        steps = weight.abs().amax(dim=1, keepdim=True).float().clamp(min=1e-30) / INT8_MAX
        self.weight = (weight.float() / steps).round().to(torch.int8)
        self.scales = steps[:, 0].to(weight.dtype)
        self.bias = bias
        self._has_kernel = weight.device.type == "cpu" and weight.shape[1] % INT8_KERNEL_COLUMNS == 0

    @classmethod
    def joined(cls, parts: Sequence[Int8Weights], bias: torch.Tensor | None) -> Int8Weights:
        """Matrices one below the other."""
        made = copy(parts[0])
        if len(parts) > 1:
            made.weight = torch.cat([part.weight for part in parts])
            made.scales = torch.cat([part.scales for part in parts])
        made.bias = bias
        return made

    def move(self, place: torch.device) -> None:
        self.weight, self.scales = self.weight.to(place), self.scales.to(place)
        self._has_kernel = self._has_kernel and place.type == "cpu"

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        if self._has_kernel and x.shape[0] <= INT8_ROWS:
            out = torch._weight_int8pack_mm(x.contiguous(), self.weight, self.scales)
        else:
            out = linear(x, self.weight.to(x.dtype)).mul_(self.scales)
        return out if self.bias is None else out.add_(self.bias)

    def matrix(self) -> torch.Tensor:
        return self.weight.to(self.scales.dtype) * self.scales[:, None]


def keep_weights(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    quantize: str = "none",
    is_head: bool = False,
    streams: bool = False,
) -> KeptWeights:
    """The best form for this matrix here; the caller drops the original.

    Who `streams` reads it in native code, row by row: plain or int8, in huge pages. In 4 bits are only layers
    that were so when they were read: the head and what a checkpoint leaves in 16 bits stay as they are.
    """
    if streams:
        return streamed(Int8Weights(weight, bias) if quantize == "int8" else PlainWeights(weight, bias))
    if quantize == "int8":
        return Int8Weights(weight, bias)
    if weight.device.type == "cpu" and weight.dtype == torch.bfloat16:
        # Without AMX, packing is worth more than one copy of the embedding: 11 against 25 ms for a row.
        if is_head and has_amx():
            return TallWeights(weight, bias)
        return _packed(weight, bias) or PlainWeights(weight, bias)
    return PlainWeights(weight, bias)


def streamed(kept: Streamed) -> Streamed:
    """In huge pages, for who reads it row by row."""
    kept.weight = in_huge_pages([kept.weight])[0]
    return kept


def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself rather than by detours (AVX-512 or AMX)."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        return False


def has_amx() -> bool:
    """Whether this CPU multiplies tiles of matrices (Intel, since 2023)."""
    try:
        return bool(torch.cpu._is_amx_tile_supported())
    except (AttributeError, RuntimeError):
        return False


def _packed(weight: torch.Tensor, bias: torch.Tensor | None) -> PackedWeights | None:
    """The packed form where it exists and gives what the plain one gives."""
    probe = torch.randn(
        (PROBE_ROWS, weight.shape[1]), generator=torch.Generator().manual_seed(0), dtype=torch.float32
    ).to(weight.dtype)
    try:
        packed = PackedWeights(weight, bias)
        got = packed.multiply(probe)
    except (AttributeError, RuntimeError):
        return None
    expected = linear(probe, weight, bias)
    error = (got - expected).float().norm() / expected.float().norm().clamp(min=1e-30)
    return packed if float(error) <= ALLOWED_ERROR_SHARE else None
