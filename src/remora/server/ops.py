"""GET /healthz and /readyz, for whoever runs us. Owns what alive and ready mean; open, so it tells no secret.

Alive: restarting this process would not help; where the engine has died it would. Ready: a question asked now
would be answered now, so not while we drain, and not while the queue is full.
"""

from __future__ import annotations

from fastapi import APIRouter

from remora import __version__
from remora.engine.base import Engine
from remora.errors import Draining, EngineFailed, NotReady
from remora.server.admission import Admission


def ops_routes(engine: Engine, admission: Admission) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        _check_engine(engine)
        return {"status": "alive", "version": __version__}

    @router.get("/readyz")
    async def ready() -> dict[str, str | int]:
        _check_engine(engine)
        if admission.draining:
            raise Draining("the endpoint is stopping")
        if admission.is_full:
            raise NotReady(f"all {admission.max_open} places are taken", hint="wait for one of them")
        stats = engine.stats()
        return {
            "status": "ready",
            "running_requests": stats.running_requests,
            "queued_requests": stats.queued_requests,
            "adapters": len(stats.adapters),
        }

    return router


def _check_engine(engine: Engine) -> None:
    if not engine.stats().alive:
        raise EngineFailed("the engine has stopped", hint="look at the endpoint's log")
