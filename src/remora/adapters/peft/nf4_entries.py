"""The tensors of a checkpoint in nf4 as those of the matrices that they hold. Reads the sizes, no weights.

Codes lie as bytes in a single column; how many rows and columns they are for stands in a tensor beside them,
as JSON. What belongs to the codes has their name with something behind it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from remora.adapters.peft.tensor_file import TensorEntry, read_chunks
from remora.errors import InvalidFile

STATE = "quant_state.bitsandbytes__nf4"
PARTS = ("absmax", "quant_map", "nested_absmax", "nested_quant_map", STATE)  # beside the codes of a matrix
CODES = "U8"  # the type of a tensor with codes
_SHAPES = f".{STATE}"
_BESIDE = tuple(f".{part}" for part in PARTS)


def as_matrices(path: Path, entries: Sequence[TensorEntry]) -> Iterator[TensorEntry]:
    """Of a file: matrices in nf4 with their own sizes, without what belongs to them; all others as they are.

    Raises InvalidFile where a size cannot be read.
    """
    shapes = {
        entry.name.removesuffix(_SHAPES): _shape(path, entry)
        for entry in entries
        if entry.name.endswith(_SHAPES)
    }
    for entry in entries:
        if entry.name in shapes:
            yield replace(entry, shape=shapes[entry.name])
        elif not entry.name.endswith(_BESIDE):
            yield entry


def _shape(path: Path, entry: TensorEntry) -> tuple[int, ...]:
    try:
        state = json.loads(b"".join(read_chunks(path, entry)))
        return tuple(int(size) for size in state["shape"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidFile(
            f"{entry.name} in {path} does not say a shape", hint="copy the base model again"
        ) from error
