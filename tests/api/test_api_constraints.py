"""Grammars are compiled one at a time, and one that takes too long keeps no other from its turn."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest
from tests.api.endpoint_builder import DEADLINE_SECONDS
from tests.api.test_api_supervision import until

from remora.engine.echo import EchoTokenizer
from remora.engine.text.grammar import GrammarConstraint
from remora.errors import InvalidInput, Overloaded
from remora.server.generation.constraints import MOST_LEFT_BEHIND, Constraints

QUICK, SLOW = "%llguidance {}\nstart: /a+/\n", "%llguidance {}\nstart: /b+/\n"


class SlowCompiler(EchoTokenizer):
    """Compiles grammars with a b in them only once it may."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.compiling = 0

    def constrain(self, grammar: str) -> GrammarConstraint:
        if "/b" in grammar:
            self.compiling += 1
            assert self.go_on.wait(DEADLINE_SECONDS)
            self.compiling -= 1
        return super().constrain(grammar)


async def test_a_grammar_that_takes_too_long_delays_no_other_and_only_so_many_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("remora.server.generation.constraints.COMPILE_SECONDS", 0.1)
    tokenizer = SlowCompiler()
    constraints = Constraints()
    for count in range(1, MOST_LEFT_BEHIND + 1):
        with pytest.raises(InvalidInput, match=r"takes more than 0\.1 seconds to compile"):
            await constraints.compile(tokenizer, lambda: SLOW, [{}], "tools")
        assert tokenizer.compiling == count
        if count < MOST_LEFT_BEHIND:
            monkeypatch.setattr("remora.server.generation.constraints.COMPILE_SECONDS", DEADLINE_SECONDS)
            await constraints.compile(tokenizer, partial(QUICK.replace, "a", "a" * count), [{}], "tools")
            monkeypatch.setattr("remora.server.generation.constraints.COMPILE_SECONDS", 0.1)
    with pytest.raises(Overloaded):
        await constraints.compile(tokenizer, lambda: SLOW, [{}], "tools")
    monkeypatch.setattr("remora.server.generation.constraints.COMPILE_SECONDS", DEADLINE_SECONDS)
    tokenizer.go_on.set()
    await until(lambda: all(work.done() for work in constraints._left_behind))
    assert (await constraints.compile(tokenizer, lambda: SLOW, [{}], "tools")).grammar == SLOW


async def test_a_client_that_leaves_while_its_grammar_is_compiled_gives_its_turn_away() -> None:
    tokenizer = SlowCompiler()
    constraints = Constraints()
    leaving = asyncio.create_task(constraints.compile(tokenizer, lambda: SLOW, [{}], "tools"))
    await until(lambda: tokenizer.compiling == 1)
    leaving.cancel()
    await asyncio.wait({leaving})
    assert (await constraints.compile(tokenizer, lambda: QUICK, [{}], "tools")).grammar == QUICK
    tokenizer.go_on.set()
