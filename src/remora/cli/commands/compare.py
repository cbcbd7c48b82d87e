"""`remora compare`: what a fine-tune changes, as a report. Owns the options; computes nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from remora.cli.compare.compared_models import contestants, layers_of, serving
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import Interrupted, InvalidInput, writing
from remora.project.files.json_file import replace_text
from remora.rollout.compare.comparison import compare
from remora.rollout.compare.document import document_of, encoded
from remora.rollout.compare.gathering import Limits, gather
from remora.rollout.compare.markdown import markdown_of
from remora.rollout.compare.questions import GOLDEN, questions_of
from remora.rollout.compare.report import html_of
from remora.rollout.compare.scorers import find_scorer
from remora.rollout.compare.switching import switch_off_layers

app = typer.Typer(add_completion=False)

ModelsOption = Annotated[
    str,
    typer.Option(
        "--models",
        help="Models separated by commas, the reference first: base, NAME, NAME@DIGEST, NAME@previous, or"
        " NAME*0.5 for a strength. Default: the base and all adapters.",
    ),
]
PromptsOption = Annotated[
    str,
    typer.Option(
        "--prompts",
        help='JSONL file; each line is {"prompt": "…"}, perhaps with "answer" and "system". Or: golden.',
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", help="The report; its data is written beside it, as .json.")
]
MarkdownOption = Annotated[
    Path | None, typer.Option("--markdown", help="Also write a summary as Markdown, for a pull request.")
]
ScorerOption = Annotated[
    list[str] | None,
    typer.Option("--scorer", help="A function of yours, module:function; can be given several times."),
]
MaxTokensOption = Annotated[int, typer.Option(min=1, max=4096, help="Maximum tokens of an answer.")]
HeatOption = Annotated[int, typer.Option(min=0, max=1000, help="How many prompts get a token heat-map.")]
ParallelOption = Annotated[int, typer.Option(min=1, max=256, help="How many requests to send at a time.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="Ask this endpoint instead of the deployed one; without /v1.")
]
LocalOption = Annotated[bool, typer.Option("--local", help="Ask the engine on this machine; deploy nothing.")]


@app.command(epilog="Example: remora compare examples/tone --models base,tone --out tone.html")
@in_project()
def compare_models(
    folder: FolderArgument = Path(),
    models: ModelsOption = "",
    prompts: PromptsOption = GOLDEN,
    out: OutOption = Path("report.html"),
    markdown: MarkdownOption = None,
    scorer: ScorerOption = None,
    max_tokens: MaxTokensOption = 64,
    heat: HeatOption = 12,
    parallel: ParallelOption = 16,
    url: UrlOption = None,
    local: LocalOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Ask base and adapters the same prompts, and write a report of what differs, with 95 % intervals."""
    if out.suffix == ".json":
        raise InvalidInput(
            f"--out is {out}, where the data goes", hint="name the report .html", param="--out"
        )
    questions = questions_of(prompts, folder)
    scorers = [find_scorer(name, folder) for name in scorer or ()]
    limits = Limits(max_tokens, heat, parallel)
    told = Output(output)
    with serving(folder, url, told, local=local) as served:
        chosen, layers = contestants(served, models), layers_of(served, folder)
        names = ", ".join(one.label for one in chosen)
        with told.step(f"asking {names} {len(questions)} prompts") as say, told_of_an_interrupt():
            found = gather(chosen, questions, limits, lambda done, of: say.now(f"{done} of {of} requests"))
            switch_off_layers(
                found, layers, limits, lambda done, of: say.now(f"{done} of {of} requests with a layer off")
            )
        with told.step("computing intervals"):
            comparison = compare(questions, found, scorers, layers)
    document = document_of(comparison, limits, source=_source(prompts))
    files = {out: html_of(document), out.with_suffix(".json"): encoded(document)}
    if markdown is not None:
        files[markdown] = markdown_of(document)
    for path, text in files.items():
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_text(path, text)
    lines = [one["text"] for one in document["verdicts"]]
    summary = {key: document[key] for key in ("verdicts", "settings", "models", "timings")}
    told.result(
        "compare", {**summary, "files": [str(path) for path in files]}, "\n".join([*lines, f"Report: {out}"])
    )


@contextmanager
def told_of_an_interrupt() -> Iterator[None]:
    """Say what becomes of the report. Raises Interrupted on Ctrl+C."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; no report was written, and the endpoint has stopped the answers",
            hint="start again with: remora compare",
        ) from None


def _source(prompts: str) -> str:
    return "golden.toml" if prompts == GOLDEN else Path(prompts).name
