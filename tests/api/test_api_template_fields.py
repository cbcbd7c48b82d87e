"""What a request tells the chat template: its variables, and how the prompt ends."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI
from tests.api.endpoint_builder import BASE, KEY, KEYS, RunningEndpoint, WatchedEngine, build_app, echo_engine
from tests.engine.tiny_models import write_tokenizer
from transformers import AutoTokenizer

from remora.engine.base import ThoughtMarks
from remora.engine.echo import EchoTokenizer
from remora.engine.text.chat_template import HfTokenizer
from remora.errors import InvalidInput
from remora.server.generation.template_variables import NoTemplate, TemplateOptions, template_variables
from remora.server.settings import ServerSettings

MARKS = ThoughtMarks("<think>", "</think>")
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}{{ mood }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TURNS = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Yes, and "}]
GOES_ON = "continue_final_message"
REFUSE_SECONDS = 30.0  # far above what it takes, and far below a hang


class TellingTokenizer(EchoTokenizer):
    """Answers with what its template was told; `knows` are the names in it."""

    def __init__(self, *knows: str, thinks: bool = False) -> None:
        self.template_names = frozenset(knows)
        self.thought_marks = MARKS if thinks else None

    def render_chat(
        self, messages: Any, tools: Any = (), variables: Any = None, *, continued: bool = False
    ) -> list[int]:
        told = sorted((variables or {}).items())
        said = messages[-1]["content"] if continued else ""
        return self.encode(f"{super().render_chat(messages, tools)}\n{told}{said}")


def engine(*knows: str, thinks: bool = False) -> WatchedEngine:
    made = echo_engine()
    made.tokenizer = TellingTokenizer(*knows, thinks=thinks)
    return made


async def ask(made: WatchedEngine, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
    app = build_app(made, ServerSettings(chat_page=False))
    messages: Any = {"messages": TURNS[:1]} if path != "/v1/responses" else {"input": "hi"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        return await http.post(path, json={"model": BASE, **messages, **fields})


async def told(made: WatchedEngine, **fields: Any) -> str:
    answer = await ask(made, **fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


async def refused(made: WatchedEngine, param: str, **fields: Any) -> str:
    async with asyncio.timeout(REFUSE_SECONDS):
        answer = await ask(made, **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param), error
    return str(error["message"])


async def test_variables_reach_a_template_that_knows_them() -> None:
    made = engine("mood", "enable_thinking", "add_generation_prompt", "reasoning_effort")
    assert await told(made, chat_template_kwargs={"mood": {"of": ["sea"]}}) == "[('mood', {'of': ['sea']})]"
    assert await told(made, enable_thinking=False) == "[('enable_thinking', False)]"
    assert await told(made, chat_template_kwargs={"enable_thinking": True}, enable_thinking=True) == (
        "[('enable_thinking', True)]"
    )
    assert await told(made, reasoning_effort="low") == "[('reasoning_effort', 'low')]"
    assert await told(made, add_generation_prompt=False) == "[('add_generation_prompt', False)]"
    neutrals: list[dict[str, Any]] = [{"chat_template_kwargs": {}}, {"add_generation_prompt": True}]
    for neutral in neutrals:
        assert await told(made, **neutral) == "[]"


async def test_a_template_that_does_not_know_a_variable_is_named() -> None:
    made = engine()
    message = await refused(made, "chat_template_kwargs.mood", chat_template_kwargs={"mood": "sad"})
    assert "does not know 'mood'" in message
    await refused(made, "enable_thinking", enable_thinking=True)
    await refused(made, "add_generation_prompt", add_generation_prompt=False)
    await refused(engine(thinks=True), "enable_thinking", enable_thinking=False)


async def test_a_value_that_changes_nothing_is_taken_from_whoever_sends_it() -> None:
    assert await told(engine(), enable_thinking=False) == "[]"
    assert await told(engine(), chat_template_kwargs={"enable_thinking": False, "mood": None}) == "[]"
    assert await told(engine(thinks=True), enable_thinking=True) == "[]"


async def test_contradictions_are_named() -> None:
    made = engine("enable_thinking", "messages", "add_generation_prompt")
    await refused(
        made, "enable_thinking", enable_thinking=True, chat_template_kwargs={"enable_thinking": False}
    )
    await refused(made, "reasoning_effort", enable_thinking=True, reasoning_effort="none")
    await refused(made, "chat_template_kwargs.messages", chat_template_kwargs={"messages": []})
    await refused(
        made,
        "chat_template_kwargs.continue_final_message",
        chat_template_kwargs={"continue_final_message": True},
    )
    await refused(
        made,
        "continue_final_message",
        messages=TURNS,
        continue_final_message=True,
        add_generation_prompt=True,
    )
    await refused(made, "continue_final_message", continue_final_message=True)
    await refused(made, "chat_template_kwargs", chat_template_kwargs=[])


async def test_an_answer_goes_on_from_the_last_message() -> None:
    made = engine()
    assert await told(made, messages=TURNS, continue_final_message=True) == (
        "[('add_generation_prompt', False)]Yes, and "
    )
    thinking = engine(thinks=True)
    begun = [TURNS[0], {"role": "assistant", "content": "<think>Hm"}]
    answer = await ask(thinking, messages=begun, continue_final_message=True)
    message = answer.json()["choices"][0]["message"]
    assert message["reasoning_content"].endswith("<think>Hm")
    assert message["content"] == ""
    assert (await told(thinking, messages=TURNS, continue_final_message=True)).endswith("Yes, and ")


async def test_tokenizing_knows_the_same_fields() -> None:
    made = engine("mood")
    count = [
        (await ask(made, "/tokenize", **fields)).json()["count"]
        for fields in ({}, {"chat_template_kwargs": {"mood": "sad"}}, {"messages": TURNS})
    ]
    assert count[1] > count[0]
    continued = await ask(made, "/tokenize", messages=TURNS, continue_final_message=True)
    assert continued.json()["count"] > count[2]
    await refused(made, "enable_thinking", path="/tokenize", enable_thinking=True)
    await refused(
        made,
        "chat_template_kwargs",
        path="/tokenize",
        messages=None,
        prompt="x",
        chat_template_kwargs={"a": 1},
    )


async def test_a_response_tells_the_template_too() -> None:
    made = engine("mood", "enable_thinking")
    answer = await ask(made, "/v1/responses", chat_template_kwargs={"mood": "sad"}, enable_thinking=True)
    assert answer.json()["output"][0]["content"][0]["text"] == "[('enable_thinking', True), ('mood', 'sad')]"
    await refused(
        engine(), "chat_template_kwargs.mood", path="/v1/responses", chat_template_kwargs={"mood": 1}
    )
    await refused(made, "continue_final_message", path="/v1/responses", continue_final_message=True)


def test_a_prompt_template_of_training_knows_no_variable() -> None:
    template = NoTemplate()
    assert template_variables(TemplateOptions(effort="medium", thinks=False), template) == {}
    for wishes, param in (
        (TemplateOptions(thinks=True), "enable_thinking"),
        (TemplateOptions(effort="high"), "reasoning_effort"),
        (TemplateOptions(continues=True), "continue_final_message"),
        (TemplateOptions(generation_prompt=False), "add_generation_prompt"),
    ):
        with pytest.raises(InvalidInput) as caught:
            template_variables(wishes, template)
        assert caught.value.param == param


def test_the_prompt_ends_as_transformers_ends_it(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path, chat_template=TEMPLATE)
    ours, theirs = HfTokenizer(folder), AutoTokenizer.from_pretrained(folder)
    turns = [TURNS[0], {"role": "assistant", "content": "Yes, and"}]
    open_end: Any = theirs.apply_chat_template(turns, continue_final_message=True, tokenize=False)
    assert ours.decode(ours.render_chat(turns, (), {}, continued=True), skip_special_tokens=False) == open_end
    no_prompt: Any = theirs.apply_chat_template(turns, add_generation_prompt=False, tokenize=False)
    rendered = ours.render_chat(turns, (), {"add_generation_prompt": False})
    assert ours.decode(rendered, skip_special_tokens=False) == no_prompt
    kept = ours.decode(ours.render_chat(TURNS, (), {"add_generation_prompt": False}, continued=True))
    assert kept.endswith("Yes, and ")  # with the space, which the template would trim


def test_a_model_without_a_template_goes_on_too(tmp_path: Path) -> None:
    plain = HfTokenizer(write_tokenizer(tmp_path, chat_template=None))
    assert plain.decode(plain.render_chat(TURNS, continued=True)).endswith("assistant: Yes, and ")
    assert plain.decode(plain.render_chat(TURNS, (), {"add_generation_prompt": False})).endswith("and \n")
    assert plain.template_names == {"add_generation_prompt"}


def test_what_a_template_does_not_take_is_blamed_on_its_variables(tmp_path: Path) -> None:
    fails = "{{ messages[0].content }}{% if mood %}{{ raise_exception('no moods') }}{% endif %}"
    tokenizer = HfTokenizer(write_tokenizer(tmp_path, chat_template=fails))
    with pytest.raises(InvalidInput, match="no moods") as caught:
        tokenizer.render_chat(TURNS, (), {"mood": "sad"})
    assert caught.value.param == "chat_template_kwargs"
    with pytest.raises(InvalidInput) as caught:
        tokenizer.render_chat(TURNS, continued=True)
    assert caught.value.param == "continue_final_message"


def test_the_openai_client_sends_them_as_extra_fields() -> None:
    with (
        RunningEndpoint(ServerSettings(api_keys=KEYS, chat_page=False), lambda: engine("mood")) as running,
        OpenAI(base_url=f"{running.url}/v1", api_key=KEY, max_retries=0) as client,
    ):
        messages: Any = TURNS[:1]
        answer = client.chat.completions.create(
            model=BASE, messages=messages, extra_body={"chat_template_kwargs": {"mood": "glad"}}
        )
        assert answer.choices[0].message.content == "[('mood', 'glad')]"
        started = time.monotonic()
        with pytest.raises(BadRequestError) as caught:
            client.chat.completions.create(
                model=BASE, messages=messages, extra_body={"chat_template_kwargs": {"mod": "glad"}}
            )
        assert caught.value.param == "chat_template_kwargs.mod"
        assert time.monotonic() - started < REFUSE_SECONDS
