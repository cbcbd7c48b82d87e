"""Matrices in nf4, exactly as bitsandbytes computes them. Owns the format and the product by dequantising.

The numbers of a matrix, row after row, are cut into blocks of 64. A block keeps its largest size (its scale)
and for each number the nearest of sixteen values, four bits (Dettmers et al., "QLoRA", 2023). The scales
less their mean are quantised again, to eight bits in blocks of 256. A checkpoint has all of that:

    weight                          codes, two a byte, the first in the upper half
    weight.absmax                   the scales: one byte each, or float32 where they are quantised only once
    weight.nested_absmax, weight.nested_quant_map    what the bytes are multiples of, and what they mean
    weight.quant_map                the sixteen values
    weight.quant_state.bitsandbytes__nf4    JSON as bytes: the shape, the sizes of blocks, the scales' mean

In memory the scales are float32, and the codes of 32 numbers are 16 bytes: the first sixteen numbers in the
lower halves, the others in the upper ones. So a register of codes becomes neighbouring numbers as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.functional import linear, pad

from remora.adapters.peft.nf4_entries import STATE
from remora.engine.torch.layers.weights import BadMatrix

BLOCK = 64
SCALE_BLOCK = 256
GROUP = 32  # numbers whose codes are kept together
SLAB_NUMBERS = 1 << 22  # that are dequantised at a time
CACHED_NUMBERS = 1 << 18  # that are computed at a time
CELLS_TO_ONE = 32
VALUES = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quantized:
    """A matrix as bitsandbytes writes it, scales quantised again."""

    packed: torch.Tensor  # uint8, two numbers each
    scale_codes: torch.Tensor  # uint8, one for each block
    scale_steps: torch.Tensor  # float32, one for 256 of these
    offset: torch.Tensor  # the mean of the scales

    def scales(self) -> torch.Tensor:
        return _dequantized_scales(self.scale_codes, self.scale_steps, self.offset)


def quantized(weight: torch.Tensor) -> Quantized:
    """Raises BadMatrix for numbers that are none."""
    codes, scales = _codes_and_scales(weight)
    codes = pad(codes, (0, len(codes) % 2))
    return Quantized(codes[::2] << 4 | codes[1::2], *_quantized_scales(scales))


class Nf4Weights:
    """A matrix (out, in) that is dequantised some rows at a time to be multiplied by."""

    def __init__(
        self, codes: torch.Tensor, scales: torch.Tensor, shape: tuple[int, int], bias: torch.Tensor | None
    ) -> None:
        """`codes` are (blocks, 32) in our order, `scales` (blocks,) in float32."""
        self.weight = codes
        self.scales = scales
        self.shape = shape
        self.bias = bias

    @classmethod
    def of(cls, weight: torch.Tensor) -> Nf4Weights:
        """Quantised here. Raises BadMatrix for numbers that are none."""
        codes, scales = _codes_and_scales(weight)
        scales = _dequantized_scales(*_quantized_scales(scales))
        return cls._grouped(codes, scales, (weight.shape[0], weight.shape[1]))

    @classmethod
    def packed(cls, packed: torch.Tensor, scales: torch.Tensor, shape: tuple[int, int]) -> Nf4Weights:
        """From codes in the order of bitsandbytes."""
        return cls._grouped(torch.stack([packed >> 4, packed & 15], dim=-1).flatten(), scales, shape)

    @classmethod
    def _grouped(cls, codes: torch.Tensor, scales: torch.Tensor, shape: tuple[int, int]) -> Nf4Weights:
        """From a byte for each code."""
        kept = in_halves(pad(codes, (0, len(scales) * BLOCK - len(codes))))
        return cls(kept.view(len(scales), BLOCK // 2), scales.contiguous(), shape, None)

    @classmethod
    def joined(cls, parts: Sequence[Nf4Weights], bias: torch.Tensor | None) -> Nf4Weights:
        """Matrices of whole blocks, one below the other."""
        rows = sum(part.shape[0] for part in parts)
        if len(parts) == 1:
            codes, scales = parts[0].weight, parts[0].scales
        else:
            codes = torch.cat([part.weight for part in parts])
            scales = torch.cat([part.scales for part in parts])
        return cls(codes, scales, (rows, parts[0].shape[1]), bias)

    def move(self, place: torch.device) -> None:
        self.weight, self.scales = self.weight.to(place), self.scales.to(place)

    @property
    def has_whole_blocks(self) -> bool:
        return self.shape[0] * self.shape[1] % BLOCK == 0

    @property
    def is_streamable(self) -> bool:
        """Whether native code can read it: rows are whole blocks."""
        return self.shape[1] % BLOCK == 0

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        out = x.new_empty((len(x), self.shape[0]))
        for rows in self._slabs():
            out[:, rows] = linear(x, self._rows(rows, x.dtype))
        return out if self.bias is None else out.add_(self.bias)

    def matrix(self) -> torch.Tensor:
        made = torch.empty(self.shape, device=self.weight.device)
        for rows in self._slabs():
            made[rows] = self._rows(rows, torch.float32)
        return made

    def _slabs(self) -> list[slice]:
        """Rows that begin with a block: 64 rows always do."""
        step = max(1, SLAB_NUMBERS // (self.shape[1] * BLOCK)) * BLOCK
        return [slice(row, min(row + step, self.shape[0])) for row in range(0, self.shape[0], step)]

    def _rows(self, rows: slice, dtype: torch.dtype) -> torch.Tensor:
        first, stop = rows.start * self.shape[1], rows.stop * self.shape[1]
        blocks = slice(first // BLOCK, -(-stop // BLOCK))
        codes, scales = self.weight[blocks], self.scales[blocks, None, None]
        made = torch.empty((len(codes), BLOCK // GROUP, 2, GROUP // 2), dtype=dtype, device=codes.device)
        for start in range(0, len(codes), CACHED_NUMBERS // BLOCK):
            some = slice(start, start + CACHED_NUMBERS // BLOCK)
            index = codes[some].flatten().to(torch.int32)
            for half, values in enumerate(_values_of_bytes(codes.device)):
                numbers = values.index_select(0, index).view(-1, BLOCK // GROUP, GROUP // 2)
                made[some, :, half] = (numbers * scales[some]).to(dtype)
        return made.view(-1)[: stop - first].view(-1, self.shape[1])


def in_halves(codes: torch.Tensor) -> torch.Tensor:
    """A byte for each code of whole groups of 32 as 16 bytes for each group."""
    groups = codes.reshape(-1, 2, GROUP // 2)
    return groups[:, 0] | groups[:, 1] << 4


def read_nf4(tensors: Mapping[str, torch.Tensor], shape: tuple[int, int]) -> Nf4Weights:
    """A matrix of a checkpoint, from the tensors whose names begin with its own. Raises BadMatrix."""
    if STATE not in tensors:
        raise BadMatrix(f"codes without {STATE}")
    try:
        state = json.loads(bytes(tensors[STATE].tolist()))
        packed, scales = tensors[""].flatten(), _scales(tensors, state)
    except (ValueError, KeyError, AttributeError) as error:
        raise BadMatrix(f"a quantisation state that lacks {error}") from error
    if (state.get("quant_type"), state.get("blocksize")) != ("nf4", BLOCK):
        raise BadMatrix(
            f"{state.get('quant_type')} in blocks of {state.get('blocksize')}, not nf4 in blocks of 64"
        )
    if tuple(state["shape"]) != shape or len(packed) * 2 != shape[0] * shape[1]:
        raise BadMatrix(f"shape {tuple(state['shape'])} where the model needs {shape}")
    if len(scales) * BLOCK != len(packed) * 2 + -len(packed) * 2 % BLOCK:
        raise BadMatrix(f"{len(scales)} scales for {len(packed) * 2} numbers in blocks of {BLOCK}")
    if not torch.equal(tensors["quant_map"].float(), _values(packed.device)):
        raise BadMatrix("another quant_map than nf4's sixteen values")
    if not bool(scales.isfinite().all()):
        raise BadMatrix("NaN or infinite numbers")
    return Nf4Weights.packed(packed, scales, shape)


def _scales(tensors: Mapping[str, torch.Tensor], state: Mapping[str, float]) -> torch.Tensor:
    if "nested_blocksize" not in state:
        return tensors["absmax"].to(torch.float32, copy=True)  # what is read lies in the file
    numbers = tensors["nested_quant_map"].float()[tensors["absmax"].int()]
    steps = tensors["nested_absmax"].float()
    return _in_blocks(numbers, steps, int(state["nested_blocksize"])) + float(state["nested_offset"])


def _codes_and_scales(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A byte for each number, a scale for each block. Some numbers at a time, which stay in a cache."""
    made = [_nearest(slab, BLOCK, _place_of_value) for slab in torch.split(weight.flatten(), CACHED_NUMBERS)]
    scales = torch.cat([scales for _, scales in made])
    if not bool(scales.isfinite().all()):
        raise BadMatrix("NaN or infinite numbers")
    return torch.cat([codes for codes, _ in made]), scales


