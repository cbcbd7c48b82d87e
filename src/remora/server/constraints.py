"""Grammars of requests, compiled off the event loop. Owns their size, their time and a cache.

One thread compiles: clients who send expensive schemas wait for each other, and not everybody for them.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from remora.engine.base import Constraint, Tokenizer
from remora.errors import InvalidInput

LARGEST_CHARACTERS = 64 * 1024
DEEPEST_LEVELS = 64
COMPILE_SECONDS = 10.0
KEPT = 64

Schema = Mapping[str, Any]


class Constraints:
    """The constraints of one endpoint. The latest are kept, since clients repeat their schemas."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="remora-grammars")
        self._kept: OrderedDict[str, Constraint] = OrderedDict()

    async def compile(self, write: Callable[[], str], schemas: list[Schema], param: str) -> Constraint:
        """The constraint of the grammar that `write` makes of these schemas, at its beginning.

        Raises InvalidInput, naming `param`, for what is no schema, too large, or too slow to compile.
        """
        for schema in schemas:
            _check_size(schema, param)
        grammar = write()
        kept = self._kept.get(grammar)
        if kept is None:
            kept = await self._compiled(grammar, param)
            self._kept[grammar] = kept
        self._kept.move_to_end(grammar)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return kept.copy()

    async def _compiled(self, grammar: str, param: str) -> Constraint:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._thread, self._tokenizer.constrain, grammar)
        try:
            return await asyncio.wait_for(work, COMPILE_SECONDS)
        except TimeoutError as error:
            raise InvalidInput(
                f"the schema of {param!r} takes more than {COMPILE_SECONDS:g} seconds to compile",
                hint="simplify the schema",
                param=param,
            ) from error
        except InvalidInput as error:
            raise InvalidInput(error.message, hint=error.hint, param=param) from error


def _check_size(schema: Schema, param: str) -> None:
    if _depth_exceeds(schema, DEEPEST_LEVELS):
        raise InvalidInput(
            f"the schema of {param!r} is more than {DEEPEST_LEVELS} levels deep",
            hint="simplify the schema",
            param=param,
        )
    characters = len(json.dumps(schema))
    if characters > LARGEST_CHARACTERS:
        raise InvalidInput(
            f"the schema of {param!r} has {characters} characters, more than {LARGEST_CHARACTERS}",
            hint="simplify the schema",
            param=param,
        )


def _depth_exceeds(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    items = value.values() if isinstance(value, dict) else value
    return any(_depth_exceeds(item, levels - 1) for item in items)
