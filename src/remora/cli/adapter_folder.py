"""`remora adapters show` and `verify`: an adapter's folder, before anything of it moves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.adapters.adapter import Adapter, short
from remora.adapters.base_shape import BaseShape
from remora.adapters.inspect import inspect_adapter
from remora.adapters.lora_tensors import WEIGHTS_FILE
from remora.adapters.model_set import base_of_project
from remora.adapters.proof import BOUND_NATS, Effect
from remora.adapters.provenance import Provenance, chat_template_fingerprint, read_provenance
from remora.adapters.tensor_file import read_header
from remora.cli.context import read_settings
from remora.cli.output import Mode, Output, OutputOption
from remora.errors import AdapterRejected, ProjectIncomplete
from remora.project.alias import alias_from
from remora.rollout.golden import read_golden

PathArgument = Annotated[Path, typer.Argument(help="The adapter's folder.")]
ProjectOption = Annotated[
    Path, typer.Option("--project", "-p", help="The project with the base model.", show_default="this folder")
]
BaseMismatchOption = Annotated[
    bool,
    typer.Option("--allow-base-mismatch", help="Insist, where the adapter names another base model."),
]
NoProofOption = Annotated[
    bool, typer.Option("--no-proof", help="Do not run the base model to see what the adapter changes.")
]


def show(
    path: PathArgument,
    *,
    project: ProjectOption = Path(),
    allow_base_mismatch: BaseMismatchOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Show what an adapter's folder holds, checked against the project's base model where there is one."""
    out = Output(output)
    base = _base(project, out)
    adapter = _inspect(path, base, allow_base_mismatch)
    document = _document(adapter, base, read_provenance(path), None)
    out.result("adapters.show", document, _table(document))


def verify(
    path: PathArgument,
    *,
    project: ProjectOption = Path(),
    allow_base_mismatch: BaseMismatchOption = False,
    no_proof: NoProofOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Check an adapter from file to effect: every tensor fits, and the base answers otherwise with it."""
    out = Output(output)
    base = _base(project, out)
    with out.step(f"checking every tensor of {path}") as say:
        adapter = _inspect(path, base, allow_base_mismatch)
        say(f"{len(adapter.modules)} modules fit, {adapter.size_bytes:,} bytes, {short(adapter.digest)}")
    effect = None
    if base is not None and not no_proof:
        with out.step("asking the base model with and without the adapter") as say:
            effect = _prove(adapter, base, project)
            say(str(effect))
    document = _document(adapter, base, read_provenance(path), effect)
    out.result("adapters.verify", document, _table(document))
    if effect is not None and not effect.is_proven:
        raise AdapterRejected(
            f"{path} was not seen to change anything: {effect}", hint="train it further, or use --no-proof"
        )


def _base(project: Path, out: Output) -> BaseShape | None:
    try:
        return base_of_project(read_settings(project))[1]
    except ProjectIncomplete as error:
        out.warn(f"no base model to compare with: {error.message}; name one with --project")
        return None


def _inspect(path: Path, base: BaseShape | None, allow_base_mismatch: bool) -> Adapter:
    name = alias_from(path.resolve().name)
    return inspect_adapter(name, path, base, allow_base_mismatch=allow_base_mismatch)


def _prove(adapter: Adapter, base: BaseShape, project: Path) -> Effect:
    """What the adapter changes in the golden prompts' answers, or in those to neutral ones."""
    from remora.server.proving import prove_here

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
        "base": _base_document(base),
        "chat_template": provenance.chat_template or None,
        "provenance": dict(provenance.facts),
        "effect": _effect_document(effect),
    }


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
        "modules": f"{len(document['modules'])} of the base model's, every tensor accounted for"
        if base
        else f"{len(document['modules'])}, not compared with a base model",
        "weights": f"{document['parameters']:,} parameters, {', '.join(document['dtypes'])},"
        f" {document['size_bytes']:,} bytes",
        "trained on": document["trained_on"] or "not said",
        "base": f"{base['path']} ({base['fingerprint']})" if base else "none to compare with",
        "template": _template(own, base.get("chat_template")),
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
    return f"brings its own ({own}), but the base model's ({base or 'none'}) is used"
