"""Ollama's GET /api/version, GET /api/tags and POST /api/show. Owns how models are listed there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from fastapi import APIRouter

from remora.adapters.adapter import Adapter
from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.registry import AdapterRegistry
from remora.errors import InvalidInput
from remora.server.api.schema.ollama import OllamaShowRequest
from remora.server.generation.answering import Answerer
from remora.server.generation.tool_form import Tools

API_VERSION = "0.12.0"  # of Ollama, whose clients ask whether it is new enough
LATEST = ":latest"


def ollama_model_routes(models: AdapterRegistry, base: BaseShape | None, answerer: Answerer) -> APIRouter:
    router = APIRouter()
    started = datetime.now(UTC).isoformat()

    @router.get("/api/version")
    async def version() -> dict[str, str]:
        return {"version": API_VERSION}

    @router.get("/api/tags")
    async def tags() -> dict[str, Any]:
        return {"models": [_listed(each, models, base, started) for each in (None, *models.adapters)]}

    @router.post("/api/show")
    async def show(body: OllamaShowRequest) -> dict[str, Any]:
        asked = body.model or body.name
        if asked is None:
            raise InvalidInput("the parameter 'model' is missing", param="model")
        model = known_name(models, asked)
        adapter, tokenizer = models.resolve(model), answerer.tokenizer(model)
        family = base.model_type if base else ""
        context = {f"{family or 'model'}.context_length": answerer.most_total_tokens}
        return {
            "modelfile": "",
            "parameters": "",
            "template": tokenizer.info.get("chat_template") or "",
            "details": _details(adapter, models, base),
            "model_info": {"general.architecture": family or "model", **context},
            "capabilities": _capabilities(answerer, model),
            "modified_at": started,
        }

    return router


def known_name(models: AdapterRegistry, name: str) -> str:
    """The name without the tag that Ollama's clients add, where no model is called so."""
    return name.removesuffix(LATEST) if name not in models.names else name


def _capabilities(answerer: Answerer, model: str) -> list[str]:
    has_tools = answerer.tool_form(model).told is not Tools.OFF
    thinks = answerer.template(model).thought_marks is not None
    return ["completion", *(["tools"] if has_tools else []), *(["thinking"] if thinks else [])]


def _listed(
    adapter: Adapter | None, models: AdapterRegistry, base: BaseShape | None, started: str
) -> Mapping[str, Any]:
    name = adapter.name if adapter else models.base_name
    return {
        "name": name,
        "model": name,
        "modified_at": started,
        "size": adapter.size_bytes if adapter else _weight_bytes(base),
        "digest": adapter.digest if adapter else sha256(name.encode()).hexdigest(),
        "details": _details(adapter, models, base),
    }


def _details(adapter: Adapter | None, models: AdapterRegistry, base: BaseShape | None) -> dict[str, Any]:
    family = base.model_type if base else ""
    return {
        "parent_model": models.base_name if adapter else "",
        "format": "safetensors",
        "family": family,
        "families": [family] if family else [],
        "parameter_size": "",
        "quantization_level": "",
    }


def _weight_bytes(base: BaseShape | None) -> int:
    return sum(file.stat().st_size for file in base.path.glob("*.safetensors")) if base else 0
