"""From a folder to a model that runs. Owns what is read, in which precision, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from remora.engine.torch.attention import IMPLEMENTATION, register_slot_attention
from remora.engine.torch.lora import LoraSet
from remora.engine.torch.model import SlotModel
from remora.engine.torch.model_check import LAYER_TYPES, answers_alone, check_forward, unsupported
from remora.engine.torch.native.choice import NativeChoice
from remora.engine.torch.weights import QUANTIZATIONS, has_fast_bfloat16
from remora.errors import InvalidFile, InvalidInput, ProjectIncomplete

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CACHE_BYTES = 2 * 1024**3  # unless the caller says how many tokens
CONTEXT_TOKENS = 4096  # where the configuration does not say
ROPE_SWITCHING_WITH_LENGTH = "longrope"  # one long text in a batch would change all others


def load_model(
    path: Path,
    *,
    dtype: str,
    device: str,
    max_running_requests: int,
    cache_tokens: int | None = None,
    quantize: str = "none",
    native: str = "auto",
) -> SlotModel:
    """Read a checkpoint (safetensors only, no code from it) and prove that it runs here as on its own.

    `native` says when layers run in native code (native/choice.py). Without `cache_tokens` the cache holds a
    full context for every running request, or what 2 GiB hold.
    Raises ProjectIncomplete, InvalidFile, InvalidInput or Refused.
    """
    register_slot_attention()
    config = _read_config(path)
    place = _device(device)
    if quantize not in QUANTIZATIONS:
        known = ", ".join(QUANTIZATIONS)
        raise InvalidInput(f"quantize {quantize!r} is none of {known}", param="serve.quantize")
    own = getattr(config, "dtype", None) or torch.float32
    precision = serving_dtype(dtype, own, place, fast_bfloat16=has_fast_bfloat16())
    with NativeChoice(native, config, precision, place, quantize=quantize) as choice:
        model = _in_own_memory(_read_weights(path, precision), place)
        expected = answers_alone(model)
        library = choice.library()
    lora = LoraSet(model, quantize=quantize, library=library)
    check_forward(model, lora, expected, path)
    context_length = _context_length(config)
    if cache_tokens is None:
        cache_tokens = min(max_running_requests * context_length, _affordable_tokens(model))
    return SlotModel(model, lora, cache_tokens=cache_tokens, context_length=context_length)


def serving_dtype(name: str, own: torch.dtype, place: torch.device, *, fast_bfloat16: bool) -> torch.dtype:
    """`auto` is the checkpoint's own precision, so that answers are those of training.

    On a CPU 16 bits mean bfloat16, and float32 where the CPU would compute those by detours. Raises
    InvalidInput for an unknown name.
    """
    if name in DTYPES:
        return DTYPES[name]
    if name != "auto":
        raise InvalidInput(f"dtype {name!r} is none of auto, {', '.join(DTYPES)}", param="serve.dtype")
    if own == torch.float32 or place.type != "cpu":
        return own
    return torch.bfloat16 if fast_bfloat16 else torch.float32


def _read_config(path: Path) -> Any:
    if not (path / "config.json").is_file():
        raise ProjectIncomplete(
            f"there is no base model in {path}: config.json is missing",
            hint="set model.base in remora.toml to the folder of a Hugging Face checkpoint",
        )
    if not any(path.glob("*.safetensors")):
        raise ProjectIncomplete(
            f"the base model in {path} has no *.safetensors file",
            hint="load it with transformers and save it again with save_pretrained",
        )
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever its parts raise
        raise InvalidFile(f"{path / 'config.json'} cannot be used: {_first_line(error)}") from error
    strange = set(getattr(config, "layer_types", None) or ()) - LAYER_TYPES
    if strange:
        raise unsupported(path, config, f"layers of type {', '.join(sorted(strange))}")
    return config


def _read_weights(path: Path, dtype: torch.dtype) -> Any:
    hint = "check that all its files were copied whole"
    try:
        with _no_progress_bar():
            model, report = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=dtype,
                attn_implementation=IMPLEMENTATION,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:  # as above
        raise InvalidFile(
            f"the base model in {path} cannot be loaded: {_first_line(error)}", hint=hint
        ) from error
    wrong = sorted(str(name) for name in (*report["missing_keys"], *report["mismatched_keys"]))
    if wrong:
        raise InvalidFile(f"the base model in {path} lacks {len(wrong)} weights, first {wrong[0]}", hint=hint)
    return model.eval()


def _in_own_memory(model: Any, place: torch.device) -> Any:
    """Weights that are mapped from the checkpoint's file are copied, one by one.

    A single tensor that is still mapped keeps all of the file mapped, in memory beside what was packed; and
    who overwrites the file would change what is served, or end the process.
    """
    if place.type != "cpu":
        return model.to(place)
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _context_length(config: Any) -> int:
    ropes = getattr(config, "rope_parameters", None) or {}
    if ropes.get("rope_type") == ROPE_SWITCHING_WITH_LENGTH:
        before = ropes.get("original_max_position_embeddings")
        return int(before or config.original_max_position_embeddings)
    return int(getattr(config, "max_position_embeddings", None) or CONTEXT_TOKENS)


def _affordable_tokens(model: Any) -> int:
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    bytes_per_token = 2 * config.num_hidden_layers * heads * head_size * model.dtype.itemsize
    return max(1, CACHE_BYTES // int(bytes_per_token))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
