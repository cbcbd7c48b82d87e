"""Asks what adapters say without their update in one layer, of tokens that they said. Owns these requests.

Four answers of each model are enough for a picture, and keep the number of requests small: for each of them
one a layer, and two more. The base is the model at strength 0, so that the figures are the same whatever the
reference of the comparison is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from remora.errors import UnsupportedParameter
from remora.rollout.compare.asking import Asker, Count, Progress, Scores, Told, all_of
from remora.rollout.compare.contestants import Contestant
from remora.rollout.compare.gathering import Gathered, Limits, SwitchedOff
from remora.rollout.compare.heat import distances
from remora.rollout.compare.layers import Layer

MOST_PROMPTS = 4  # of those that get a heat-map


@dataclass(frozen=True, slots=True)
class _Task:
    """A model with the layers to switch off, and the answers whose tokens are scored."""

    one: Gathered
    layers: Sequence[int]
    texts: Sequence[Told]

    @property
    def models(self) -> list[Contestant]:
        """The base, the model itself, and the model without each layer."""
        who = self.one.who
        return [replace(who, scale=0.0), who, *(replace(who, without_layer=layer) for layer in self.layers)]


def switch_off_layers(
    found: Sequence[Gathered],
    layers: Callable[[Gathered], Sequence[Layer]],
    limits: Limits,
    tell: Progress = lambda *_: None,
) -> None:
    """Fill in `switched_off` of each model that has layers and answers with a heat-map.

    `tell` gets the numbers of requests. Raises the errors of the endpoint. Ctrl+C ends the answers.
    """
    every = [_task(one, layers(one), min(MOST_PROMPTS, limits.heat_prompts)) for one in found]
    tasks = [task for task in every if task.layers and task.texts]
    if tasks:
        asyncio.run(_switch_off(tasks, limits, tell))


def _task(one: Gathered, layers: Sequence[Layer], prompts: int) -> _Task:
    numbers = [layer.number for layer in layers if layer.number is not None]
    return _Task(one, numbers, [told for told in one.answers[:prompts] if told.token_ids])


async def _switch_off(tasks: Sequence[_Task], limits: Limits, tell: Progress) -> None:
    async with Asker([task.one.who for task in tasks], limits.parallel) as asker:
        refusals = await all_of(_refusal(asker, task) for task in tasks)
        for task, refusal in zip(tasks, refusals, strict=True):
            task.one.switched_off = SwitchedOff(refusal=refusal)
        able = [task for task, refusal in zip(tasks, refusals, strict=True) if not refusal]
        count = Count(sum(len(task.models) * len(task.texts) for task in able), tell)
        for task, off in zip(able, await all_of(_measured(asker, count, task) for task in able), strict=True):
            task.one.switched_off = off


async def _refusal(asker: Asker, task: _Task) -> str:
    """Why the endpoint cannot do it for this model, as one request tells instead of all; "" if it can."""
    try:
        await asker.scored(task.models[-1], task.texts[0].prompt_ids, task.texts[0].token_ids)
    except UnsupportedParameter as error:
        return error.message
    return ""


async def _measured(asker: Asker, count: Count, task: _Task) -> SwitchedOff:
    async def scores(who: Contestant) -> list[Scores]:
        return await all_of(
            count.of(asker.scored(who, told.prompt_ids, told.token_ids)) for told in task.texts
        )

    base, *others = await all_of(scores(who) for who in task.models)
    whole, *without = (
        tuple(chain.from_iterable(distances(*pair) for pair in zip(base, each, strict=True)))
        for each in others
    )
    return SwitchedOff(len(task.texts), whole, dict(zip(task.layers, without, strict=True)))
