"""What an engine does not apply of an adapter, though PEFT can make it.

The inspection asks, so that all commands refuse what a replica would. Engines ask too, since they must never
serve half of an adapter, whatever inspected it.
"""

from __future__ import annotations

from remora.adapters.adapter import Adapter
from remora.adapters.peft.lora_tensors import EMBEDDINGS, HEADS
from remora.adapters.peft.other_methods import merge_command
from remora.errors import AdapterRejected

TORCH_HINT = 'serve with engine = "torch" under [serve] in remora.toml'


def check_engine_limits(adapter: Adapter, engine: str, *, embeds_in_layers: bool) -> None:
    """Raise AdapterRejected for what this engine would leave out.

    `embeds_in_layers`: the base model has an embedding in every layer.
    """
    found = _beyond_vllm(adapter) if engine == "vllm" else _beyond_torch(adapter, embeds_in_layers)
    if found:
        what, hint = found
        raise AdapterRejected(f"{adapter.path} {what}", hint=hint)


def _beyond_torch(adapter: Adapter, embeds_in_layers: bool) -> tuple[str, str] | None:
    ends = {module: module.name.rpartition(".")[2] for module in adapter.modules}
    on_embedding = [module for module, last in ends.items() if last in EMBEDDINGS]
    merge = f"make a base model of it with: {merge_command(adapter.path)}"
    if any(module.magnitude for module in on_embedding):
        return "has a DoRA on the embedding, whose rows it would change one and all", merge
    if adapter.token_rows is None and not on_embedding:
        return None
    own = "has rows of its own for tokens"
    if embeds_in_layers:
        reason = "the base model has an embedding in every layer, which the adapter does not bring"
        return f"{own}, and {reason}", merge
    if adapter.token_rows is not None and any(
        module.magnitude or module.bias for module, last in ends.items() if last in HEADS
    ):
        return f"{own}, and it has a DoRA or a LoRA with a bias on the output head too", merge
    return None


def _beyond_vllm(adapter: Adapter) -> tuple[str, str] | None:
    """vLLM reads no rows for tokens, and one rank and one alpha for all modules."""
    if adapter.token_rows is not None:
        return "has rows of its own for tokens, which the engine vllm ignores", TORCH_HINT
    if adapter.own_parameters:
        parameter = next(iter(adapter.own_parameters))
        return f"has a {parameter} of its own, which the engine vllm does not read", TORCH_HINT
    for key in ("rank_pattern", "alpha_pattern"):
        if getattr(adapter.settings, key):
            return f"has a {key}, which the engine vllm would ignore", TORCH_HINT
    for module in adapter.modules:
        plain = {f"base_model.model.{module.name}.lora_{side}.weight" for side in "AB"}
        if set(module.all_tensors) != plain:
            strange = next(name for name in module.all_tensors if name not in plain)
            hint = f"{TORCH_HINT}, or save the adapter again with PEFT"
            return f"has {strange}, which the engine vllm does not read", hint
    return None
