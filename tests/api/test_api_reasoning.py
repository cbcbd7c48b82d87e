"""Thoughts before an answer: split off in chat and Responses, kept out of tools, switched by the template."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from tests.api.endpoint_builder import BASE, KEY, KEYS, RunningEndpoint, WatchedEngine, build_app, echo_engine
from tests.api.events import chunks_of
from tests.engine.tiny_models import write_tokenizer

from remora.engine.base import ThoughtMarks
from remora.engine.echo import EchoTokenizer
from remora.engine.text.chat_template import HfTokenizer
from remora.engine.text.grammar import NO_THOUGHTS, Thoughts
from remora.server.generation.template_variables import effort_variables
from remora.server.generation.thoughts import AnswerReader, thoughts_of
from remora.server.generation.tool_calls import CallReader, Content, Piece, Thought
from remora.server.settings import ServerSettings

CHAT = "/v1/chat/completions"
MARKS = ThoughtMarks("<think>", "</think>")
CALL = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
TOOL = {"type": "function", "function": {"name": "f"}}
ANSWERS = {
    "think": "<think>\nOne, two.\n</think>\n\nThree.",
    "call": f"<think>\nMaybe {CALL}?\n</think>\n\n{CALL}",
    "begun": "One, two.\n</think>\n\nThree.",
    "schema": '<think>\nOne.\n</think>\n\n{"n": 3}',
    "no thought": "Three <think> of them.",
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "x", "schema": {"properties": {"n": {"type": "integer"}}, "type": "object"}},
}


class ThinkingTokenizer(EchoTokenizer):
    """As a model that thinks unless its template is told not to; `begun` opens its thoughts in the prompt."""

    thought_marks = MARKS
    template_names = frozenset({"enable_thinking"})

    def __init__(self, *, begun: bool = False) -> None:
        self.ending = "\n<think>\n" if begun else ""

    def render_chat(
        self, messages: Any, tools: Any = (), variables: Any = None, *, continued: bool = False
    ) -> list[int]:
        ids = super().render_chat(messages, tools)
        if continued:
            return ids
        if (variables or {}).get("enable_thinking") is False:
            return ids + self.encode("\n<think></think>")
        return ids + self.encode(self.ending)


def thinking_engine(*, begun: bool = False) -> WatchedEngine:
    engine = echo_engine()
    engine.tokenizer = ThinkingTokenizer(begun=begun)
    engine.script = {**ANSWERS, "": ANSWERS["begun"], "<think></think>": "I do not think."}
    return engine


async def chat(engine: WatchedEngine, text: str, **fields: Any) -> httpx.Response:
    app = build_app(engine, ServerSettings(chat_page=False))
    body = {"model": BASE, "messages": [{"role": "user", "content": text}], **fields}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        return await http.post(CHAT, json=body)


def message_of(answer: httpx.Response) -> tuple[str | None, str | None]:
    message = answer.json()["choices"][0]["message"]
    return message.get("reasoning_content"), message["content"]


async def test_thoughts_are_split_off() -> None:
    assert message_of(await chat(thinking_engine(), "think")) == ("One, two.", "Three.")
    assert message_of(await chat(thinking_engine(begun=True), "x")) == ("One, two.", "Three.")
    assert message_of(await chat(thinking_engine(), "no thought")) == (None, "Three <think> of them.")
    assert message_of(await chat(thinking_engine(), "think", include_reasoning=False)) == (None, "Three.")
    cut = await chat(thinking_engine(), "think", max_tokens=13)
    assert message_of(cut) == ("One,", "")
    assert cut.json()["choices"][0]["finish_reason"] == "length"


async def test_thoughts_are_streamed_before_the_text() -> None:
    chunks = chunks_of(await chat(thinking_engine(), "think", stream=True))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    kinds = [next(iter(delta)) for delta in deltas if delta and "role" not in delta]
    assert kinds == sorted(kinds, reverse=True)  # reasoning_content, then content
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "One, two."
    assert "".join(delta.get("content", "") for delta in deltas) == "Three."


async def test_a_call_in_a_thought_is_none() -> None:
    answer = await chat(thinking_engine(), "call", tools=[TOOL])
    message = answer.json()["choices"][0]["message"]
    assert len(message["tool_calls"]) == 1
    assert message["reasoning_content"] == f"Maybe {CALL}?"


@pytest.mark.parametrize("begun", [False, True])
async def test_a_grammar_leaves_thoughts_free(begun: bool) -> None:
    engine = thinking_engine(begun=begun)
    engine.script[""] = 'One.\n</think>\n\n{"n": 3}'
    assert message_of(await chat(engine, "schema", response_format=SCHEMA)) == ("One.", '{"n": 3}')
    forced = f"{'' if begun else '<think>'}I must.</think>" + '{"name": "f", "arguments": {}}'
    engine.script = {"": forced, "force": forced}
    answer = await chat(engine, "force", tools=[TOOL], tool_choice="required")
    message = answer.json()["choices"][0]["message"]
    assert (message["reasoning_content"], len(message["tool_calls"])) == ("I must.", 1)


async def test_thinking_is_switched_by_what_the_template_knows() -> None:
    off = await chat(thinking_engine(), "think", reasoning_effort="none")
    assert message_of(off) == (None, "I do not think.")
    usual = await chat(thinking_engine(), "think", reasoning_effort="medium")
    assert message_of(usual) == ("One, two.", "Three.")
    refused = await chat(thinking_engine(), "think", reasoning_effort="high")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "reasoning_effort")
    plain = echo_engine()
    for effort in ("none", "medium"):
        assert message_of(await chat(plain, "x", reasoning_effort=effort)) == (None, "x")
    assert (await chat(plain, "x", reasoning_effort="low")).status_code == 400


@pytest.fixture
def client() -> Any:
    with (
        RunningEndpoint(ServerSettings(api_keys=KEYS, chat_page=False), thinking_engine) as running,
        OpenAI(base_url=f"{running.url}/v1", api_key=KEY, max_retries=0) as openai_client,
    ):
        yield openai_client


def test_thoughts_are_an_item_of_a_response(client: OpenAI) -> None:
    first = client.responses.create(model=BASE, input="think")
    thought, message = first.output
    assert thought.type == "reasoning"
    assert thought.content is not None
    assert thought.content[0].text == "One, two."
    assert message.type == "message"
    assert first.output_text == "Three."
    assert first.usage is not None
    assert 0 < first.usage.output_tokens_details.reasoning_tokens < first.usage.output_tokens
    again = client.responses.create(model=BASE, input="think", previous_response_id=first.id)
    assert again.output_text == "Three."
    sent_back: Any = [
        {"role": "user", "content": "think"},
        *[item.model_dump(exclude_none=True) for item in first.output],
        {"role": "user", "content": "no thought"},
    ]
    assert client.responses.create(model=BASE, input=sent_back).output_text == "Three <think> of them."
    off = client.responses.create(model=BASE, input="think", reasoning={"effort": "none", "summary": "auto"})
    assert [item.type for item in off.output] == ["message"]


def test_thoughts_of_a_response_are_streamed(client: OpenAI) -> None:
    with client.responses.stream(model=BASE, input="think") as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds.index("response.reasoning_text.done") < kinds.index("response.output_text.delta")
    thought = "".join(event.delta for event in events if event.type == "response.reasoning_text.delta")
    assert (thought, final.output_text) == ("One, two.", "Three.")


QWEN = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
    "{% if m.name %}{{ m.name }}: {% endif %}{{ m.content }}<|end|>{% endfor %}<|assistant|>"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)


def test_how_a_model_thinks_is_seen_from_its_template(tmp_path: Path) -> None:
    qwen = HfTokenizer(write_tokenizer(tmp_path / "qwen", chat_template=QWEN))
    assert thoughts_of(qwen, {}) == Thoughts(MARKS)
    assert thoughts_of(qwen, effort_variables("none", qwen, "p")) == NO_THOUGHTS
    deepseek = HfTokenizer(write_tokenizer(tmp_path / "r1", chat_template=f"{QWEN}<think>\n"))
    assert thoughts_of(deepseek, {}) == Thoughts(MARKS, begun=True)
    plain = HfTokenizer(write_tokenizer(tmp_path / "plain", chat_template="{{ messages[0].content }}"))
    assert thoughts_of(plain, {}) == NO_THOUGHTS
    oss = "{{ messages[-1].content }}{{ reasoning_effort }}"
    knows = HfTokenizer(write_tokenizer(tmp_path / "oss", chat_template=oss))
    variables = effort_variables("high", knows, "p")
    assert knows.decode(knows.render_chat([{"role": "user", "content": "x"}], (), variables)) == "xhigh"


def test_names_and_former_thoughts_reach_the_template(tmp_path: Path) -> None:
    tokenizer = HfTokenizer(write_tokenizer(tmp_path, chat_template=QWEN))
    turns = [
        {"role": "user", "content": "hi", "name": "ann"},
        {"role": "assistant", "content": "yo", "reasoning_content": "a friend"},
    ]
    text = tokenizer.decode(tokenizer.render_chat(turns))
    assert "ann: hi" in text
    assert "<think>\na friend\n</think>\n\nyo" in text


async def test_a_message_may_have_a_name() -> None:
    messages = [
        {"role": "user", "content": "hi", "name": "ann"},
        {"role": "assistant", "content": "yo", "name": "bob", "reasoning_content": "a friend"},
        {"role": "user", "content": "x", "name": "ann"},
    ]
    assert message_of(await chat(echo_engine(), "x", messages=messages)) == (None, "x")


@given(st.lists(st.integers(0, 300), max_size=12), st.booleans())
def test_however_an_answer_is_cut_its_thoughts_are_the_same(cuts: list[int], begun: bool) -> None:
    text = f"{'' if begun else ' <think>'}\n a <b> {CALL} \n</think> \n {CALL} after </think>"
    reader = AnswerReader(Thoughts(MARKS, begun=begun), CallReader(None, forced=False))
    borders = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    found: list[Piece] = []
    for start, stop in pairwise(borders):
        found += reader.feed(text[start:stop])
    found += reader.flush()
    thought = "".join(piece.text for piece in found if isinstance(piece, Thought))
    said = "".join(piece.text for piece in found if isinstance(piece, Content))
    assert (thought, said) == (f"a <b> {CALL}", f"{CALL} after </think>")
