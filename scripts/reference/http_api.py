"""`reference/http-api.md`: every route of the endpoint's OpenAPI document, and which key it asks for."""

from __future__ import annotations

import json
from typing import Final

from scripts.reference.table import code, table

from remora.server.access.auth import OPEN_PATHS
from remora.server.api.documents import openapi_text

HEAD = """# HTTP API

Every route. Made from the code by `make docs`. [The endpoint](endpoint.md) explains parameters, keys and
limits; [openapi.json](../openapi.json) is the same for programs.

```sh
curl --fail --silent --show-error "$OPENAI_BASE_URL/models" -H "Authorization: Bearer $OPENAI_API_KEY"
```
A key is sent as `Authorization: Bearer KEY`, or in the header `api-key` or `x-api-key`. The routes below
`/openai/` are the same at Azure OpenAI's addresses, and with `ollama = true` under `[serve]` there are
[Ollama's](endpoint.md#ollama).
"""
MEANINGS: Final[dict[str, str]] = {
    "GET /health": "The same as `/healthz`.",
    "GET /healthz": "200 while the engine is alive, else 503.",
    "GET /info": "The base model's name, for azure-ai-inference.",
    "GET /metrics": "[Metrics](metrics.md) for Prometheus.",
    "GET /ping": "The same as `/healthz`.",
    "GET /readyz": "200 while a request would be answered now, else 503.",
    "GET /tokenizer_info": "The tokenizer's class and special tokens.",
    "GET /v1/info": "The same as `/info`.",
    "GET /v1/models": "The base model, then its adapters, with digest, rank, state and proof.",
    "GET /v1/models/{model}": "One of them.",
    "GET /v1/responses/{response_id}": "A response that this replica keeps.",
    "GET /v1/responses/{response_id}/input_items": "The items before that response.",
    "GET /version": "The version of Remora.",
    "DELETE /v1/responses/{response_id}": "Forget a response.",
    "POST /detokenize": "The text of tokens.",
    "POST /ping": "The same as `/healthz`.",
    "POST /tokenize": "The tokens of a text or a conversation.",
    "POST /v1/chat/completions": "Answer a conversation, whole or as a stream.",
    "POST /v1/completions": "Continue a text; score a prompt.",
    "POST /v1/load_lora_adapter": "Load an adapter into this replica.",
    "POST /v1/messages": "Answer a conversation in Anthropic's form.",
    "POST /v1/messages/count_tokens": "How many tokens such a conversation has.",
    "POST /v1/responses": "Answer in the form of OpenAI's Responses API.",
    "POST /v1/responses/input_tokens": "How many tokens such an input has.",
    "POST /v1/responses/{response_id}/cancel": "Refused: there are no background responses.",
    "POST /v1/unload_lora_adapter": "Take an adapter out of this replica.",
}
ADMIN: Final = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")


def http_api_page() -> str:
    paths = json.loads(openapi_text())["paths"]
    routes = sorted((path, method.upper()) for path, operations in paths.items() for method in operations)
    rows = [(code(f"{method} {path}"), _key(path), MEANINGS[f"{method} {path}"]) for path, method in routes]
    return f"{HEAD}\n{table(('Route', 'Key', 'Meaning'), rows)}"


def _key(path: str) -> str:
    if path in OPEN_PATHS:
        return "none"
    return "admin" if path in ADMIN else "API"
