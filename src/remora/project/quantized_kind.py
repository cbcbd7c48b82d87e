"""Which quantised checkpoints are read as they lie, according to their `config.json`. Reads no weights.

Owns the table of what their configurations may say, and the words of the refusal of all others.
"""

from __future__ import annotations

from collections.abc import Mapping

DEQUANTIZING = (
    "dequantize it once, with transformers: AutoModelForCausalLM.from_pretrained(folder,"
    " quantization_config=Mxfp4Config(dequantize=True)).save_pretrained(new_folder)"
)
METHODS = {  # as config.json spells them, where that is not what people say
    "mxfp4": "MXFP4",
    "fp8": "FP8",
    "fbgemm_fp8": "FP8",
    "compressed-tensors": "compressed-tensors, such as FP8",
    "gptq": "GPTQ",
    "awq": "AWQ",
    "hqq": "HQQ",
    "aqlm": "AQLM",
    "exl2": "EXL2",
    "gguf": "GGUF",
}
GROUP_SIZES = (32, 64, 128, -1)  # numbers of a row that share a scale; -1: all of them
READ: Mapping[str, Mapping[str, tuple[object, ...]]] = {  # what each key may say where it is there
    "gptq": {
        "bits": (4,),
        "group_size": GROUP_SIZES,
        "checkpoint_format": ("gptq", "gptq_v2"),
        "format": ("gptq", "gptq_v2"),
        "is_marlin_format": (False,),
        "pack_dtype": ("int32",),
        "lm_head": (False,),
    },
    "awq": {
        "bits": (4,),
        "group_size": GROUP_SIZES,
        "version": ("gemm",),
        "checkpoint_format": ("gemm",),
        "format": ("gemm",),
        "zero_point": (True,),
    },
}
LAYOUTS = {"nf4": "nf4", "gptq": "int4", "gptq_v2": "int4", "awq": "int4"}
"""How codes can lie in a checkpoint that is read, and the form that they are served in."""


def layout_of(config: Mapping[str, object]) -> str | None:
    """How the codes of a checkpoint lie, one of LAYOUTS; None where it has none, or none that are read."""
    method = config.get("quantization_config")
    if not isinstance(method, dict):
        return None
    name = _method(method)
    if name == "bitsandbytes":
        return "nf4" if _is_nf4(method) else None
    if name not in READ or _unread(method):
        return None
    is_second = "gptq_v2" in (method.get("checkpoint_format"), method.get("format"))
    return "gptq_v2" if is_second else name


def why_unread(method: Mapping[str, object], original: str) -> tuple[str, str]:
    """What a checkpoint is that `layout_of` does not know, and what to do; `original` is "" if unknown."""
    if _method(method) == "mxfp4":
        return "is an MXFP4 checkpoint, whose weights cannot take adapters exactly", DEQUANTIZING
    which = f": {original}" if original else ""
    return (
        f"is a quantized checkpoint ({_kind(method)}), of which only bitsandbytes' nf4, and GPTQ and AWQ in"
        " 4 bits are read",
        f"use the original, unquantized model as the base{which}; adapters that were trained on a quantized"
        ' copy fit it too, and quantize = "nf4" under [serve] in remora.toml needs as little memory',
    )


def _method(method: Mapping[str, object]) -> str:
    by_bits = method.get("load_in_4bit") or method.get("load_in_8bit")
    return str(method.get("quant_method") or ("bitsandbytes" if by_bits else ""))


def _is_nf4(method: Mapping[str, object]) -> bool:
    return (
        bool(method.get("load_in_4bit"))
        and method.get("bnb_4bit_quant_type") == "nf4"
        and method.get("bnb_4bit_quant_storage") in (None, "uint8")
    )


def _unread(method: Mapping[str, object]) -> str:
    """The first key with a value that is not read; "" where all are."""
    for key, read in READ[_method(method)].items():
        value = method.get(key)
        if value is not None and (value.lower() if isinstance(value, str) else value) not in read:
            return f"{key} {value}"
    return ""


def _kind(method: Mapping[str, object]) -> str:
    """What people call a kind of quantisation."""
    name = _method(method)
    if name == "bitsandbytes":
        if not method.get("load_in_4bit"):
            return "bitsandbytes in 8 bits"
        storage = method.get("bnb_4bit_quant_storage") or "uint8"
        return f"bitsandbytes' {method.get('bnb_4bit_quant_type') or 'fp4'} in {storage}"
    kind = METHODS.get(name, name or "of an unknown kind")
    return f"{kind} with {_unread(method)}" if name in READ else kind
