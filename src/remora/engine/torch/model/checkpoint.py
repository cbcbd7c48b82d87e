"""From a folder to a model that runs. Owns what is read, in which precision, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from remora.adapters.peft.base_shape import read_entries
from remora.engine.loading import is_out_of_memory
from remora.engine.torch.layers.linears import unify_linears
from remora.engine.torch.layers.longrope import rotate_by_text
from remora.engine.torch.layers.own_attention import exchange_attention
from remora.engine.torch.layers.quantized import QuantizedLinear
from remora.engine.torch.layers.weights import QUANTIZATIONS, has_fast_bfloat16
from remora.engine.torch.model.lora_manager import LoraSet
from remora.engine.torch.model.memory import check_fits
from remora.engine.torch.model.model import SlotModel
from remora.engine.torch.model.model_check import (
    answers_alone,
    check_forward,
    known_reason,
)
from remora.engine.torch.model.reading import reading_as
from remora.engine.torch.model.weight_progress import told_progress
from remora.engine.torch.native.choice import NativeChoice
from remora.engine.torch.native.layers import is_readable
from remora.errors import InvalidFile, InvalidInput, ProjectIncomplete, Refused, listed
from remora.project.architectures import unsupported, why_not_on_torch
from remora.project.model_kind import LANGUAGE_PARTS, language_part, why_no_base
from remora.project.quantized_kind import LAYOUTS, layout_of

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CACHE_BYTES = 2 * 1024**3  # unless the caller says how many tokens
LANGUAGE_KEYS = {  # of a checkpoint of several inputs: as its language model names them
    r"^(model\.)?language_model\.(model\.)?(?!lm_head)": "model.",
    r"^language_model\.lm_head": "lm_head",
}
OWN_IMPLEMENTATION = {"falcon": "sdpa"}  # until it was asked alone; its eager code adds ALiBi twice
CONTEXT_TOKENS = 4096  # where the configuration does not say


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
    config = read_config(path)
    place = _device(device)
    if quantize not in QUANTIZATIONS:
        known = listed(QUANTIZATIONS)
        raise InvalidInput(f"quantize {quantize!r} is none of {known}", param="serve.quantize")
    own = getattr(config, "dtype", None) or torch.float32
    if layout := _layout(config):
        form = LAYOUTS[layout]
        if quantize not in ("none", form):
            raise InvalidInput(
                f"{path} is in {form} already and is not quantised to {quantize}",
                hint="leave quantize out, or serve the original model",
                param="serve.quantize",
            )
        quantize = form
        if form == "int4":
            read_entries(path)  # which refuses parts that do not fit together
    with NativeChoice(native, config, place, quantize=quantize) as choice:
        fast = has_fast_bfloat16() or choice.library(torch.bfloat16) is not None
        precision = serving_dtype(dtype, own, place, fast_bfloat16=fast)
        check_fits(path, precision, quantize, place)
        model = _in_own_memory(_read_weights(path, config, precision, quantize), place)
        unify_linears(model)
        expected = answers_alone(model, path)
        exchange_attention(model)
        rotate_by_text(model)
        library = choice.library(precision) if is_readable(model) else None
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
        raise InvalidInput(f"dtype {name!r} is none of auto, {listed(DTYPES)}", param="serve.dtype")
    if own == torch.float32 or place.type != "cpu":
        return own
    return torch.bfloat16 if fast_bfloat16 else torch.float32


def read_config(path: Path) -> Any:
    """A checkpoint's configuration. Raises ProjectIncomplete, InvalidFile or Refused, as `load_model`."""
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
    if refusal := why_no_base(config.to_dict(), name=path.as_posix()):
        what, hint = refusal
        raise Refused(f"{path} {what}", hint=hint)
    if what := why_not_on_torch(language_part(config.to_dict())):
        raise unsupported(path, config.model_type, what)
    return _of_language_part(config)


def _of_language_part(config: Any) -> Any:
    if config.model_type not in LANGUAGE_PARTS:
        return config
    part = config.text_config
    part.dtype, part.tie_word_embeddings = config.dtype, config.tie_word_embeddings
    if hasattr(config, "quantization_config"):
        part.quantization_config = config.quantization_config
    return part


def _layout(config: Any) -> str | None:
    return layout_of({"quantization_config": getattr(config, "quantization_config", None)})


def _read_weights(path: Path, config: Any, dtype: torch.dtype, quantize: str) -> Any:
    hint = "check that all its files were copied whole"
    config.quantization_config = reading_as(quantize, layout=_layout(config))
    try:
        with told_progress():
            model, report = AutoModelForCausalLM.from_pretrained(
                path,
                config=config,
                key_mapping=LANGUAGE_KEYS,
                dtype=dtype,
                attn_implementation=OWN_IMPLEMENTATION.get(config.model_type, "eager"),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:  # as above
        if what := known_reason(error):
            raise unsupported(path, config.model_type, what) from error
        if is_out_of_memory(error):
            raise
        raise InvalidFile(
            f"the base model in {path} cannot be loaded: {_first_line(error)}", hint=hint
        ) from error
    del config.quantization_config
    for name, problem in model.hf_quantizer.problems.items():
        raise InvalidFile(f"the base model in {path} has {problem} in {name}", hint=hint)
    wrong = sorted(str(name) for name in (*report["missing_keys"], *report["mismatched_keys"]))
    if wrong:
        raise InvalidFile(f"the base model in {path} lacks {len(wrong)} weights, first {wrong[0]}", hint=hint)
    return model.eval()


def _in_own_memory(model: Any, place: torch.device) -> Any:
    """Weights that are still mapped from the checkpoint's file are copied, one by one.

    A single tensor that is still mapped keeps all of the file mapped, in memory beside what was packed; and
    who overwrites the file would change what is served, or end the process.
    """
    if place.type != "cpu":
        for module in model.modules():
            if isinstance(module, QuantizedLinear):
                module.kept.move(place)
        return model.to(place)
    for parameter in model.parameters():
        if not getattr(parameter, "is_own", False):
            parameter.data = parameter.data.clone()
    return model


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _context_length(config: Any) -> int:
    named = (getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len"))
    return int(next(filter(None, named), CONTEXT_TOKENS))


def _affordable_tokens(model: Any) -> int:
    values_per_token = 2 * sum(_key_size(layer) for layer in _layer_configs(model.config))
    return max(1, CACHE_BYTES // int(values_per_token * model.dtype.itemsize))


def _layer_configs(config: Any) -> list[Any]:
    """The configuration of each layer: of some models (Gemma 4) the layers differ in size."""
    layers = getattr(config, "per_layer_config", None)
    return list(layers) if layers else [config] * config.num_hidden_layers


def _key_size(config: Any) -> int:
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(heads * head_size)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
