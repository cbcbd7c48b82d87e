"""What PEFT can save that is not applied beside a base model, by its name, and the way out.

Owns the refusals of methods that are no LoRA and of variants of LoRA that are not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import quote

from remora.errors import AdapterRejected, listed
from remora.project.files.regular_file import shown

LORAS = ("LORA", "ADALORA")  # what AdaLoRA leaves is a LoRA with its own rank for each module
SHOWN_CHARACTERS = 80  # of a value in a message
CAUSAL_TASKS = ("CAUSAL_LM", None)
# Ways to start a training that leave the base weights alone. The others train against a changed base, so that
# base + adapter as saved is not the model that was trained, unless PEFT converted it while saving.
PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal", "mica")

MERGED_BY_PEFT: Mapping[str, str] = {
    "ADAMSS": "AdaMSS",
    "BEFT": "BEFT",
    "BOFT": "BOFT",
    "C3A": "C3A",
    "DEFT": "DEFT",
    "DELORA": "DeLoRA",
    "FOURIERFT": "FourierFT",
    "FROD": "FRoD",
    "GLORA": "GLoRA",
    "GRALORA": "GraLoRA",
    "HIRA": "HiRA",
    "HRA": "HRA",
    "IA3": "IA³",
    "LN_TUNING": "LN tuning",
    "LOHA": "LoHa",
    "LOKR": "LoKr",
    "MISS": "MiSS",
    "OFT": "OFT",
    "OSF": "OSF",
    "PEANUT": "PEANuT",
    "PSOFT": "PSOFT",
    "PVERA": "PVeRA",
    "RANDLORA": "RandLoRA",
    "ROAD": "RoAd",
    "SHIRA": "SHiRA",
    "SUPERTUNING": "Supertuning",
    "TINYLORA": "TinyLoRA",
    "TRAINABLE_TOKENS": "trainable tokens alone",
    "UNILORA": "Uni-LoRA",
    "VBLORA": "VB-LoRA",
    "VERA": "VeRA",
    "WAVEFT": "WaveFT",
}
"""By `peft_type`: methods whose result PEFT computes into the base model's weights."""

NEVER_MERGED: Mapping[str, str] = {
    "ADAPTION_PROMPT": "Llama-Adapter (adaption prompts)",
    "CARTRIDGE": "cartridges (trained keys and values)",
    "CPT": "context-aware prompt tuning",
    "LILY": "Lily",
    "MULTITASK_PROMPT_TUNING": "multitask prompt tuning",
    "POLY": "Poly (a mixture of LoRAs)",
    "PREFIX_TUNING": "prefix tuning",
    "PROMPT_TUNING": "prompt tuning",
    "P_TUNING": "P-tuning",
    "SHADOW": "Shadow",
    "XLORA": "X-LoRA (a mixture of LoRAs, weighed for each token)",
}
"""By `peft_type`: methods that no weights of a base model can stand for."""


def _falsy(value: object) -> bool:
    return not value


VARIANTS: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("layer_replication", _falsy, "repeated layers (layer_replication)"),
    ("megatron_config", _falsy, "Megatron layers (megatron_config)"),
    ("alora_invocation_tokens", _falsy, "activated LoRA (alora_invocation_tokens)"),
    ("use_qalora", _falsy, "QALoRA (use_qalora)"),
    ("use_bdlora", _falsy, "block-diagonal LoRA (use_bdlora)"),
    ("arrow_config", _falsy, "Arrow routing (arrow_config)"),
    ("kasa_config", _falsy, "KaSA (kasa_config)"),
    ("monteclora_config", _falsy, "MonteCLoRA (monteclora_config)"),
    ("velora_config", _falsy, "VeLoRA (velora_config)"),
    ("init_lora_weights", lambda value: value in PLAIN_STARTS, "a start that changes the base weights"),
    ("task_type", lambda value: value in CAUSAL_TASKS, "a task other than CAUSAL_LM (task_type)"),
)
"""A setting of a LoRA, the values of it that have no effect, and what any other value would be."""

