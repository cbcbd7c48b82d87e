"""Decode steps of the torch engine on this machine, as tokens per second and as ratios.

    python benchmarks/engine_step.py [--rounds 5] [--steps 8] [--quantize int8|int4|nf4] [--device cuda]
                                     [--profile] [--eager] [--dora]

Model: the shape of Qwen2.5-0.5B with random bfloat16 weights; adapters: r = 16 on all seven projections.
Every round runs every load for a few steps, so that other work on the machine disturbs all loads alike. The
figure of a load is the median of its rounds, next to its best. Read the ratios rather than the digits.

With 32 adapters and 16 requests, one request ends every fourth step and another takes its place with the
next adapter. Prefill, HTTP and text are not measured. The bound is the time to read all weights once per
step.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from remora.adapters.adapter import Digest
from remora.engine.base import GenerationRequest, SamplingParams
from remora.engine.torch.cache.slots import Slot, SlotAllocator
from remora.engine.torch.layers.own_attention import exchange_attention
from remora.engine.torch.layers.quantized import quantize_layers
from remora.engine.torch.lora.bank import LoraPair
from remora.engine.torch.model.adapter_reading import AdapterWeights
from remora.engine.torch.model.lora_manager import LoraSet
from remora.engine.torch.model.memory import LAYER_BYTES
from remora.engine.torch.model.model import SlotModel
from remora.engine.torch.native.build import native_library
from remora.engine.torch.native.layers import in_one_place
from remora.engine.torch.sampling import Choice, TokenSampler, choose_tokens
from remora.engine.torch.scheduling.scheduler import Chunk
from remora.engine.torch.scheduling.sequence import Sequence

CONTEXT_TOKENS = 192
CACHE_TOKENS = 18 * CONTEXT_TOKENS
PREFILL_TOKENS = 512
RANK = 16
LAYERS_ALONE = {
    form: (LAYER_BYTES[form], 2) for form in ("int4", "nf4")
}  # bytes of a number, and of one of the head
STEPS_PER_REQUEST_CHANGE = 4
LAYER_SHAPES = {
    "self_attn.q_proj": (896, 896),
    "self_attn.k_proj": (128, 896),
    "self_attn.v_proj": (128, 896),
    "self_attn.o_proj": (896, 896),
    "mlp.gate_proj": (4864, 896),
    "mlp.up_proj": (4864, 896),
    "mlp.down_proj": (896, 4864),
}


@dataclass(frozen=True, slots=True)
class Load:
    """A number of concurrent requests, over a number of adapters."""

    request_count: int
    adapter_count: int

    @property
    def name(self) -> str:
        return f"{self.request_count:>2} requests, {self.adapter_count or 'no':>2} adapters"


LOADS = tuple(
    Load(*pair) for pair in ((1, 0), (1, 1), (4, 0), (4, 1), (4, 8), (16, 0), (16, 1), (16, 8), (16, 32))
)
RATIOS = (((16, 8), (16, 0), 0.85), ((16, 32), (16, 8), 0.9), ((1, 1), (1, 0), 0.0), ((4, 8), (4, 0), 0.0))


class Bench:
    """One model with its adapters, and requests at the same context length."""

    def __init__(self, *, quantize: str, device: str, library: ctypes.CDLL | None, dora: bool) -> None:
        config = Qwen2Config(
            vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
            num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True, dtype="bfloat16",
        )  # fmt: skip
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="eager")
        model = model.eval().to(device)
        exchange_attention(model)
        self.weight_bytes = _weight_bytes(model, quantize)
        if quantize in LAYERS_ALONE:
            quantize_layers(model, quantize)
        self.lora = LoraSet(model, quantize=quantize, library=library)
        self.model = SlotModel(model, self.lora, cache_tokens=CACHE_TOKENS, context_length=CACHE_TOKENS)
        self._fill_cache()
        self.adapters = [Digest(f"{index:064x}") for index in range(32)]
        for digest in self.adapters:
            self.lora.install(digest, _adapter(device, native=library is not None, dora=dora))

    def step_seconds(self, load: Load, step_count: int) -> Iterator[float]:
        """The seconds of each decode step, without the first."""
        slots = SlotAllocator(self.model.cache_tokens)
        made = 0

        def new_sequence() -> Sequence:
            nonlocal made
            adapter = self.adapters[made % load.adapter_count] if load.adapter_count else None
            made += 1
            params = SamplingParams(max_tokens=CONTEXT_TOKENS // 2, temperature=0)
            prompt = tuple((7 * made + index) % 1000 for index in range(CONTEXT_TOKENS // 2))
            request = GenerationRequest(str(made), prompt, params, adapter=adapter)
            sequence = Sequence(request, deliver=lambda _event: True, sampler=TokenSampler(params))
            sequence.slot = slots.reserve(sequence.most_tokens)
            sequence.computed_count = len(prompt) - 1
            return sequence

        running = [new_sequence() for _ in range(load.request_count)]
        for step in range(step_count + 1):
            if load.adapter_count > load.request_count and step % STEPS_PER_REQUEST_CHANGE == 2:
                gone = running.pop(0)
                assert gone.slot is not None  # every sequence has a slot
                slots.release(gone.slot)
                running.append(new_sequence())
            started = time.perf_counter()
            self._step(running)
            if step:
                yield time.perf_counter() - started

    def _fill_cache(self) -> None:
        """Prefill every row once, so that requests can start in the middle of their context."""
        params = SamplingParams(max_tokens=1, temperature=0)
        request = GenerationRequest("fill", tuple(range(CACHE_TOKENS)), params)
        sequence = Sequence(request, deliver=lambda _event: True, sampler=TokenSampler(params))
        sequence.slot = Slot(0, CACHE_TOKENS)
        for start in range(0, CACHE_TOKENS, PREFILL_TOKENS):
            self.model.forward([Chunk(sequence, start, min(PREFILL_TOKENS, CACHE_TOKENS - start))])

    def _step(self, running: list[Sequence]) -> None:
        chunks = self.model.arranged([Chunk(sequence, sequence.computed_count, 1) for sequence in running])
        samplers = [chunk.sequence.sampler for chunk in chunks]
        choices = choose_tokens(self.model.forward(chunks), samplers, [()] * len(chunks))
        for chunk, (choice,) in zip(chunks, choices, strict=True):
            assert isinstance(choice, Choice)
            chunk.sequence.tokens.append(choice.token_id)
            chunk.sequence.computed_count += 1


def _weight_bytes(model: torch.nn.Module, quantize: str) -> float:
    """What a step reads; in 4 bits the head stays in 16 bits."""
    distinct = {parameter.data_ptr(): parameter.numel() for parameter in model.parameters()}
    head = model.get_output_embeddings().weight.numel()  # type: ignore[operator]
    layers = sum(distinct.values()) - head
    by_layer, by_head = {"none": (2, 2), "int8": (1, 1), **LAYERS_ALONE}[quantize]
    return float(layers * by_layer + head * by_head)


def _adapter(device: str, *, native: bool, dora: bool) -> AdapterWeights:
    def random(size: int) -> torch.Tensor:
        return torch.randn(RANK, size, dtype=torch.bfloat16, device=device) * 0.02

    pairs = {
        f"model.layers.{layer}.{name}": LoraPair(
            random(inputs), random(outputs), torch.rand(2, outputs, device=device) if dora else None
        )
        for layer in range(24)
        for name, (outputs, inputs) in LAYER_SHAPES.items()
    }
    return AdapterWeights(in_one_place(pairs) if native else pairs, None, len(pairs))


def bandwidth(device: str) -> float:
    """Bytes per second that all cores read together, the best of several passes over 512 MiB."""
    data = torch.ones(2**27, device=device)
    best = float("inf")
    for _ in range(8):
        started = time.perf_counter()
        data.sum().item()
        best = min(best, time.perf_counter() - started)
    return data.numel() * 4 / best


def report(bench: Bench, times: dict[Load, list[list[float]]], bandwidths: list[float]) -> None:
    bound = max(bandwidths) / bench.weight_bytes
    usual = statistics.median(bandwidths) / 1e9
    print(f"read bandwidth {max(bandwidths) / 1e9:.1f} GB/s (median {usual:.1f}); ", end="")
    print(f"weights {bench.weight_bytes / 1e9:.3f} GB: at most {bound:.1f} steps a second\n")
    print(f"{'load':<26}{'tok/s median':>13}{'best':>8}{'step ms':>9}{'share of bound':>16}{'best':>6}")
    medians, bests = {}, {}
    for load, rounds in times.items():
        medians[load] = statistics.median(statistics.median(steps) for steps in rounds)
        bests[load] = min(min(steps) for steps in rounds)
        rate, best = load.request_count / medians[load], load.request_count / bests[load]
        shares = [1 / seconds / bound for seconds in (medians[load], bests[load])]
        figures = f"{rate:>13.1f}{best:>8.1f}{medians[load] * 1e3:>9.1f}{shares[0]:>15.0%}{shares[1]:>7.0%}"
        print(f"{load.name:<26}{figures}")
    print()
    for pair, base_pair, goal in RATIOS:
        load, base = Load(*pair), Load(*base_pair)
        by_round = [
            statistics.median(b) / statistics.median(a) for a, b in zip(times[load], times[base], strict=True)
        ]
        goal_text = f"   goal {goal}" if goal else ""
        ratio, best = statistics.median(by_round), bests[base] / bests[load]
        print(f"{load.name} against {base.name}: {ratio:.2f} (best steps: {best:.2f}){goal_text}")


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--quantize", default="none", choices=("none", "int8", *LAYERS_ALONE))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--profile", action="store_true", help="print a profile of a mixed step")
    parser.add_argument("--eager", action="store_true", help="without native code")
    parser.add_argument("--dora", action="store_true", help="adapters with DoRA's gains")
    options = parser.parse_args()
    library = None if options.eager or options.device != "cpu" else native_library()
    bench = Bench(quantize=options.quantize, device=options.device, library=library, dora=options.dora)
    if options.profile:
        list(bench.step_seconds(Load(16, 8), 2))
        with torch.profiler.profile() as profile:
            list(bench.step_seconds(Load(16, 8), 4))
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))
        return
    times: dict[Load, list[list[float]]] = {load: [] for load in LOADS}
    bandwidths = []
    for _ in range(options.rounds):
        bandwidths.append(bandwidth(options.device))
        for load in LOADS:
            times[load].append(list(bench.step_seconds(load, options.steps)))
    report(bench, times, bandwidths)


if __name__ == "__main__":
    main()
