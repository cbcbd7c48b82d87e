"""GET /healthz and /readyz, for whoever runs us. Owns what alive and ready mean; open, so it tells no secret.

Alive: the process answers, so restarting it would not help. Ready: a question asked now would be answered.
"""

from __future__ import annotations

from fastapi import APIRouter

from remora import __version__
from remora.engine.base import Engine
from remora.errors import NotReady


def ops_routes(engine: Engine) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        return {"status": "alive", "version": __version__}

    @router.get("/readyz")
    async def ready() -> dict[str, str | int]:
        stats = engine.stats()
        if not stats.alive:
            raise NotReady("the engine has stopped", hint="look at the endpoint's log")
        return {
            "status": "ready",
            "running_requests": stats.running_requests,
            "queued_requests": stats.queued_requests,
            "adapters": len(stats.adapters),
        }

    return router
