"""The items of responses: listed, referred to, counted; what Codex sends; tools by their kinds."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.api.endpoint_builder import BASE
from tests.api.events import chunks_of

from remora.engine.echo import EchoEngine

PATH = "/v1/responses"


async def respond(client: httpx.AsyncClient, given: object, **fields: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json={"model": BASE, "input": given, **fields})
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    return response


async def test_the_input_of_a_response_can_be_listed(client: httpx.AsyncClient) -> None:
    items = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "one"}]
    first = await respond(client, items)
    second = await respond(client, "two", previous_response_id=first["id"])
    listed = (await client.get(f"{PATH}/{second['id']}/input_items", params={"order": "asc"})).json()
    said = [item["content"][0]["text"] for item in listed["data"]]
    assert said == ["be brief", "one", "one", "two"]
    assert [item["role"] for item in listed["data"]] == ["developer", "user", "assistant", "user"]
    page = await client.get(f"{PATH}/{second['id']}/input_items", params={"limit": 3})
    assert [item["content"][0]["text"] for item in page.json()["data"]] == ["two", "one", "one"]
    assert page.json()["has_more"]
    rest = await client.get(
        f"{PATH}/{second['id']}/input_items", params={"after": page.json()["last_id"], "limit": 3}
    )
    assert [item["content"][0]["text"] for item in rest.json()["data"]] == ["be brief"]
    assert not rest.json()["has_more"]
    unknown = await client.get(f"{PATH}/{second['id']}/input_items", params={"after": "msg_x"})
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "after")
    many = await client.get(f"{PATH}/{second['id']}/input_items", params={"limit": 101})
    assert (many.status_code, many.json()["error"]["param"]) == (400, "limit")
    assert (await client.get(f"{PATH}/resp_x/input_items")).status_code == 404


async def test_an_item_can_be_referred_to_by_its_id(client: httpx.AsyncClient) -> None:
    first = await respond(client, "one")
    (message,) = first["output"]
    ((asked),) = (await client.get(f"{PATH}/{first['id']}/input_items")).json()["data"]
    items = [
        {"type": "item_reference", "id": asked["id"]},
        {"id": message["id"]},
        {"role": "user", "content": "two"},
    ]
    response = await respond(client, items)
    assert response["usage"]["input_tokens"] == len("user: one\nassistant: one\nuser: two")
    missing = await client.post(PATH, json={"model": BASE, "input": [{"id": "msg_x"}]})
    assert (missing.status_code, missing.json()["error"]["param"]) == (404, "input")


async def test_the_tokens_of_an_input_are_counted_without_an_answer(
    client: httpx.AsyncClient, engine: EchoEngine
) -> None:
    counted = await client.post(f"{PATH}/input_tokens", json={"model": BASE, "input": "hello"})
    assert counted.json() == {"object": "response.input_tokens", "input_tokens": len("user: hello")}
    assert engine.stats().generated_tokens == 0


async def test_only_a_background_response_could_be_cancelled(client: httpx.AsyncClient) -> None:
    response = await respond(client, "one")
    refused = await client.post(f"{PATH}/{response['id']}/cancel")
    assert refused.status_code == 400
    assert "close the connection" in refused.json()["error"]["message"]
    assert (await client.post(f"{PATH}/resp_x/cancel")).status_code == 404


CODEX = {
    "instructions": "You are Codex.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "in /tmp"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "call"}]},
    ],
    "tools": [
        {
            "type": "function",
            "name": "shell",
            "description": "Runs a command",
            "strict": False,
            "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
        },
        {
            "type": "namespace",
            "name": "mcp__docs",
            "description": "Documentation",
            "tools": [
                {"type": "function", "name": "lookup", "parameters": {"type": "object"}, "strict": False}
            ],
        },
        {"type": "web_search", "external_web_access": False},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0198",
    "client_metadata": {"x-codex-installation-id": "0198"},
}


@pytest.mark.parametrize("stream", [False, True])
async def test_what_codex_sends_is_taken(client: httpx.AsyncClient, engine: EchoEngine, stream: bool) -> None:
    engine.script = {"call": '<tool_call>\n{"name": "lookup", "arguments": {"word": "x"}}\n</tool_call>'}
    answer = await client.post(PATH, json={"model": BASE, **CODEX, "stream": stream})
    response = chunks_of(answer)[-1]["response"] if stream else answer.json()
    (call,) = response["output"]
    assert (call["type"], call["namespace"], call["name"]) == ("function_call", "mcp__docs", "lookup")
    assert [tool["type"] for tool in response["tools"]] == ["function", "namespace", "web_search"]
    assert response["reasoning"] == {"effort": "medium", "summary": "auto"}
    results = [
        *CODEX["input"],
        call,
        {"type": "function_call_output", "call_id": call["call_id"], "output": "y"},
    ]  # type: ignore[misc]
    after = await client.post(PATH, json={"model": BASE, **CODEX, "input": results})
    assert after.status_code == 200, after.text
    live = {"type": "web_search", "external_web_access": True}
    refused = await client.post(PATH, json={"model": BASE, **CODEX, "tools": [live]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_parameter")


async def test_allowed_tools_and_a_format_beside_tools(client: httpx.AsyncClient) -> None:
    tools = [{"type": "function", "name": name} for name in ("f", "g")]
    only = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    forced = await respond(client, "x", tools=tools, tool_choice=only)
    assert [item["name"] for item in forced["output"]] == ["g"]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"format": {"type": "json_schema", "name": "answer", "schema": schema}}
    answer = await client.post(PATH, json={"model": BASE, "input": "x", "tools": tools, "text": wanted})
    assert answer.json()["output"][0]["content"][0]["text"] == '{"n": 0}'
