"""`remora chat`: a conversation with the endpoint in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.adapters.adapter import Digest, short
from remora.cli.context import open_deployment
from remora.cli.models.adapter_names import complete_model
from remora.cli.output.chat_lines import serve_lines
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.project_folder import FolderArgument, in_project
from remora.cli.waking import answered
from remora.errors import InvalidInput
from remora.rollout.endpoint import Endpoint

app = typer.Typer(add_completion=False)

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Name of the base or an adapter; the first adapter by default.",
        autocompletion=complete_model,
    ),
]
MessageOption = Annotated[
    str | None, typer.Option(help="Ask this one question and exit; without it, start a conversation.")
]
MaxTokensOption = Annotated[int, typer.Option(min=1, help="The longest answer, in tokens.")]
TemperatureOption = Annotated[float, typer.Option(min=0, max=2, help="0 always picks the likeliest token.")]


@app.command(epilog='Example: remora chat examples/tone --model tone --message "I got the job!"')
@in_project()
def chat(
    folder: FolderArgument = Path(),
    model: ModelOption = None,
    message: MessageOption = None,
    max_tokens: MaxTokensOption = 250,
    temperature: TemperatureOption = 0.0,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Chat with the endpoint. Ctrl+C stops an answer, Ctrl+D ends the conversation.

    With --output jsonl, questions are JSON lines on stdin: {"messages": […], "model": "tone"}.
    """
    out = Output(output)
    if message is None and not out.streams and (out.mode is Mode.JSON or not sys.stdin.isatty()):
        raise InvalidInput("there is no terminal to ask on", hint="pass --message", param="--message")
    deployment = open_deployment(folder, out)
    with deployment.endpoint() as endpoint:
        models = [str(item["id"]) for item in answered(deployment.app, out, endpoint.models)]
        chosen = model or models[min(1, len(models) - 1)]
        parameters = {"max_tokens": max_tokens, "temperature": temperature}
        if message is None and out.streams:
            serve_lines(endpoint, models, {"model": chosen, **parameters}, out)
        elif message is None:
            _converse(endpoint, chosen, models, parameters, out)
        else:
            _ask_once(endpoint, chosen, message, parameters, out)


def _ask_once(endpoint: Endpoint, model: str, text: str, parameters: dict[str, Any], out: Output) -> None:
    answer = endpoint.chat(model, [{"role": "user", "content": text}], **parameters)
    document = {
        "model": model,
        "adapter_digest": answer.digest or None,
        "answer": answer.text,
        "finish_reason": answer.finish_reason,
        "completion_tokens": answer.completion_tokens,
    }
    out.result("chat", document, answer.text)


def _converse(
    endpoint: Endpoint, model: str, models: list[str], parameters: dict[str, Any], out: Output
) -> None:
    out.note(
        f"Talking to {model}; others: {', '.join(name for name in models if name != model)}. Ctrl+D ends."
    )
    history: list[dict[str, str]] = []
    while (text := _read_line(out)) is not None:
        if not text:
            continue
        history.append({"role": "user", "content": text})
        answer = _stream(endpoint, model, history, parameters, out)
        history.append({"role": "assistant", "content": answer})


def _read_line(out: Output) -> str | None:
    """A line from the terminal; None after Ctrl+D, or Ctrl+C at the prompt."""
    try:
        return input("> ").strip()
    except (EOFError, KeyboardInterrupt):
        out.line("")
        return None


def _stream(
    endpoint: Endpoint, model: str, history: list[dict[str, str]], parameters: dict[str, Any], out: Output
) -> str:
    """Print an answer as it arrives; Ctrl+C stops it, here and on the server."""
    text = ""
    proof: dict[str, Any] = {}
    chunks = endpoint.stream_chat(model, history, **parameters)
    try:
        for chunk in chunks:
            proof = chunk.get("remora") or proof
            for choice in chunk.get("choices") or ():
                piece = choice["delta"].get("content") or ""
                text += piece
                out.write(piece)
    except KeyboardInterrupt:
        out.write(" …stopped")
    finally:
        chunks.close()
    out.line("")
    if proof:
        digest = proof.get("digest") or ""
        who = f"{model}@{short(Digest(digest))}" if digest else model
        out.note(f"  {who} · {proof.get('tokens_per_second') or 0:.0f} tok/s")
    return text
