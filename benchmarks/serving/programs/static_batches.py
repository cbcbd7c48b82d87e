"""A peer: whoever waits becomes one batch of PEFT's mixed-adapter `generate`; the next waits for its end.

python static_batches.py MODELS ADAPTERS PORT
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from batches import Waiting, serve
from peft_model import load

GATHER_SECONDS = 0.05  # those that arrive together are answered together


class BatchStreamer:
    """Hands the tokens of each step to their requests."""

    def __init__(self, batch: list[Waiting]) -> None:
        self._batch = batch
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        if self._prompt_seen:
            for waiting, token in zip(self._batch, value.flatten().tolist(), strict=True):
                waiting.tokens.put(token)
        self._prompt_seen = True

    def end(self) -> None:
        for waiting in self._batch:
            waiting.tokens.put(None)


def main() -> None:
    models, adapters, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    model = load(models, adapters)
    serve(port, lambda batch: answer(model, batch, adapters), GATHER_SECONDS)


def answer(model: Any, batch: list[Waiting], adapters: int) -> None:
    length = max(len(one.body["prompt"]) for one in batch)
    prompts = torch.zeros((len(batch), length), dtype=torch.long)
    mask = torch.zeros_like(prompts)
    for row, one in enumerate(batch):
        ids = torch.tensor(one.body["prompt"])
        prompts[row, length - len(ids) :] = ids
        mask[row, length - len(ids) :] = 1
    names = ["__base__" if one.body["model"] == "base" else one.body["model"] for one in batch]
    model.generate(
        input_ids=prompts,
        attention_mask=mask,
        max_new_tokens=max(one.body["max_tokens"] for one in batch),
        do_sample=False,
        streamer=BatchStreamer(batch),
        **({"adapter_names": names} if adapters else {}),
    )


if __name__ == "__main__":
    main()