def _quantized_scales(scales: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Their codes, the scales of these, and the mean."""
    values, offset = scale_map().to(scales.device), scales.mean()
    middles = (values[:-1] + values[1:]) / 2
    return *_nearest(scales - offset, SCALE_BLOCK, lambda scaled: torch.bucketize(scaled, middles)), offset


def _dequantized_scales(codes: torch.Tensor, steps: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    return _in_blocks(scale_map().to(codes.device)[codes.int()], steps, SCALE_BLOCK) + offset


def _nearest(
    numbers: torch.Tensor, block: int, place: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The place of each number once its block is scaled to 1, as bytes; and the scale of each block."""
    flat = numbers.float()
    whole = len(flat) // block * block
    blocks = flat[:whole].view(-1, block)
    scales = blocks.abs().amax(dim=1) if whole else flat[:0]
    scaled = (blocks * (1 / scales.clamp(min=1e-38))[:, None]).flatten()
    if whole < len(flat):
        last = flat[whole:].abs().amax().clamp(min=1e-38)
        scales = torch.cat([scales, last[None]])
        scaled = torch.cat([scaled, flat[whole:] / last])
    return place(scaled.clamp_(-1, 1)).to(torch.uint8), scales


def _place_of_value(scaled: torch.Tensor) -> torch.Tensor:
    """How many of the middles between values are below: those below a number's cell, and perhaps one in it.

    Cells are so narrow that none has two middles, and two look-ups cost less than a search by halves.
    """
    below, first = _cells(scaled.device)
    cell = (scaled * CELLS_TO_ONE + CELLS_TO_ONE).nan_to_num_(0).to(torch.int32)
    return below.index_select(0, cell) + (scaled > first.index_select(0, cell)).view(torch.uint8)


def _in_blocks(numbers: torch.Tensor, scales: torch.Tensor, block: int) -> torch.Tensor:
    return numbers * scales.repeat_interleave(block)[: len(numbers)]


@lru_cache(maxsize=4)
def _cells(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """For each cell how many middles are below it, and the first that is not."""
    values = _values(device)
    middles = (values[:-1] + values[1:]) / 2
    edges = torch.arange(2 * CELLS_TO_ONE + 1, device=device) / CELLS_TO_ONE - 1
    below = torch.bucketize(edges, middles)
    return below.to(torch.uint8), torch.cat([middles, middles.new_full((1,), torch.inf)])[below]


@lru_cache(maxsize=4)
def _values(device: torch.device) -> torch.Tensor:
    return torch.tensor(VALUES, device=device)


@lru_cache(maxsize=4)
def _values_of_bytes(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """For each byte the value of its lower half, and of its upper one."""
    byte = torch.arange(256, device=device)
    return _values(device)[byte & 15], _values(device)[byte >> 4]


@lru_cache(maxsize=1)
def scale_map() -> torch.Tensor:
    """The 256 values of a scale: for each power of ten from -6 to 0 twice as many as for the one before."""
    values = [0.0, 1.0]
    for power in range(7):
        edges = torch.linspace(0.1, 1, 2**power + 1)
        means = 10 ** (power - 6) * ((edges[:-1] + edges[1:]) / 2)
        values += [*means.tolist(), *(-means).tolist()]
    return torch.tensor(sorted(values))
