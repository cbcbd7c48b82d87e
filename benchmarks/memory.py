"""The parts of a server's memory, when it is ready and after it has answered, with and without chat page.

    python -m benchmarks.memory [--adapters 8] [--quantize int8] [--folder .bench] [--tiny]

The model is that of `benchmarks.serving`. Each server runs in its own process, as for users. Its resident
memory is split into the required part (the base model's weights as in the checkpoint, the adapters' files,
keys and values) and the rest, next to the memory of the imports alone in an idle process. Keys and values
are counted for the tokens of prompts and answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from benchmarks.serving.memory import resident_mib
from benchmarks.serving.model import make_models
from benchmarks.serving.process import Running, started
from benchmarks.serving.servers import Server, openai_request, openai_tokens, remora_command

REQUESTS, PROMPT_TOKENS, ANSWER_TOKENS = 16, 128, 64
MIB = 2**20
BYTES_PER_VALUE = 2  # bfloat16
IMPORTS = {
    "off": "import remora.engine.torch.engine, remora.server.serving",
    "on": "import remora.engine.torch.engine, remora.server.serving, remora.server.ui.page",
}
GOALS_MB = {"on": 600, "off": 420}


@dataclass(frozen=True, slots=True)
class Needed:
    """The required memory in MiB; keys and values are those of all tokens after the requests."""

    weights: float
    adapters: float
    keys_and_values: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--quantize", choices=("none", "int8"), default="none")
    parser.add_argument("--folder", type=Path, default=Path(".bench"))
    parser.add_argument("--tiny", action="store_true", help="a toy model, to try the program itself")
    options = parser.parse_args()
    models = make_models(options.folder.resolve(), options.adapters, tiny=options.tiny)
    needed = _needed(models, options.adapters)
    answered = replace(needed, keys_and_values=_keys_and_values(models))
    print("| MiB | chat page | resident | weights | adapters | keys and values | rest | goal |")
    print("|---|---|---|---|---|---|---|---|")
    for page in IMPORTS:
        _print_row("imports alone", page, _imports_alone(page), Needed(0, 0))
        server = _server(page, options.quantize)
        with started(server, models, options.adapters) as process:
            if page == "on":  # it is made for the first visitor
                httpx.get(f"http://127.0.0.1:{process.port}/").raise_for_status()
            _print_row("ready", page, process.memory_mib(), needed)
            asyncio.run(_ask(process, options.adapters))
            _print_row(f"after {REQUESTS} requests", page, process.memory_mib(), answered)
            print(f"| highest so far | {page} | {process.peak_memory_mib():.0f} | | | | | |")


def _needed(models: Path, adapters: int) -> Needed:
    files = [models / "adapters" / f"a{number}" / "adapter_model.safetensors" for number in range(adapters)]
    return Needed(
        weights=(models / "base" / "model.safetensors").stat().st_size / MIB,
        adapters=sum(file.stat().st_size for file in files) / MIB,
    )


def _keys_and_values(models: Path) -> float:
    config = json.loads((models / "base" / "config.json").read_text())
    head_size = config["hidden_size"] // config["num_attention_heads"]
    values = int(2 * config["num_hidden_layers"] * config["num_key_value_heads"] * head_size)
    return REQUESTS * (PROMPT_TOKENS + ANSWER_TOKENS) * values * BYTES_PER_VALUE / MIB


def _server(page: str, quantize: str) -> Server:
    def command(models: Path, adapters: int, port: int) -> list[str]:
        return remora_command(models, adapters, port, "--quantize", quantize)

    environment = {"REMORA_SERVE_PAGE": page, "REMORA_SERVE_PROOF": "off"}
    precision = "int8" if quantize == "int8" else "bf16"
    request = openai_request("base")
    return Server("Remora", precision, command, request, openai_tokens, "/readyz", environment)


def _imports_alone(page: str) -> float:
    program = f"{IMPORTS[page]}; print(flush=True); input()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError("the imports failed")
        memory = resident_mib(process.pid)
        process.communicate(b"\n")
    return memory


async def _ask(process: Running, adapters: int) -> None:
    """All requests at once, spread over the adapters."""
    url = f"http://127.0.0.1:{process.port}"
    async with httpx.AsyncClient(base_url=url, timeout=600) as http:
        bodies = [
            {
                "model": f"a{number % adapters}" if adapters else "base",
                "prompt": [10 + (number * 7919 + index * 104729) % 4000 for index in range(PROMPT_TOKENS)],
                "max_tokens": ANSWER_TOKENS,
                "temperature": 0,
            }
            for number in range(REQUESTS)
        ]
        for answer in await asyncio.gather(*(http.post("/v1/completions", json=body) for body in bodies)):
            answer.raise_for_status()


def _print_row(what: str, page: str, resident: float, needed: Needed) -> None:
    rest = resident - needed.weights - needed.adapters - needed.keys_and_values
    parts = (resident, needed.weights, needed.adapters, needed.keys_and_values, rest)
    goal = f"≤ {GOALS_MB[page] * 1e6 / MIB:.0f}" if needed.weights else ""
    print(f"| {what} | {page} | " + " | ".join(f"{part:.0f}" for part in parts) + f" | {goal} |")


if __name__ == "__main__":
    main()