_CONVERT = (
    "save it again from the training, converted: model.save_pretrained(folder,"
    " path_initial_model_for_weight_conversion=folder_of_the_untrained_adapter)"
)
_LOFTQ = (
    "its base is the quantized one of the training: save that with model.unload().save_pretrained(folder)"
    " and serve it with this adapter, init_lora_weights set to true; or train with"
    " peft.replace_lora_weights_loftq, which leaves the base as it is"
)
_STARTS: Mapping[str, tuple[str, bool]] = {  # the way out, and whether PEFT makes the same start again
    "pissa": (_CONVERT, True),
    "olora": (_CONVERT, True),
    "corda": (_CONVERT, False),
    "lora_ga": (_CONVERT, False),
    "loftq": (_LOFTQ, False),
}
_HINTS: Mapping[str, str] = {
    "layer_replication": "its layers share their weights and cannot be merged: train it without"
    " layer_replication",
    "megatron_config": "train it without Megatron's layers",
    "alora_invocation_tokens": "its effect begins in the middle of a prompt, so it cannot be merged: train it"
    " as a LoRA, without alora_invocation_tokens",
    "arrow_config": "serve the LoRAs that it chooses from, one by one",
    "task_type": "train it as a language model, with task_type='CAUSAL_LM'",
}


def merge_command(folder: Path) -> str:
    """The command that makes a base model of an adapter."""
    return f"remora adapters merge {quote(shown(folder))} --out FOLDER"


def check_method(folder: Path, config: Mapping[str, object]) -> None:
    """Raise AdapterRejected for what is no LoRA, or one of a kind that is not computed."""
    kind = config.get("peft_type")
    if kind is None and {"fine_tune_type", "lora_parameters"} & config.keys():
        raise AdapterRejected(
            f"{folder} is an adapter of MLX (mlx-lm), whose files are not those of PEFT",
            hint="merge it into the base model with `mlx_lm.fuse`, or train it with PEFT",
        )
    if kind not in LORAS:
        raise _no_lora(folder, kind)
    used = [(key, what) for key, plain, what in VARIANTS if not plain(config.get(key))]
    if used:
        told = [f"{what} = {short(config[key])}" for key, what in used]
        raise AdapterRejected(
            f"{folder} uses what is not supported: {listed(told, separator='; ')}",
            hint=_way_out(folder, used[0][0], config[used[0][0]]),
        )


def check_merges(folder: Path, config: Mapping[str, object]) -> None:
    """Raise AdapterRejected where PEFT would merge nothing, or something else than what was trained."""
    kind = str(config.get("peft_type"))
    if kind in NEVER_MERGED:
        raise _no_lora(folder, kind)
    for key in ("init_lora_weights", *_HINTS):
        plain = next(plain for name, plain, _ in VARIANTS if name == key)
        hint = "" if plain(config.get(key)) else _way_out(folder, key, config[key])
        if hint and merge_command(folder) not in hint:
            raise AdapterRejected(
                f"{folder} cannot be merged: {key} is {short(config[key])}, which PEFT cannot repeat",
                hint=hint,
            )


def short(value: object) -> str:
    """A value for a message; of a long one the beginning."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text):,} characters)"


def _no_lora(folder: Path, kind: object) -> AdapterRejected:
    name = str(kind)
    if name in MERGED_BY_PEFT:
        return AdapterRejected(
            f"{folder} is no LoRA: peft_type is {short(kind)}, {MERGED_BY_PEFT[name]}",
            hint=f"make a base model of it with: {merge_command(folder)}",
        )
    if name in NEVER_MERGED:
        return AdapterRejected(
            f"{folder} is no LoRA: peft_type is {short(kind)}, {NEVER_MERGED[name]}",
            hint="it cannot be merged into a base model either: train it as a LoRA with PEFT",
        )
    return AdapterRejected(
        f"{folder}: peft_type is {short(kind)}, and only 'LORA' is supported",
        hint="train the adapter as a LoRA with PEFT",
    )


def _way_out(folder: Path, key: str, value: object) -> str:
    if key in _HINTS:
        return _HINTS[key]
    merge = f"make a base model of it with: {merge_command(folder)}"
    if key != "init_lora_weights":
        return merge
    start = next((start for start in _STARTS if str(value).lower().startswith(start)), None)
    if start is None:
        return merge
    way, is_repeatable = _STARTS[start]
    # Of a start by random numbers (pissa_niter_4) no second one is the same.
    return f"{way}; or {merge}" if is_repeatable and "_niter_" not in str(value) else way
