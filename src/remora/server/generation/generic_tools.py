"""Tools for a model whose chat template knows none: told in words. Owns those words and nothing else.

The functions are described in the system message, calls and results become turns that every template knows:

    system      what it said, then the functions, one JSON line each, and how to call them
    assistant   <tool_call>{"name": …, "arguments": {…}}</tool_call>, as often as it calls
    user        <tool_response>…</tool_response> for each result, then what the user says next

Calls look as Hermes and Qwen write them, so they are read and guarded in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from remora.engine.base import Tokenizer
from remora.errors import InvalidInput
from remora.server.generation.tool_calls import CLOSE, OPEN
from remora.server.generation.turns import Turn

ABOVE = """# Tools

You may call functions. Each line between <tools> and </tools> describes one: its name, what it does, and a \
JSON schema of its arguments.
<tools>
"""
BELOW = f"""
</tools>

To call a function, write its name and its arguments as a JSON object between {OPEN} and {CLOSE}:
{OPEN}
{{"name": "the function's name", "arguments": {{"an argument": "its value"}}}}
{CLOSE}
Write one such part for each call. What a function returns comes between <tool_response> and \
</tool_response>."""
_PROBE = "remora says hello"


def told_in_words(
    turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]], *, in_system: bool
) -> list[Turn]:
    """The conversation with its tools, calls and results as text, in the roles that every template knows.

    The tools stand in the system message; not `in_system`, before the first words of the user.
    """
    talk = _joined(_in_words(turn) for turn in turns)
    if not tools:
        return talk
    told = ABOVE + "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools) + BELOW
    if talk and talk[0]["role"] == "system":
        return [_with_content(talk[0], f"{talk[0]['content']}\n\n{told}"), *talk[1:]]
    if in_system or not talk or talk[0]["role"] != "user":
        return [{"role": "system", "content": told}, *talk]
    return [_with_content(talk[0], f"{told}\n\n{talk[0]['content']}"), *talk[1:]]


def takes_system(tokenizer: Tokenizer) -> bool:
    """Whether what the system says reaches the model: some templates refuse it, some leave it out."""
    turns = ({"role": "system", "content": _PROBE}, {"role": "user", "content": "?"})
    try:
        return _PROBE in tokenizer.decode(tokenizer.render_chat(turns))
    except InvalidInput:
        return False


def _in_words(turn: Turn) -> tuple[Turn, bool]:
    """The turn, and whether it is a result."""
    if turn["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{turn['content']}\n</tool_response>"}, True
    if not turn.get("tool_calls"):
        return turn, False
    called = [f"{OPEN}\n{_call(call['function'])}\n{CLOSE}" for call in turn["tool_calls"]]
    text = "\n".join([turn["content"], *called] if turn["content"] else called)
    kept = {name: value for name, value in turn.items() if name != "tool_calls"}
    return {**kept, "content": text}, False


def _call(function: Mapping[str, Any]) -> str:
    called = {"name": function["name"], "arguments": function["arguments"]}
    return json.dumps(called, ensure_ascii=False)


def _joined(turns: Iterable[tuple[Turn, bool]]) -> list[Turn]:
    """Results and what the user says after them are one turn: many templates want users to take turns."""
    out: list[Turn] = []
    after_result = False
    for turn, is_result in turns:
        if after_result and turn["role"] == "user":
            out[-1] = _with_content(out[-1], f"{out[-1]['content']}\n{turn['content']}")
        else:
            out.append(turn)
        after_result = is_result
    return out


def _with_content(turn: Turn, content: str) -> Turn:
    return {**turn, "content": content}
