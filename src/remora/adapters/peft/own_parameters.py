"""Tensors of an adapter that take the place of the base's own: trained biases, and modules trained whole.

Owns which tensor is which parameter, and whether the settings ask for it. Embeddings and output heads are
rows of tokens (`token_rows.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

from remora.adapters.adapter import LoraSettings
from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.peft.lora_tensors import TOKEN_MODULES, parse_tensor_name, unwrapped
from remora.adapters.peft.pairs import FLOAT_DTYPES, SAVE_HINT, refuse
from remora.adapters.peft.tensor_file import TensorEntry

_PREFIX = "base_model.model."
_WITHIN = re.compile(r"\.(?:base_layer|modules_to_save(?:\.default)?)(?=\.)")


def find_own_parameters(
    path: Path, settings: LoraSettings, entries: Iterable[TensorEntry], base: BaseShape | None
) -> dict[str, str]:
    """The tensors by the parameters of the base model whose places they take.

    What the settings do not ask for is left out. Raises AdapterRejected for what does not fit the base, or is
    asked for and missing.
    """
    found: dict[str, str] = {}
    problems = []
    for entry in entries:
        if not entry.name.startswith(_PREFIX) or parse_tensor_name(entry.name) is not None:
            continue
        trained = _WITHIN.sub("", unwrapped(entry.name).removeprefix(_PREFIX))
        if not _is_asked_for(settings, trained) or entry.dtype not in FLOAT_DTYPES:
            continue
        parameter = trained if base is None else base.find_parameter(trained)
        shape = entry.shape if base is None or parameter is None else base.parameters[parameter]
        if parameter is None:
            problems.append(f"{entry.name}: no such parameter")
        elif shape != entry.shape:
            problems.append(f"{entry.name}: {list(shape)} in the base, {list(entry.shape)} in the adapter")
        else:
            found[parameter] = entry.name
    hint = f"choose the base model it was trained on ({settings.base_model_name or 'unknown'})"
    refuse(path, f"does not fit the base model {base.path if base else ''}", problems, hint)
    if base is not None:
        absent = [name for name in base.parameters if _must_be_there(settings, name) and name not in found]
        refuse(path, "lacks weights for what modules_to_save names", sorted(absent), SAVE_HINT)
    return found


def _is_asked_for(settings: LoraSettings, parameter: str) -> bool:
    module, _, last = parameter.rpartition(".")
    return (last == "bias" and settings.biases != "none") or _is_saved(settings, module)


def _must_be_there(settings: LoraSettings, parameter: str) -> bool:
    module = parameter.rpartition(".")[0]
    return module.rpartition(".")[2] not in TOKEN_MODULES and _is_saved(settings, module)


def _is_saved(settings: LoraSettings, module: str) -> bool:
    """Whether a module, or one around it, is in `modules_to_save`: PEFT looks at the ends of names."""
    around = accumulate(module.split("."), "{}.{}".format)
    return any(each.endswith(name) for each in around for name in settings.modules_to_save)
