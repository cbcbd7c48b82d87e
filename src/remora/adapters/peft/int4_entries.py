"""The tensors of a checkpoint in GPTQ or AWQ as those of the matrices that they hold. Reads no weights.

Of a matrix (out, in) in groups of numbers that lie side by side in a row, a checkpoint has (sources: the
modules TorchLinear of GPTQModel and WQLinear_GEMM of AutoAWQ)

                GPTQ                     AWQ
    qweight     (in / 8, out)            (in, out / 8)     int32, eight codes in each
    qzeros      (groups, out / 8)        the same          int32, eight zero points in each
    scales      (groups, out)            the same          16 bits
    g_idx       (in,), if it is there    none              int32, the group of each column
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from remora.adapters.peft.experts import is_expert
from remora.adapters.peft.nf4_entries import CODES
from remora.adapters.peft.tensor_file import TensorEntry
from remora.errors import InvalidFile, listed

WORDS = "qweight"
GROUPS = "g_idx"
NEEDED = (WORDS, "qzeros", "scales")
PARTS = (*NEEDED, GROUPS)
WORD_CODES = 8  # in 32 bits
SIZES = (32, 64, 128)  # of groups, if a row is not one
HINT = "use a checkpoint in 4 bits with groups of 32, 64 or 128, or the original model"


def int4_as_matrices(path: Path, entries: Sequence[TensorEntry]) -> Iterator[TensorEntry]:
    """Of a whole checkpoint: matrices in GPTQ or AWQ as `NAME.weight` (out, in); all others as they are.

    Raises InvalidFile for parts that are missing or do not fit together, and for experts.
    """
    modules: dict[str, dict[str, TensorEntry]] = {}
    for entry in entries:
        module, _, part = entry.name.rpartition(".")
        if part in PARTS:
            modules.setdefault(module, {})[part] = entry
    has_codes = any(WORDS in parts for parts in modules.values())
    for entry in entries:
        module, _, part = entry.name.rpartition(".")
        if not (has_codes and part in PARTS):
            yield entry
        elif what := _wrong(module, modules[module]):
            raise InvalidFile(f"the base model in {path} has {what} in {module}", hint=HINT)
        elif part == WORDS:
            yield replace(entry, name=f"{module}.weight", dtype=CODES, shape=_shape(modules[module]))


def _wrong(module: str, parts: Mapping[str, TensorEntry]) -> str:
    """What of a matrix cannot be read; "" where all can."""
    missing = [part for part in NEEDED if part not in parts]
    if missing:
        there = [part for part in PARTS if part in parts]
        return f"{' and '.join(there)} without {' and '.join(missing)}"
    if is_expert(module):
        return "an expert in 4 bits, which is not read"
    return _wrong_sizes(parts)


def _wrong_sizes(parts: Mapping[str, TensorEntry]) -> str:
    sizes = listed([f"{part} {parts[part].dtype}{list(parts[part].shape)}" for part in NEEDED])
    words, zeros, scales = (parts[part] for part in NEEDED)
    if {len(words.shape), len(scales.shape)} != {2} or {words.dtype, zeros.dtype} != {"I32"}:
        return f"{sizes}, which are not codes in 4 bits,"
    groups, outputs = scales.shape
    _, inputs = _shape(parts)
    if inputs == 0 or zeros.shape != (groups, outputs // WORD_CODES) or outputs % WORD_CODES:
        return f"sizes that disagree, {sizes},"
    if groups != 1 and (groups == 0 or inputs % groups or inputs // groups not in SIZES):
        return f"{groups} groups for rows of {inputs} numbers"
    if GROUPS in parts and parts[GROUPS].shape != (inputs,):
        return f"{GROUPS} {list(parts[GROUPS].shape)} for {inputs} columns"
    return ""


def _shape(parts: Mapping[str, TensorEntry]) -> tuple[int, int]:
    """(out, in), and no columns where the sizes are of neither kind."""
    rows, columns = parts[WORDS].shape
    outputs = parts["scales"].shape[1]
    if columns == outputs:
        return outputs, rows * WORD_CODES
    return outputs, rows if columns * WORD_CODES == outputs else 0
