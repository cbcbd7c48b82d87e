"""Which rows of an adapter's matrix are the base model's. Owns the comparison; judges nothing.

Training that adds a token such as `[PAD]` resizes the embeddings, and PEFT then saves embeddings and output
head with the adapter (`save_embedding_layers="auto"`). Rows that nothing trained are the base's, in the
precision that training loaded it in, and need no place beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remora.adapters.peft.lora_tensors import WEIGHTS_FILE
from remora.adapters.peft.tensor_file import TensorEntry, read_chunks
from remora.errors import AdapterRejected

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_HINT = "train without changing it, or merge it into the base model"

Precision = Callable[["NDArray[Any]"], "NDArray[Any]"]
"""What loading the base model did to its numbers: float32 in, float32 out."""


def own_rows(path: Path, copy: TensorEntry, file: Path, original: TensorEntry) -> tuple[int, ...]:
    """The rows of an adapter's tensor that are not those of the base's tensor in `file`, in rising order.

    Raises AdapterRejected where the two cannot be compared, or belong to models of other sizes.
    """
    if find_spec("numpy") is None:
        raise rejected(path, copy, "comparing it with the base's needs numpy", hint="run: pip install numpy")
    if copy.shape[1:] != original.shape[1:] or copy.dtype not in _BYTES or original.dtype not in _BYTES:
        shapes = f"{copy.dtype}{list(copy.shape)}, and that of the base is"
        raise rejected(path, copy, f"it is {shapes} {original.dtype}{list(original.shape)}")
    common, width = min(copy.shape[0], original.shape[0]), math.prod(copy.shape[1:])
    mine = _numbers(path / WEIGHTS_FILE, copy, common * width)
    differing = _differing(mine, _numbers(file, original, common * width), width, _precisions(copy.dtype))
    return (*sorted(differing), *range(common, copy.shape[0]))


def _differing(
    mine: Iterator[NDArray[Any]],
    theirs: Iterator[NDArray[Any]],
    width: int,
    precisions: Iterator[Precision],
) -> set[int]:
    """The rows that differ in the precision in which the fewest do."""
    import numpy as np

    found: list[tuple[Precision, set[int]]] = [(load, set()) for load in precisions]
    at = 0
    for ours, base in _aligned(mine, theirs):
        for load, rows in found:
            unequal = ours.view(np.uint32) != load(base).view(np.uint32)
            if unequal.any():
                rows.update(((np.flatnonzero(unequal) + at) // width).tolist())
        at += len(ours)
    return min((rows for _, rows in found), key=len)


def _numbers(file: Path, entry: TensorEntry, count: int) -> Iterator[NDArray[Any]]:
    """The first `count` values as float32, a chunk at a time."""
    left = count * _BYTES[entry.dtype]
    for chunk in read_chunks(file, entry):
        yield as_floats(chunk[:left], entry.dtype)
        left -= len(chunk)
        if left <= 0:
            return


def _aligned(
    left: Iterator[NDArray[Any]], right: Iterator[NDArray[Any]]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Equally long pieces of two streams of equal length, which come in pieces of other sizes."""
    mine = theirs = None
    while True:
        mine = next(left, None) if mine is None or not len(mine) else mine
        theirs = next(right, None) if theirs is None or not len(theirs) else theirs
        if mine is None or theirs is None:
            return
        size = min(len(mine), len(theirs))
        yield mine[:size], theirs[:size]
        mine, theirs = mine[size:], theirs[size:]


def _precisions(dtype: str) -> Iterator[Precision]:
    """As it is, or through the half precisions that training loads a model in; then as it was saved."""
    for load in (_exact, _through_bfloat16, _through_float16):
        if dtype == "F32":
            yield load
        else:
            yield lambda numbers, load=load, save=_SAVED[dtype]: save(load(numbers))  # type: ignore[misc]


def _exact(numbers: NDArray[Any]) -> NDArray[Any]:
    return numbers


def _through_float16(numbers: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    with np.errstate(over="ignore"):  # infinite in half precision: then it is no copy
        return numbers.astype(np.float16).astype(np.float32)


def _through_bfloat16(numbers: NDArray[Any]) -> NDArray[Any]:
    """Rounded to the nearest, ties to even, as torch does it."""
    import numpy as np

    bits = numbers.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32)


_SAVED: Mapping[str, Precision] = {"F16": _through_float16, "BF16": _through_bfloat16}


def as_floats(data: bytes, dtype: str) -> NDArray[Any]:
    """The numbers of a tensor in F64, F32, F16 or BF16, in 32 bits or more. Needs numpy."""
    import numpy as np

    if dtype == "F64":
        return np.frombuffer(data, "<f8")
    if dtype == "F32":
        return np.frombuffer(data, "<f4")
    if dtype == "F16":
        return np.frombuffer(data, "<f2").astype(np.float32)
    return (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def rejected(path: Path, copy: TensorEntry, what: str, *, hint: str = _HINT) -> AdapterRejected:
    """The error for a tensor that is no part of a LoRA and cannot be used as a matrix of tokens."""
    return AdapterRejected(f"{path} holds {copy.name}, which is no part of a LoRA: {what}", hint=hint)
