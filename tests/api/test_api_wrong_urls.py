"""Where clients ask whose base URL is not quite right, and what azure-ai-inference asks first."""

from __future__ import annotations

import httpx
import openai
import pytest
from openai import OpenAI
from tests.api.endpoint_builder import BASE, KEY, RunningEndpoint


@pytest.mark.parametrize("suffix", ["", "/", "/v1/v1"])
def test_a_wrong_base_url_is_told_the_right_one(endpoint: RunningEndpoint, suffix: str) -> None:
    with OpenAI(base_url=f"{endpoint.url}{suffix}", api_key=KEY, max_retries=0) as client:
        asks = (
            client.models.list,
            lambda: client.models.retrieve(BASE),
            lambda: client.chat.completions.create(model=BASE, messages=[{"role": "user", "content": "x"}]),
            lambda: client.completions.create(model=BASE, prompt="x"),
            lambda: client.responses.create(model=BASE, input="x"),
        )
        for ask in asks:
            with pytest.raises(openai.NotFoundError) as refused:
                ask()
            assert f"base URL to {endpoint.url}/v1" in refused.value.message
            assert refused.value.code == "not_found"


async def test_behind_a_proxy_that_ends_tls_the_url_is_https(client: httpx.AsyncClient) -> None:
    refused = await client.get("/models", headers={"x-forwarded-proto": "https"})
    assert "https://test/v1" in refused.json()["error"]["message"]
    nothing = await client.get("/v1")
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "not_found")
    other = await client.get("/v1/nothing")
    assert "base URL" not in other.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/info", "/v1/info"])
async def test_info_is_as_azure_ai_inference_reads_it(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, params={"api-version": "2024-05-01-preview"})
    assert answer.json() == {
        "model_name": BASE,
        "model_type": "chat-completion",
        "model_provider_name": "remora",
    }
    assert (await client.get(path, headers={"authorization": "Bearer wrong"})).status_code == 401
