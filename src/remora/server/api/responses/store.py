"""Responses that a later request may go on from. Owns how many, how large and how long; in memory only.

A replica keeps its own, and a restart forgets them: a client that must be sure sends the conversation itself.
Only the key that made a response finds it again.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from remora.errors import NotFound
from remora.server.generation.turns import Turn, character_count

Item = dict[str, Any]

MOST_RESPONSES = 1024
MOST_CHARACTERS = 32 * 1024 * 1024
KEPT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The response as it was sent, the items before it, and the conversation up to and with it.

    Instructions are in neither.
    """

    resource: Item
    input_items: Sequence[Item]
    turns: Sequence[Turn]
    character_count: int
    expires_at: float


class ResponseStore:
    """The latest responses of all keys. `now` gives seconds that only grow."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._stored: OrderedDict[tuple[str, str], StoredResponse] = OrderedDict()
        self._characters = 0

    def put(self, owner: str, resource: Item, input_items: Sequence[Item], turns: Sequence[Turn]) -> None:
        """Keep one; the oldest go where there are too many."""
        characters = len(json.dumps([resource, list(input_items)])) + sum(map(character_count, turns))
        expires_at = self._now() + KEPT_SECONDS
        stored = StoredResponse(resource, tuple(input_items), tuple(turns), characters, expires_at)
        self._stored[owner, resource["id"]] = stored
        self._characters += characters
        while self._is_over():
            self._forget(next(iter(self._stored)))

    def get(self, owner: str, response_id: str, *, param: str | None = None) -> StoredResponse:
        """Raises NotFound: unknown, somebody else's, or too old."""
        stored = self._stored.get((owner, response_id))
        if stored is None or stored.expires_at < self._now():
            raise NotFound(
                f"there is no response {response_id!r}",
                hint="they are kept for an hour at most: send the conversation itself",
                param=param,
            )
        return stored

    def item(self, owner: str, item_id: str) -> Item:
        """An item of the input or the output of a response that is kept. Raises NotFound."""
        for (whose, _), stored in reversed(self._stored.items()):
            if whose != owner or stored.expires_at < self._now():
                continue
            items: list[Item] = [*stored.resource["output"], *stored.input_items]
            for item in items:
                if item["id"] == item_id:
                    return item
        raise NotFound(
            f"there is no item {item_id!r}",
            hint="they are kept with their response, for an hour at most: send the item itself",
            param="input",
        )

    def delete(self, owner: str, response_id: str) -> None:
        """Raises NotFound."""
        self.get(owner, response_id)
        self._forget((owner, response_id))

    def _is_over(self) -> bool:
        oldest = next(iter(self._stored.values()), None)
        if oldest is None:
            return False
        full = len(self._stored) > MOST_RESPONSES or self._characters > MOST_CHARACTERS
        return full or oldest.expires_at < self._now()

    def _forget(self, key: tuple[str, str]) -> None:
        self._characters -= self._stored.pop(key).character_count
