"""A peer: one thread and one `generate` for each request, as AI Toolkit's template serves a model.

The template knows one adapter. Here each request names its own, through PEFT's `adapter_names`, since
`set_adapter` is global to the model and threads would race for it.

    python threads.py MODELS ADAPTERS PORT
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from queue import Queue
from threading import Thread
from typing import Any

import streams
import torch
from peft_model import load


class TokenQueue:
    """What `generate` calls a streamer: first the prompt, then each token."""

    def __init__(self) -> None:
        self.tokens: Queue[int | None] = Queue()
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        if self._prompt_seen:
            self.tokens.put(int(value.flatten()[0]))
        self._prompt_seen = True

    def end(self) -> None:
        self.tokens.put(None)


def main() -> None:
    models, adapters, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    model = load(models, adapters)

    def generate(body: dict[str, Any]) -> Iterator[int]:
        queue = TokenQueue()
        prompt = torch.tensor([body["prompt"]])
        names = {"adapter_names": ["__base__" if body["model"] == "base" else body["model"]]}
        arguments = {
            "input_ids": prompt,
            "attention_mask": torch.ones_like(prompt),
            "max_new_tokens": body["max_tokens"],
            "do_sample": False,
            "streamer": queue,
            **(names if adapters else {}),
        }
        Thread(target=model.generate, kwargs=arguments, daemon=True).start()
        while (token := queue.tokens.get()) is not None:
            yield token

    streams.serve(port, generate)


if __name__ == "__main__":
    main()
