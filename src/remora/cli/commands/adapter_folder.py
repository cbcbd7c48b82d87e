"""`remora adapters show` and `verify`: inspect an adapter's folder. Uploads and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.adapters.adapter import Adapter, short
from remora.adapters.model_set import base_of_project
from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.peft.inspect import inspect_adapter
from remora.adapters.peft.lora_tensors import WEIGHTS_FILE
from remora.adapters.peft.provenance import Provenance, chat_template_fingerprint, read_provenance
from remora.adapters.peft.tensor_file import read_header
from remora.adapters.proof import BOUND_NATS, Effect
from remora.adapters.text.text_files import has_vocabulary
from remora.cli.models.base_option import BaseOption, prepare_base, read_settings
from remora.cli.models.engine_trial import try_adapter, try_base
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import AdapterRejected, ProjectIncomplete
from remora.project.alias import alias_from
from remora.project.settings import Settings
from remora.rollout.golden.prompts import read_golden

PathArgument = Annotated[Path, typer.Argument(help="The adapter's folder.")]
BaseMismatchOption = Annotated[
    bool,
    typer.Option("--allow-base-mismatch", hidden=True, help="Has no effect: another name is only a warning."),
]
NoProofOption = Annotated[
    bool, typer.Option("--no-proof", help="Do not run the base model to see what the adapter changes.")
]


@in_project()
def show(
    path: PathArgument,
    folder: FolderArgument = Path(),
    *,
    allow_base_mismatch: BaseMismatchOption = False,  # noqa: ARG001 - of an earlier release
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Show what an adapter's folder has, checked against the project's base model if there is one."""
    out = Output(output)
    base = _base(folder, path, out)
    adapter = _inspect(path, base)
    _warn(adapter, out)
    document = _document(adapter, base, read_provenance(path), None)
    out.result("adapters.show", document, _table(document))


