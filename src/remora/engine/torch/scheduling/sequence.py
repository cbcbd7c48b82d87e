"""One request on its way through the engine. Owns its tokens and how many of them are computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile

from remora.adapters.adapter import Digest
from remora.engine.base import FinishReason, GenerationRequest, TokenScore
from remora.engine.torch.cache.slots import Slot
from remora.engine.torch.sampling import TokenSampler
from remora.engine.torch.scheduling.drafts import Drafts
from remora.engine.torch.stream import Event

Deliver = Callable[[Event], bool]
"""Hands an event to the reader of the stream; False if it has none any more."""


AdapterUse = tuple[Digest, float]
"""An adapter, whole or as `name_without` calls what is left of it, and the scale it is used at."""


def name_without(adapter: Digest, layer: int) -> Digest:
    """What an adapter without its update in a layer goes by, so that all that is kept of it is kept apart."""
    return Digest(f"{adapter}-without-{layer}")


@dataclass(slots=True, eq=False)
class Sequence:
    """Prompt and answer so far. `cancelled` may be set from any thread; the rest is the engine's."""

    request: GenerationRequest
    deliver: Deliver
    sampler: TokenSampler
    tokens: list[int] = field(init=False)
    computed_count: int = 0  # tokens whose keys and values are in the cache
    reused_count: int = 0  # prompt tokens that were in the cache already when it was first admitted
    arrival: int = 0  # counts up from one request to the next
    slot: Slot | None = None
    is_long: bool = False  # its keys are those of a long text, where the model makes a difference
    scores: list[TokenScore] = field(default_factory=list)  # of the prompt's tokens from the second on
    drafts: Drafts = field(default_factory=Drafts)
    cancelled: bool = False

    def __post_init__(self) -> None:
        self.tokens = list(self.request.prompt_ids)

    @property
    def pending_count(self) -> int:
        """Tokens that must still go through the model before the next one can be chosen."""
        return len(self.tokens) - self.computed_count

    @property
    def unscored_count(self) -> int:
        """Tokens of the prompt whose scores are wanted and not known yet."""
        if self.request.sampling.prompt_logprobs is None:
            return 0
        return len(self.request.prompt_ids) - 1 - len(self.scores)

    @property
    def answer_count(self) -> int:
        """Tokens of the answer so far."""
        return len(self.tokens) - len(self.request.prompt_ids)

    @property
    def adapter_use(self) -> AdapterUse | None:
        """None where the base model answers: scaled by 0, an adapter adds nothing."""
        request = self.request
        if request.adapter is None or request.adapter_scale == 0:
            return None
        layer = request.adapter_without_layer
        used = request.adapter if layer is None else name_without(request.adapter, layer)
        return used, request.adapter_scale

    @property
    def most_tokens(self) -> int:
        """The most tokens that this sequence can ever hold."""
        return len(self.request.prompt_ids) + self.request.sampling.max_tokens

    def grow_long(self) -> None:
        """Have all keys computed again, as those of a long text."""
        self.is_long = True
        self.computed_count = 0

    def draft(self, most: int) -> tuple[int, ...]:
        """What may follow, for the rows that it has; nothing behind which the answer would have to end."""
        if self.slot is None or not self.answer_count:
            return ()
        room = min(self.slot.row_count, self.most_tokens - 1) - len(self.tokens)
        stops = self.request.stop_token_ids
        return tuple(
            takewhile(lambda token: token not in stops, self.drafts.make(self.tokens, min(most, room)))
        )

    def append(self, token_id: int) -> FinishReason | None:
        """Add the chosen token and say whether, and why, it is the last."""
        self.tokens.append(token_id)
        if token_id in self.request.stop_token_ids:
            return FinishReason.STOP
        return FinishReason.LENGTH if len(self.tokens) >= self.most_tokens else None

    def cancel(self) -> None:
        """Nobody reads on: the next step goes without it. From any thread, and also after the end."""
        self.cancelled = True
