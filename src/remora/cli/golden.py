"""`remora golden`: record what the models on this machine answer, and hold an endpoint to it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.cli.context import FolderArgument, open_deployment, read_settings
from remora.cli.output import Mode, Output, OutputOption
from remora.errors import EngineFailed, InvalidInput
from remora.project.json_file import replace_text
from remora.rollout.endpoint import Endpoint
from remora.rollout.golden import FILE_NAME, read_golden
from remora.rollout.golden_check import GoldenReport, check_golden, described
from remora.rollout.golden_file import with_recordings
from remora.rollout.recorder import Recorded
from remora.rollout.recorder import record as record_prompts

_READY = "ready on "
_KEY_BYTES = 24

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Record and check golden prompts.")

PromptOption = Annotated[
    list[str] | None, typer.Option("--prompt", help="Ask this of every model, too; can be given repeatedly.")
]
MaxTokensOption = Annotated[int, typer.Option(min=1, max=512, help="Length of the answers of new prompts.")]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace answers written by hand where the model says otherwise.")
]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="Another endpoint than the deployed one, without /v1.")
]


@app.command(epilog='Example: remora golden record examples/tone --prompt "I got the job!"')
def record(
    folder: FolderArgument = Path(),
    prompt: PromptOption = None,
    max_tokens: MaxTokensOption = 16,
    overwrite: OverwriteOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Ask the models on this machine, and write what they say to golden.toml; comments and order stay."""
    out = Output(output)
    read_settings(folder)
    golden, path = read_golden(folder), folder / FILE_NAME
    with out.step("starting the engine on this machine") as say, _local_endpoint(folder) as endpoint:
        say.now("asking")
        recorded = record_prompts(endpoint, golden, prompt or (), max_tokens, overwrite=overwrite)
        say(f"recorded {len(recorded.entries)} answers")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    replace_text(path, with_recordings(text, recorded.entries, recorded.stack))
    for number, answer in recorded.disagreeing.items():
        mine = golden.prompts[number]
        out.warn(
            f"prompt {number + 1} ({mine.model!r}, {mine.user!r}) was written by hand and is kept: the model"
            f" says {answer!r}; take that with --overwrite"
        )
    document = _recorded_document(recorded, path)
    out.result("golden.record", document, f"{len(recorded.entries)} answers are in {path}")


@app.command(epilog="Example: remora golden check examples/tone")
def check(folder: FolderArgument = Path(), url: UrlOption = None, output: OutputOption = Mode.HUMAN) -> None:
    """Hold the deployed endpoint (or another) to golden.toml; exit 8 where it answers otherwise."""
    out = Output(output)
    golden = read_golden(folder)
    if not golden.prompts:
        raise InvalidInput(
            f"{folder / FILE_NAME} has no prompts", hint=f"record some: remora golden record {folder}"
        )
    with _endpoint(folder, url, out) as endpoint, out.step(f"asking {endpoint.url}") as say:
        report = check_golden(endpoint, golden)
        say(report.summary)
    for item in report.failed:
        out.note(f"  (x) {described(item)}")
    report.require()
    out.result("golden.check", golden_document(report), report.summary)


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


@contextmanager
def _local_endpoint(folder: Path) -> Iterator[Endpoint]:
    """`remora serve` of the folder, on a port and with a key of its own, for as long as the block runs."""
    key = secrets.token_urlsafe(_KEY_BYTES)
    environment = {**os.environ, "REMORA_API_KEY": key, "REMORA_OUTPUT": Mode.HUMAN}
    command = [sys.executable, "-m", "remora", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            with Endpoint(_url_of(process), key) as endpoint:
                yield endpoint
        finally:
            process.kill()  # it is ours alone and keeps nothing; a polite end would take seconds
            process.communicate()


def _url_of(process: subprocess.Popen[str]) -> str:
    """Where it listens, once it is ready. Raises EngineFailed with its last line where it ends first."""
    last = ""
    for line in process.stderr or ():
        if line.startswith(_READY):
            return line.removeprefix(_READY).strip()
        last = line.strip() or last
    raise EngineFailed(f"the engine on this machine did not start: {last}", hint="try: remora serve")


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
