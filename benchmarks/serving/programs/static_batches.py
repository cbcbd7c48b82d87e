"""A peer: whoever waits becomes one batch of PEFT's mixed-adapter `generate`; the next waits for its end.

python static_batches.py MODELS ADAPTERS PORT
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from queue import Empty, Queue
from threading import Thread
from typing import Any

import streams
import torch
from peft_model import load

MOST_IN_A_BATCH = 64
GATHER_SECONDS = 0.05  # those that arrive together are answered together


class Waiting:
    """One request and the tokens that come for it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.tokens: Queue[int | None] = Queue()


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
    waiting: Queue[Waiting] = Queue()
    Thread(target=answer_forever, args=(model, waiting, adapters), daemon=True).start()

    def generate(body: dict[str, Any]) -> Iterator[int]:
        mine = Waiting(body)
        waiting.put(mine)
        while (token := mine.tokens.get()) is not None:
            yield token

    streams.serve(port, generate)


def answer_forever(model: Any, waiting: Queue[Waiting], adapters: int) -> None:
    while True:
        batch = gather(waiting)
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