@in_project()
def verify(
    path: PathArgument,
    folder: FolderArgument = Path(),
    *,
    allow_base_mismatch: BaseMismatchOption = False,  # noqa: ARG001 - of an earlier release
    no_proof: NoProofOption = False,
    base: BaseOption = None,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Check that every tensor of an adapter fits, and that it changes the base model's answers.

    Needs the base model.
    """
    out = Output(output, assume_yes=yes)
    shape = base_of_project(prepare_base(folder, base, out, adapter=path))[1]
    with out.step(f"checking every tensor of {path}") as say:
        adapter = _inspect(path, shape)
        fit = f"{len(adapter.modules)} modules fit {shape.path}"
        say(f"{fit}, {adapter.size_bytes:,} bytes, {short(adapter.digest)}")
    _warn(adapter, out)
    effect = None
    if not no_proof:
        with out.step("asking the base model with and without the adapter") as say:
            effect = _prove(adapter, shape, folder)
            say(str(effect))
    document = _document(adapter, shape, read_provenance(path), effect)
    out.result("adapters.verify", document, _table(document))
    if effect is not None and not effect.is_proven:
        raise AdapterRejected(
            f"{path} does not change the tested answers: {effect}", hint="train it further, or use --no-proof"
        )


def for_adapter(settings: Settings, path: Path) -> Settings:
    """A folder that lists no adapters is no project yet: then the adapter itself says which base it needs."""
    return settings if settings.adapters else replace(settings, adapters={"adapter": path.absolute()})


def _base(project: Path, path: Path, out: Output) -> BaseShape | None:
    try:
        return base_of_project(for_adapter(read_settings(project), path))[1]
    except ProjectIncomplete as error:
        out.warn(f"no base model to compare with: {error.message}; name its project with -C")
        return None


def _warn(adapter: Adapter, out: Output) -> None:
    for remark in adapter.remarks:
        out.warn(remark)


def _inspect(path: Path, base: BaseShape | None) -> Adapter:
    name = alias_from(path.resolve().name)
    adapter = inspect_adapter(name, path, base)
    if base is not None:
        try_base(base)
        try_adapter(base, adapter)
    return adapter


def _prove(adapter: Adapter, base: BaseShape, project: Path) -> Effect:
    """What the adapter changes in the answers to the golden prompts, or to neutral ones."""
    from remora.server.roster.proving import prove_here

    return prove_here(base.path, adapter, [prompt.user for prompt in read_golden(project).prompts])


def _document(
    adapter: Adapter, base: BaseShape | None, provenance: Provenance, effect: Effect | None
) -> dict[str, Any]:
    settings = adapter.settings
    targets = settings.target_modules
    return {
        "path": str(adapter.path),
        "digest": adapter.digest,
        "rank": settings.rank,
        "alpha": settings.alpha,
        "scalings": sorted({module.scaling for module in adapter.modules}),
        "rslora": settings.use_rslora,
        "target_modules": targets if isinstance(targets, str) else list(targets),
        "modules": [module.name for module in adapter.modules],
        "parameters": sum(
            module.rank * (module.in_features + module.out_features) for module in adapter.modules
        ),
        "dtypes": sorted({entry.dtype for entry in read_header(adapter.path / WEIGHTS_FILE)}),
        "size_bytes": adapter.size_bytes,
        "trained_on": settings.base_model_name,
        "remarks": list(adapter.remarks),
        "base": _base_document(base),
        "chat_template": provenance.chat_template or None,
        "text_files": list(adapter.text_files),
        "generation_defaults": dict(adapter.generation_defaults),
        "token_rows": _rows_document(adapter),
        "provenance": dict(provenance.facts),
        "effect": _effect_document(effect),
    }


def _rows_document(adapter: Adapter) -> dict[str, int] | None:
    rows = adapter.token_rows
    if rows is None:
        return None
    embedding, head = (
        {token for source in side for token in source.ids} for side in (rows.embedding, rows.head)
    )
    return {"tokens": rows.token_count, "embedding": len(embedding), "head": len(head)}


def _base_document(base: BaseShape | None) -> dict[str, Any] | None:
    if base is None:
        return None
    template = chat_template_fingerprint(base.path) or None
    return {"path": str(base.path), "fingerprint": base.fingerprint, "chat_template": template}


def _effect_document(effect: Effect | None) -> dict[str, Any] | None:
    if effect is None:
        return None
    return {
        "proven": effect.is_proven,
        "kl_nats_at_least": effect.mean_kl_nats,
        "highest_kl_nats": effect.max_kl_nats,
        "changed_tokens": effect.changed_tokens,
        "tokens": effect.tokens,
        "prompts": effect.prompts,
        "bound_nats": BOUND_NATS,
    }


def _table(document: Mapping[str, Any]) -> str:
    base, effect, targets = document["base"] or {}, document["effect"], document["target_modules"]
    own = document["chat_template"]
    rows = {
        "digest": document["digest"],
        "update": f"rank {document['rank']}, alpha {document['alpha']:g}, scaling"
        f" {', '.join(f'{scaling:g}' for scaling in document['scalings'])}",
        "targets": targets if isinstance(targets, str) else ", ".join(targets),
        "modules": f"{len(document['modules'])} of the base model's, with no tensor left over"
        if base
        else f"{len(document['modules'])}, not compared with a base model",
        "weights": f"{document['parameters']:,} parameters, {', '.join(document['dtypes'])},"
        f" {document['size_bytes']:,} bytes",
        "trained on": document["trained_on"] or "not stated",
        "base": f"{base['path']} ({base['fingerprint']})" if base else "none to compare with",
        "template": _template(own, base.get("chat_template")),
        "tokenizer": _tokenizer(document["text_files"], document["token_rows"]),
        "sampling": _sampling(document["generation_defaults"]),
        **document["provenance"],
    }
    if effect is not None:
        rows["effect"] = (
            f"KL ≥ {effect['kl_nats_at_least']:.3g} nats a token (bound {effect['bound_nats']:g}),"
            f" {effect['changed_tokens']} of {effect['tokens']} greedy tokens changed"
        )
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def _template(own: str | None, base: str | None) -> str:
    if own is None or own == base:
        return f"the base model's ({base})" if base else "none"
    return f"its own ({own}), not the base model's ({base or 'none'})"


def _tokenizer(files: Sequence[str], rows: Mapping[str, int] | None) -> str:
    whose = f"its own ({', '.join(files)})" if has_vocabulary(tuple(files)) else "the base model's"
    if rows is None:
        return whose
    return f"{whose}; {rows['embedding']} rows of the embedding and {rows['head']} of the head are its own"


def _sampling(defaults: Mapping[str, object]) -> str:
    if not defaults:
        return "as requests ask"
    asked = ", ".join(f"{name} {value}" for name, value in defaults.items())
    return f"as requests ask; its generation config asks for {asked}"
