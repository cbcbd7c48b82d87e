"""A peer: OpenVINO GenAI's continuous batching behind the smallest server.

Whoever waits is grouped by adapter, and the groups are answered one after the other: a pipeline knows one set
of adapters at a time (given two for one batch it applies the first to both, without a word).

    python openvino_server.py MODELS ADAPTERS PORT fp16|int8

Reads MODELS/openvino-fp16 or -int8, which `optimum-cli export openvino -m MODELS/base` is to have written.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai
from batches import MOST_IN_A_BATCH, Waiting, serve

GATHER_SECONDS = 0.02
CACHE_GIB = 2


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
        str(models / f"openvino-{precision}"), scheduler, "CPU", extra
    )

    def answer_all(batch: list[Waiting]) -> None:
        groups: dict[str, list[Waiting]] = {}
        for one in batch:
            groups.setdefault(one.body["model"], []).append(one)
        for name, group in groups.items():
            answer(pipeline, group, loaded.get(name))

    serve(port, answer_all, GATHER_SECONDS)


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
        for token in (*result.m_generation_ids[0], None):
            one.tokens.put(token)


if __name__ == "__main__":
    main()
