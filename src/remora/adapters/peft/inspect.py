"""Reads a LoRA folder and finds it whole, or says precisely why not. Loads no weights and needs no torch.

The one inspection, and so the one verdict, of `adapters show` and `verify`, `init`, `plan`, `up`, `push`,
`serve` and every replica. What it passes is in terms of the base model as the engine has it, and is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from remora.adapters.adapter import Adapter, Digest, LoraSettings
from remora.adapters.digest import TensorScan, scan_tensors
from remora.adapters.peft.base_shape import BaseShape, read_base
from remora.adapters.peft.engine_limits import check_engine_limits
from remora.adapters.peft.lora_config import CONFIG_FILE, read_lora_settings
from remora.adapters.peft.lora_tensors import HEADS, TOKEN_MODULES, WEIGHTS_FILE
from remora.adapters.peft.module_settings import (
    ALL_LINEAR,
    ModuleSettings,
    settings_of_modules,
    unmatched_targets,
)
from remora.adapters.peft.own_parameters import find_own_parameters
from remora.adapters.peft.pairs import (
    FACTORS,
    SAVE_HINT,
    Pair,
    fit_problems,
    foreign_tensors,
    missing_experts,
    missing_parameters,
    pair_up,
    part_problems,
    refuse,
    shape_problems,
)
from remora.adapters.peft.remarks import remarks_on
from remora.adapters.peft.tensor_file import TensorEntry, fetch_ahead, read_header
from remora.adapters.peft.token_rows import find_token_rows, is_token_tensor
from remora.adapters.text.chat_templates import check_templates
from remora.adapters.text.text_files import generation_defaults, text_files
from remora.errors import AdapterRejected, RemoraError
from remora.project.alias import RULE, is_alias
from remora.project.files.regular_file import shown

__all__ = ["ADAPTER_FILES", "BaseShape", "inspect_adapter", "inspect_outline", "read_base"]

ADAPTER_FILES = (CONFIG_FILE, WEIGHTS_FILE)
"""The files that every LoRA folder has; those of `text_files` belong to the adapter too."""
PICKLE_FILES = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth")


@dataclass(frozen=True, slots=True)
class _Form:
    """What a folder's settings and its weights' header say, found to agree with one another."""

    settings: LoraSettings
    entries: tuple[TensorEntry, ...]
    copies: tuple[TensorEntry, ...]
    pairs: tuple[Pair, ...]
    own: Mapping[str, str]
    modules: Mapping[str, ModuleSettings]


def inspect_adapter(
    name: str,
    path: Path,
    base: BaseShape | None,
    *,
    compares_copies: bool = True,
) -> Adapter:
    """The adapter in a folder, checked against the base model where one is given.

    An adapter that names another base model is served if its modules fit this one; its remarks say so.
    Without `compares_copies` the base's own weights are not read: they are on the share, where a replica does
    it.
    Raises AdapterRejected with everything that is wrong at the first stage that found something.
    """
    form = _read_form(name, path, base)
    rows = None
    if base is not None and compares_copies:
        rows = find_token_rows(path, form.settings, form.copies, base)
    check_templates(path, AdapterRejected, what=str(path))
    tokens = form.settings.trainable_tokens
    scan = scan_tensors(form.modules, path / WEIGHTS_FILE, form.entries, text_files(path), tokens)
    _check_numbers(path, scan)
    _check_effect(path, form, scan.zero)
    adapter = _adapter(name, path, base, form, scan.digest)
    adapter = replace(adapter, token_rows=rows, generation_defaults=generation_defaults(path))
    return _within_limits(adapter, base)


def inspect_outline(name: str, path: Path, base: BaseShape, stamp: Digest) -> Adapter:
    """An adapter of which only settings and header are here, with the stamp of its place for a digest.

    What its weights hold is for a replica to see, which checks all of it. Raises AdapterRejected.
    """
    return _within_limits(_adapter(name, path, base, _read_form(name, path, base), stamp), base)


def _within_limits(adapter: Adapter, base: BaseShape | None) -> Adapter:
    if base is not None:
        check_engine_limits(adapter, base.engine, embeds_in_layers=base.embeds_in_layers)
    return adapter


def _read_form(name: str, path: Path, base: BaseShape | None) -> _Form:
    if not is_alias(name):
        raise AdapterRejected(f"{name!r} cannot name an adapter", hint=f"use {RULE}", param="name")
    settings = read_lora_settings(path)
    entries = _read_weights(path)
    copies = tuple(entry for entry in entries if is_token_tensor(entry.name))
    others = [entry for entry in entries if entry not in copies]
    pairs = pair_up(path, others, settings, base)
    own = find_own_parameters(path, settings, others, base)
    foreign = foreign_tensors(others, own.values())
    refuse(path, "has tensors that are no part of a LoRA, or not asked for", foreign, SAVE_HINT)
    known = {pair.trained for pair in pairs} | (base.modules.keys() if base else set())
    modules = settings_of_modules(settings, known, folder=path)
    refuse(path, "is not what its settings say", part_problems(settings, modules, pairs), SAVE_HINT)
    refuse(path, "has weights of the wrong shape", shape_problems(modules, pairs), SAVE_HINT)
    if base is not None:
        hint = f"choose the base model it was trained on ({settings.base_model_name or 'unknown'})"
        problems = fit_problems(modules, pairs, base, resized=bool(copies))
        refuse(path, f"does not fit the base model {base.path}", problems, hint)
    _check_targets(path, settings, modules, pairs, base)
    return _Form(settings, entries, copies, pairs, own, modules)


def _adapter(name: str, path: Path, base: BaseShape | None, form: _Form, digest: Digest) -> Adapter:
    """With what its files say; what its weights hold beside the pairs is added by who reads them."""
    texts = text_files(path)
    return Adapter(
        name=name,
        path=path,
        digest=digest,
        settings=form.settings,
        modules=tuple(pair.lora_module(form.modules[pair.trained]) for pair in form.pairs),
        size_bytes=sum((path / file).stat().st_size for file in (*ADAPTER_FILES, *texts)),
        base_copies=tuple(copy.name for copy in form.copies),
        text_files=texts,
        own_parameters=form.own,
        remarks=remarks_on(form.settings, form.modules, form.copies, base),
    )


def _read_weights(path: Path) -> tuple[TensorEntry, ...]:
    weights = path / WEIGHTS_FILE
    fetch_ahead(weights)
    try:
        entries = read_header(weights)
    except FileNotFoundError as error:
        raise _without_weights(path) from error
    except RemoraError as error:
        raise AdapterRejected(error.message, hint=error.hint) from error
    except OSError as error:
        raise AdapterRejected(str(error), hint="copy the file again, or " + SAVE_HINT) from error
    if not entries:
        raise AdapterRejected(f"{weights} has no tensors", hint=SAVE_HINT)
    return entries


def _without_weights(path: Path) -> AdapterRejected:
    pickles = [name for name in PICKLE_FILES if (path / name).exists()]
    if not pickles:
        return AdapterRejected(f"{shown(path)} has no {WEIGHTS_FILE}", hint=SAVE_HINT)
    return AdapterRejected(
        f"{path} has only {pickles[0]}, a pickle, which can run code when it is opened",
        hint=f"convert it, in a process of its own, with: remora adapters convert {quote(shown(path))}",
    )


def _check_numbers(path: Path, scan: TensorScan) -> None:
    problems = [f"{name} holds {number}" for name, number in sorted(scan.unusable.items())]
    hint = (
        "use an earlier checkpoint of the training, which diverged; a lower learning rate keeps it from that"
    )
    refuse(path, "has weights that cannot be computed with", problems, hint)


def _check_effect(path: Path, form: _Form, zero: frozenset[str]) -> None:
    """A pair with a half that is all zeros changes nothing; some may be so, all of them is no training."""
    pairs, modules = form.pairs, form.modules
    if form.own or any(
        modules[pair.trained].scaling
        and not {pair.parts[each].name for each in FACTORS & pair.parts.keys()} & zero
        for pair in pairs
    ):
        return
    reasons = {
        "every lora_B is zero": all(pair.b.name in zero for pair in pairs),
        "every lora_A is zero": all(pair.a.name in zero for pair in pairs),
        "lora_alpha is 0": not form.settings.alpha,
    }
    reason = next((what for what, holds in reasons.items() if holds), "in every module a half is zero")
    raise AdapterRejected(
        f"{path} has no effect: {reason}, so base and adapter would answer alike",
        hint="save the adapter after its training, not before; was the trained one saved elsewhere?",
    )


def _check_targets(
    path: Path,
    settings: LoraSettings,
    modules: Mapping[str, ModuleSettings],
    pairs: Sequence[Pair],
    base: BaseShape | None,
) -> None:
    """All that is asked for and can be adapted has weights, and nothing else has: as PEFT would apply it."""
    trained = {pair.trained: modules[pair.trained] for pair in pairs}
    if base is None:
        absent = list(unmatched_targets(settings, trained))
    else:
        absent = [*_lacking(settings, modules, pairs, base), *missing_experts(pairs, base)]
    absent += missing_parameters(path, settings, modules, pairs, base)
    refuse(path, "lacks weights for what target_modules names", absent, SAVE_HINT)
    extra = [name for name, module in trained.items() if not module.is_target]
    if settings.ties_head and any(name.rpartition(".")[2] in TOKEN_MODULES for name in trained):
        extra = [name for name in extra if name.rpartition(".")[2] not in HEADS]
    refuse(path, "has weights for modules that target_modules does not name", extra, SAVE_HINT)


def _lacking(
    settings: LoraSettings,
    modules: Mapping[str, ModuleSettings],
    pairs: Sequence[Pair],
    base: BaseShape,
) -> list[str]:
    """Modules of the base that PEFT would adapt and that have no weights. Targets that it lacks are none."""
    if settings.start_rank is not None:
        return []  # AdaLoRA leaves modules without any rank, and without weights
    if any(pair.trained != pair.module and not modules[pair.trained].parameter for pair in pairs):
        return []  # trained in another model's names, in which those of this base say nothing
    adapted = {pair.module for pair in pairs}
    targets = [name for name in base.modules if modules[name].is_target and not modules[name].parameter]
    asked = [name for name in targets if name not in adapted]
    return [name for name in asked if settings.target_modules != ALL_LINEAR or name != base.head]
