"""GET /v1/models. Owns how the base and its adapters are listed."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter

from remora.adapters.adapter import Adapter
from remora.adapters.registry import AdapterRegistry


def model_routes(models: AdapterRegistry) -> APIRouter:
    router = APIRouter()
    started_seconds = int(time.time())

    @router.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        cards = [_base_card(models, started_seconds)]
        cards += [_adapter_card(models, adapter, started_seconds) for adapter in models.adapters]
        return {"object": "list", "data": cards}

    @router.get("/v1/models/{model:path}")
    async def show(model: str) -> dict[str, Any]:
        adapter = models.resolve(model)
        if adapter is None:
            return _base_card(models, started_seconds)
        return _adapter_card(models, adapter, started_seconds)

    return router


def _base_card(models: AdapterRegistry, created_seconds: int) -> dict[str, Any]:
    name = models.base_name
    return {**_card(name, created_seconds), "root": name, "parent": None, "adapter": None}


def _adapter_card(models: AdapterRegistry, adapter: Adapter, created_seconds: int) -> dict[str, Any]:
    """`root` is the folder's name only: where it lies on this machine is nobody's business."""
    detail = {
        "digest": adapter.digest,
        "rank": adapter.settings.rank,
        "modules": len(adapter.modules),
        "size_bytes": adapter.size_bytes,
    }
    card = _card(adapter.name, created_seconds)
    return {**card, "root": adapter.path.name, "parent": models.base_name, "adapter": detail}


def _card(name: str, created_seconds: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created_seconds, "owned_by": "remora"}
