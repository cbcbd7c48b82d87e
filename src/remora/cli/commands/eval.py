"""`remora eval`: how well base and adapters answer given pairs. Computes no scores itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.adapters.adapter import Digest, short
from remora.cli.context import open_deployment
from remora.cli.models.adapter_names import complete_model
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import InvalidInput
from remora.rollout.compare.contestants import adapter_name
from remora.rollout.endpoint import Endpoint
from remora.rollout.evaluation.harness import Metric, Tasks, check_installed, harness_metrics
from remora.rollout.evaluation.kept_scores import keep_scores, kept_scores
from remora.rollout.evaluation.questions import Question
from remora.rollout.evaluation.scores import (
    Evaluation,
    Measure,
    chosen_models,
    document_of,
    evaluate,
    read_pairs,
)

app = typer.Typer(add_completion=False)

PairsOption = Annotated[
    Path | None,
    typer.Option(help='JSONL file; each line is {"prompt": "…", "answer": "…"}, perhaps with "system".'),
]
TasksOption = Annotated[
    str,
    typer.Option(help="Tasks of lm-evaluation-harness, separated by commas (an extra: eval)."),
]
IncludeOption = Annotated[Path | None, typer.Option(help="A folder with tasks of your own, for --tasks.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Only so many examples of each task.")]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="A base or adapter, NAME@DIGEST or NAME@previous; repeatable. Default: all.",
        autocompletion=complete_model,
    ),
]


@app.command("eval", epilog="Example: remora eval examples/tone --pairs pairs.jsonl --model tone")
@in_project()
def eval_models(
    folder: FolderArgument = Path(),
    pairs: PairsOption = None,
    tasks: TasksOption = "",
    include_path: IncludeOption = None,
    limit: LimitOption = None,
    model: ModelOption = None,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Measure base and adapters, with 95 % intervals: by pairs of prompt and answer, or by known tasks.

    The numbers are kept in the project's evaluation.json, one entry for each version.
    """
    if (pairs is None) == (not tasks):
        hint = "see: remora eval --help"
        raise InvalidInput("expected either --pairs or --tasks", hint=hint, param="--pairs")
    asked = read_pairs(pairs) if pairs else []
    kept_scores(folder)  # what cannot be kept is said before anything is asked
    if tasks:
        check_installed()
    out = Output(output)
    deployment = open_deployment(folder, out)
    with deployment.api_endpoint("scores nothing") as endpoint:
        models = chosen_models([str(item["id"]) for item in endpoint.models()], model or ())
        if tasks:
            digests = {name: _digest(endpoint.model(name)) for name in models}
            wanted = Tasks([name.strip() for name in tasks.split(",")], include_path, limit)
            key = deployment.app.api_key()
            measured = {name: _measured(endpoint.url, key, name, wanted, out) for name in models}
            told = _tasks_document(measured, digests)
            keep_scores(folder, ",".join(wanted.names), told)
            out.result("eval.tasks", {"models": told}, _tasks_table(measured))
            return
        found = [_evaluated(endpoint, name, asked, out) for name in models]
    documents = [document_of(each) for each in found]
    keep_scores(folder, pairs.name if pairs else "", documents)
    out.result("eval", {"models": documents}, _table(found))


def _digest(card: Mapping[str, Any]) -> str | None:
    return card["adapter"]["digest"] if card.get("adapter") else None


def _evaluated(endpoint: Endpoint, model: str, pairs: Sequence[Question], out: Output) -> Evaluation:
    with out.step(f"asking {model} {len(pairs)} pairs") as say:
        found = evaluate(endpoint, model, pairs, lambda done: say.now(f"{done} of {len(pairs)}"))
    return replace(found, model=adapter_name(model))


def _measured(url: str, api_key: str, model: str, tasks: Tasks, out: Output) -> list[Metric]:
    with out.step(f"asking {model} the tasks {', '.join(tasks.names)}"), redirect_stdout(sys.stderr):
        return harness_metrics(url, api_key, model, tasks)


def _tasks_document(
    measured: Mapping[str, Sequence[Metric]], digests: Mapping[str, str | None]
) -> list[dict[str, Any]]:
    return [
        {
            "model": adapter_name(model),
            "adapter_digest": digests[model],
            "metrics": [asdict(metric) for metric in metrics],
        }
        for model, metrics in measured.items()
    ]


def _tasks_table(measured: Mapping[str, Sequence[Metric]]) -> str:
    rows = [("model", "task", "metric", "value")]
    for model, metrics in measured.items():
        rows += [(model, each.task, each.name, _number(each.value, each.low, each.high)) for each in metrics]
    return _aligned(rows)


def _table(found: Sequence[Evaluation]) -> str:
    rows = [("model", "accuracy", "NLL per token")]
    rows += [(_who(each), _cell(each.accuracy), _cell(each.nll)) for each in found]
    return _aligned(rows)


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _who(evaluation: Evaluation) -> str:
    if not evaluation.digest:
        return f"{evaluation.model} (base)"
    return f"{evaluation.model}@{short(Digest(evaluation.digest))}"


def _cell(measure: Measure | None) -> str:
    return "not offered" if measure is None else _number(measure.value, measure.low, measure.high)


def _number(value: float, low: float | None, high: float | None) -> str:
    known = low is not None and high is not None
    return f"{value:.3f} ({low:.3f} … {high:.3f})" if known else f"{value:.3f}"
