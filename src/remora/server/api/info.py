"""GET /info and /v1/info, which azure-ai-inference asks for. Owns their shape."""

from __future__ import annotations

from fastapi import APIRouter

from remora.adapters.registry import AdapterRegistry


def info_routes(models: AdapterRegistry) -> APIRouter:
    router = APIRouter()

    @router.get("/info")
    @router.get("/v1/info")
    async def info() -> dict[str, str]:
        """Describes the base model, because the request names no adapter."""
        return {
            "model_name": models.base_name,
            "model_type": "chat-completion",
            "model_provider_name": "remora",
        }

    return router
