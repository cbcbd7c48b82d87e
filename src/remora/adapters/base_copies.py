"""Tensors of an adapter that only repeat the base model: proven equal, and then of no effect.

Training that adds a token such as `[PAD]` resizes the embeddings, and PEFT then saves embeddings and output
head with the adapter (`save_embedding_layers="auto"`), though nothing trained them. Their rows for the base's
own tokens must be the base's, in the precision that training loaded it in; rows for tokens that the base does
not have can never matter, since no prompt holds them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remora.adapters.base_shape import EMBEDDINGS, BaseShape, weight_files
from remora.adapters.lora_tensors import WEIGHTS_FILE, base_tensor_of
from remora.adapters.tensor_file import TensorEntry, read_chunks, read_header
from remora.errors import AdapterRejected

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_HINT = "train without changing them, or merge them into the base model; Remora serves the LoRA pairs alone"

Precision = Callable[["NDArray[Any]"], "NDArray[Any]"]
"""What loading the base model did to its numbers: float32 in, float32 out."""


def check_base_copies(path: Path, copies: Sequence[TensorEntry], base: BaseShape) -> None:
    """Refuse tensors that are not the base's own. `copies` are those of which `base_tensor_of` knows a name.

    Raises AdapterRejected with the first tensor that differs, and where.
    """
    if not copies:
        return
    if find_spec("numpy") is None:
        raise _rejected(path, copies[0], "comparing the two needs numpy", hint="run: pip install numpy")
    found = {entry.name: (file, entry) for file in weight_files(base.path) for entry in read_header(file)}
    for copy in copies:
        original = _original(copy, found)
        if original is None:
            raise _rejected(path, copy, "the base model has no such tensor")
        _compare(path, copy, *original)


def _original(
    copy: TensorEntry, found: Mapping[str, tuple[Path, TensorEntry]]
) -> tuple[Path, TensorEntry] | None:
    """The base's tensor, whether or not the checkpoint spells the prefix; a tied head is the embedding."""
    name = base_tensor_of(copy.name) or ""
    for spelling in (name, name.partition(".")[2], f"model.{name}"):
        if spelling in found:
            return found[spelling]
    if not name.endswith(".weight") or name.split(".")[-2] in EMBEDDINGS:
        return None
    tied = (each for key, each in found.items() if key.split(".")[-2:-1] and key.split(".")[-2] in EMBEDDINGS)
    return next(tied, None)


def _compare(path: Path, copy: TensorEntry, file: Path, original: TensorEntry) -> None:
    if copy.shape[1:] != original.shape[1:] or copy.dtype not in _BYTES or original.dtype not in _BYTES:
        shapes = f"{copy.dtype}{list(copy.shape)}, and that of the base is"
        raise _rejected(path, copy, f"it is {shapes} {original.dtype}{list(original.shape)}")
    rows, width = min(copy.shape[0], original.shape[0]), math.prod(copy.shape[1:])
    ours = _numbers(path / WEIGHTS_FILE, copy, rows * width)
    possible: list[Precision] = list(_precisions(copy.dtype))
    at = 0
    for mine, theirs in _aligned(ours, _numbers(file, original, rows * width)):
        possible = [load for load in possible if _same(load(theirs), mine)]
        if not possible:
            raise _rejected(path, copy, f"it differs from the base's in or after row {at // width}")
        at += len(mine)


def _numbers(file: Path, entry: TensorEntry, count: int) -> Iterator[NDArray[Any]]:
    """The first `count` values as float32, a chunk at a time."""
    left = count * _BYTES[entry.dtype]
    for chunk in read_chunks(file, entry):
        yield _as_float32(chunk[:left], entry.dtype)
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


def _as_float32(data: bytes, dtype: str) -> NDArray[Any]:
    import numpy as np

    if dtype == "F32":
        return np.frombuffer(data, "<f4")
    if dtype == "F16":
        return np.frombuffer(data, "<f2").astype(np.float32)
    return (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def _same(left: NDArray[Any], right: NDArray[Any]) -> bool:
    import numpy as np

    return bool(np.array_equal(left.view(np.uint32), right.view(np.uint32)))


def _rejected(path: Path, copy: TensorEntry, what: str, *, hint: str = _HINT) -> AdapterRejected:
    return AdapterRejected(
        f"{path} holds {copy.name}, which is no part of a LoRA and not known to be the base's own: {what}",
        hint=hint,
    )
