"""Grammars of requests, compiled off the event loop. Owns their size, their time and a cache.

One at a time compiles: clients who send expensive schemas wait for each other, and not everybody for them.
A compilation cannot be stopped: one that takes too long goes on in its thread, and the next has another.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from remora.engine.base import Constraint, Tokenizer
from remora.engine.text.patterns import check_repetitions
from remora.errors import InvalidInput, Overloaded

LARGEST_CHARACTERS = 64 * 1024
DEEPEST_LEVELS = 64
COMPILE_SECONDS = 10.0
MOST_LEFT_BEHIND = 2  # compilations that go on though nobody waits for them any more; each takes a core
KEPT = 64
NOTHING_MATCHES = "NoExtensionBias"  # llguidance's word for a grammar that no text matches

Schema = Mapping[str, Any]


class Constraints:
    """The constraints of one endpoint. The latest are kept, since clients repeat their schemas."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1 + MOST_LEFT_BEHIND, thread_name_prefix="remora-grammars")
        self._turn = asyncio.Lock()
        self._left_behind: list[Future[Constraint]] = []
        self._kept: OrderedDict[tuple[Tokenizer, str], Constraint] = OrderedDict()

    async def compile(
        self, tokenizer: Tokenizer, write: Callable[[], str], schemas: list[Schema], param: str
    ) -> Constraint:
        """The constraint of the grammar that `write` makes of these schemas, at its beginning.

        It masks the tokens of this tokenizer, and is of no use with another.

        Raises InvalidInput, naming `param`, for what is no schema, too large, or too slow to compile;
        Overloaded where too many go on that were too slow.
        """
        for schema in schemas:
            _check_size(schema, param)
        try:
            grammar = write()
        except InvalidInput as error:
            raise _named(error, param) from error
        key = tokenizer, grammar
        kept = self._kept.get(key)
        if kept is None:
            kept = await self._compiled(tokenizer, grammar, param)
            self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return kept.copy()

    async def _compiled(self, tokenizer: Tokenizer, grammar: str, param: str) -> Constraint:
        try:
            async with self._turn:
                return await self._in_thread(tokenizer, grammar)
        except TimeoutError as error:
            raise InvalidInput(
                f"the schema of {param!r} takes more than {COMPILE_SECONDS:g} seconds to compile",
                hint="simplify the schema",
                param=param,
            ) from error
        except InvalidInput as error:
            raise _named(error, param) from error

    async def _in_thread(self, tokenizer: Tokenizer, grammar: str) -> Constraint:
        """Raises TimeoutError; the time begins here, however long the turn was waited for."""
        self._left_behind = [work for work in self._left_behind if not work.done()]
        if len(self._left_behind) >= MOST_LEFT_BEHIND:
            raise Overloaded(
                f"{MOST_LEFT_BEHIND} schemas are still compiled that took too long",
                hint="try again in a moment, or leave the schema out",
            )
        work = self._threads.submit(_tried, tokenizer, grammar)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(work), COMPILE_SECONDS)
        finally:
            if not work.done():  # too slow, or its client has gone
                self._left_behind.append(work)


def _named(error: InvalidInput, param: str) -> InvalidInput:
    return InvalidInput(f"{param!r}: {error.message}", hint=error.hint, param=param)


def _tried(tokenizer: Tokenizer, grammar: str) -> Constraint:
    """Compiled, and looked at: what allows no token at its beginning can never be met."""
    try:
        constraint = tokenizer.constrain(grammar)
        possible = any(constraint.copy().mask())
    except InvalidInput as error:
        if NOTHING_MATCHES not in error.message:
            raise
        possible = False
    if not possible:
        raise InvalidInput("no answer can meet this format", hint="correct it, or leave it out")
    return constraint


def _check_size(schema: Schema, param: str) -> None:
    if _depth_exceeds(schema, DEEPEST_LEVELS):
        raise InvalidInput(
            f"the schema of {param!r} is more than {DEEPEST_LEVELS} levels deep",
            hint="simplify the schema",
            param=param,
        )
    for pattern in _patterns(schema):
        try:
            check_repetitions(pattern)
        except InvalidInput as error:
            raise _named(error, param) from error
    characters = len(json.dumps(schema))
    if characters > LARGEST_CHARACTERS:
        raise InvalidInput(
            f"the schema of {param!r} has {characters} characters, more than {LARGEST_CHARACTERS}",
            hint="simplify the schema",
            param=param,
        )


def _patterns(value: object) -> Iterator[str]:
    """Every pattern in a schema; a property that is called so has no text."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and isinstance(pattern := value.get("pattern"), str):
        yield pattern
    for item in items:
        yield from _patterns(item)


def _depth_exceeds(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    items = value.values() if isinstance(value, dict) else value
    return any(_depth_exceeds(item, levels - 1) for item in items)
