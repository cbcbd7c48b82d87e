"""Whoever waits together is answered together: the queue of the peers that work in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from queue import Empty, Queue
from threading import Thread
from typing import Any

import streams

MOST_IN_A_BATCH = 64


class Waiting:
    """One request and the tokens that come for it; None is their end."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.tokens: Queue[int | None] = Queue()


def serve(port: int, answer: Callable[[list[Waiting]], None], gather_seconds: float) -> None:
    """Answer on loopback until killed, batch by batch; those that come within `gather_seconds` share one."""
    queue: Queue[Waiting] = Queue()

    def answer_forever() -> None:
        while True:
            answer(_gathered(queue, gather_seconds))

    def generate(body: dict[str, Any]) -> Iterator[int]:
        mine = Waiting(body)
        queue.put(mine)
        while (token := mine.tokens.get()) is not None:
            yield token

    Thread(target=answer_forever, daemon=True).start()
    streams.serve(port, generate)


def _gathered(queue: Queue[Waiting], gather_seconds: float) -> list[Waiting]:
    batch = [queue.get()]
    time.sleep(gather_seconds)  # what a static batch costs: it has to wait for company
    while len(batch) < MOST_IN_A_BATCH:
        try:
            batch.append(queue.get_nowait())
        except Empty:
            break
    return batch
