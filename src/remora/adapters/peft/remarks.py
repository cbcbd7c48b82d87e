"""What a person should know of an adapter that is fit: what is ignored, and what is taken on trust.

Says it in sentences; keeps nothing from being served.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from remora.adapters.adapter import LoraSettings
from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.peft.module_settings import ModuleSettings, unmatched_targets
from remora.adapters.peft.tensor_file import TensorEntry
from remora.project.model_name import last_name, same_name, unquantized


def remarks_on(
    settings: LoraSettings,
    modules: Mapping[str, ModuleSettings],
    copies: Sequence[TensorEntry],
    base: BaseShape | None,
) -> tuple[str, ...]:
    """The sentences, in the order in which they matter."""
    return (*_on_the_base(settings, copies, base), *_on_the_settings(settings, modules))


def claims_another(claimed: str, base: BaseShape) -> bool:
    """Whether adapter and base each clearly say which model they are, and disagree."""
    wanted = last_name(claimed)
    return wanted is not None and bool(base.names) and not any(same_name(wanted, name) for name in base.names)


def _on_the_base(
    settings: LoraSettings, copies: Sequence[TensorEntry], base: BaseShape | None
) -> Iterator[str]:
    if base is None:
        if copies:
            yield f"{copies[0].name} was not compared with a base model, of which it must be a copy"
        return
    claimed = settings.base_model_name
    wanted = last_name(claimed or "")
    if wanted is None:
        said = f"names {claimed!r}, which tells no model" if claimed else "does not name its base model"
        yield f"the adapter {said}: only the names and sizes of modules were compared with {base.path}"
    elif not base.names or base.claimed_only:
        yield (
            f"nothing in {base.path} tells which model it is, and the adapter claims {claimed!r}:"
            " only the names and sizes of modules were compared"
        )
    elif claims_another(claimed or "", base):
        yield (
            f"the adapter was trained on {claimed!r}, and the base model in {base.path} is {base.names[0]!r}:"
            " only the names and sizes of modules were compared; if they are the same model, set"
            f" also_known_as = [{unquantized(wanted)!r}] under [model] in remora.toml"
        )
    elif unquantized(wanted) != wanted:
        yield f"the adapter was trained on {claimed!r}, a quantized copy: answers can differ a little"


def _on_the_settings(settings: LoraSettings, modules: Mapping[str, ModuleSettings]) -> Iterator[str]:
    for key, value in settings.unknown.items():
        yield f"adapter_config.json has {key} = {value}, which is no setting of a LoRA that is known: ignored"
    absent = unmatched_targets(settings, modules)
    if absent:
        yield f"target_modules names what the base model does not have: {', '.join(absent)}"
