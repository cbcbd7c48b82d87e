"""`remora golden`: record the answers of the models on this machine, and check an endpoint against them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.cli.context import open_deployment
from remora.cli.local.local_engine import local_endpoint
from remora.cli.models.base_option import read_settings
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import InvalidInput
from remora.project.files.json_file import replace_text
from remora.rollout.endpoint import Endpoint
from remora.rollout.golden.check import GoldenReport, check_golden, described
from remora.rollout.golden.file import with_recordings
from remora.rollout.golden.prompts import FILE_NAME, GoldenPrompt, read_golden
from remora.rollout.golden.recorder import Recorded
from remora.rollout.golden.recorder import record as record_prompts

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Record and check golden prompts.")

PromptOption = Annotated[
    list[str] | None, typer.Option("--prompt", help="Also ask every model this; can be given several times.")
]
MaxTokensOption = Annotated[
    int, typer.Option(min=1, max=512, help="Maximum tokens of an answer to a new prompt.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace answers written by hand that differ from the model's.")
]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="Check this endpoint instead of the deployed one; without /v1.")
]


@app.command(epilog='Example: remora golden record examples/tone --prompt "I got the job!"')
@in_project()
def record(
    folder: FolderArgument = Path(),
    prompt: PromptOption = None,
    max_tokens: MaxTokensOption = 16,
    overwrite: OverwriteOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Ask the models on this machine, and write their answers to golden.toml; comments and order stay."""
    out = Output(output)
    read_settings(folder)
    golden, path = read_golden(folder), folder / FILE_NAME
    with out.step("starting the engine on this machine") as say, local_endpoint(folder) as endpoint:
        say.now("asking")
        recorded = record_prompts(endpoint, golden, prompt or (), max_tokens, overwrite=overwrite)
        say(f"recorded {len(recorded.entries)} answers")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    replace_text(path, with_recordings(text, recorded.entries, recorded.stack))
    for number, answer in recorded.disagreeing.items():
        mine = golden.prompts[number]
        out.warn(
            f"the answer to prompt {number + 1} ({mine.model!r}, {mine.user!r}) {_written(mine)} by hand"
            f" and is kept; the model answers {answer!r}; to record that, pass --overwrite"
        )
    document = _recorded_document(recorded, path)
    out.result("golden.record", document, f"{len(recorded.entries)} answers are in {path}")


@app.command(epilog="Example: remora golden check examples/tone")
@in_project()
def check(folder: FolderArgument = Path(), url: UrlOption = None, output: OutputOption = Mode.HUMAN) -> None:
    """Check the deployed endpoint (or another) against golden.toml; exit with 8 if an answer differs."""
    out = Output(output)
    golden = read_golden(folder)
    if not golden.prompts:
        raise InvalidInput(f"{folder / FILE_NAME} has no prompts", hint="record some: remora golden record")
    with _endpoint(folder, url, out) as endpoint, out.step(f"asking {endpoint.url}") as say:
        report = check_golden(endpoint, golden)
        say(report.summary)
    for item in report.edited:
        out.warn(
            f"the answer of {item.prompt.model!r} to {item.prompt.user!r} was changed by hand;"
            " the check compares with the changed answer"
        )
    for item in report.failed:
        out.note(f"  (x) {described(item)}")
    report.require()
    report.require_asked()
    out.result("golden.check", golden_document(report), report.summary)


def _written(prompt: GoldenPrompt) -> str:
    return "was changed" if prompt.edited else "was written"


def golden_document(report: GoldenReport) -> dict[str, Any]:
    """A check as data, for `--output json`."""
    return {
        "summary": report.summary,
        "rule": str(report.bounds),
        "passed": len(report.checked) - len(report.failed),
        "failed": len(report.failed),
        "skipped": len(report.skipped),
        "prompts": [
            {
                "model": item.prompt.model,
                "user": item.prompt.user,
                "passed": item.verdict.passed,
                "edited": item.prompt.edited,
                "reason": item.verdict.reason or None,
                "mean_distance": round(item.verdict.mean_distance, 6),
                "largest_distance": round(item.verdict.largest_distance, 6),
            }
            for item in report.checked
        ],
    }


def _endpoint(folder: Path, url: str | None, out: Output) -> Endpoint:
    if url is None:
        return open_deployment(folder, out).endpoint()
    return Endpoint(url.rstrip("/").removesuffix("/v1"), os.environ.get("REMORA_API_KEY", ""))


def _recorded_document(recorded: Recorded, path: Path) -> dict[str, Any]:
    return {
        "file": str(path),
        "recorded": len(recorded.entries),
        "kept": sorted(recorded.disagreeing),
        "engine": recorded.stack.engine,
        "dtype": recorded.stack.dtype,
        "device": recorded.stack.device,
        "template": recorded.stack.template,
    }
