"""A peer: OpenVINO GenAI's continuous batching behind the smallest server.

Whoever waits is grouped by adapter, and the groups are answered one after the other: a pipeline knows one set
of adapters at a time (given two for one batch it applies the first to both, without a word).

    python openvino_server.py MODELS ADAPTERS PORT fp16|int8
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import numpy as np
import openvino
import openvino_genai
import streams

MOST_IN_A_BATCH = 64
GATHER_SECONDS = 0.02
CACHE_GIB = 2


class Waiting:
    """One request and the tokens that come for it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.tokens: Queue[list[int] | None] = Queue()


def main() -> None:
    models, adapters, port, precision = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    loaded = {
        f"a{number}": openvino_genai.Adapter(
            str(models / "adapters" / f"a{number}" / "adapter_model.safetensors")
        )
        for number in range(adapters)
    }
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = CACHE_GIB
    scheduler.max_num_seqs = MOST_IN_A_BATCH
    extra = {"adapters": openvino_genai.AdapterConfig(list(loaded.values()))} if loaded else {}
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        str(models / f"openvino-{precision}"), scheduler, "CPU", {}, {}, **extra
    )
    waiting: Queue[Waiting] = Queue()
    Thread(target=answer_forever, args=(pipeline, waiting, loaded), daemon=True).start()

    def generate(body: dict[str, Any]) -> Iterator[int]:
        mine = Waiting(body)
        waiting.put(mine)
        while (tokens := mine.tokens.get()) is not None:
            yield from tokens

    streams.serve(port, generate)


def answer_forever(pipeline: Any, waiting: Queue[Waiting], loaded: dict[str, Any]) -> None:
    while True:
        groups: dict[str, list[Waiting]] = {}
        for one in gather(waiting):
            groups.setdefault(one.body["model"], []).append(one)
        for name, group in groups.items():
            answer(pipeline, group, loaded.get(name))


def answer(pipeline: Any, group: list[Waiting], adapter: Any) -> None:
    """`generate` gives all answers at its end; the template's scale, alpha / r, is passed by hand."""
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = max(one.body["max_tokens"] for one in group)
    config.ignore_eos = True
    if adapter is not None:
        config.adapters = openvino_genai.AdapterConfig(adapter, 2.0)
    prompts = [openvino.Tensor(np.array([one.body["prompt"]], dtype=np.int64)) for one in group]
    results = pipeline.generate(prompts, [config] * len(group))
    for one, result in zip(group, results, strict=True):
        one.tokens.put(list(result.m_generation_ids[0]))
        one.tokens.put(None)


def gather(waiting: Queue[Waiting]) -> list[Waiting]:
    batch = [waiting.get()]
    time.sleep(GATHER_SECONDS)
    while len(batch) < MOST_IN_A_BATCH:
        try:
            batch.append(waiting.get_nowait())
        except Empty:
            break
    return batch


if __name__ == "__main__":
    main()
