"""GET /healthz, /readyz and /version, for operators and probes. Owns what alive and ready mean.

These routes need no key, so they tell no secrets.

`/health` and `/ping` are what vLLM, load balancers and SageMaker call `/healthz`.

Alive: restarting this process would not help; where the engine has died it would. Ready: a question asked now
would be answered now and as every replica answers it: so not while we drain, not while the queue is full, and
not once a background task that keeps replicas alike has failed for long.
"""

from __future__ import annotations

from fastapi import APIRouter

from remora import __version__
from remora.engine.base import Engine
from remora.errors import Draining, EngineFailed, NotReady
from remora.server.access.admission import Admission
from remora.server.supervision import Supervisor


def ops_routes(engine: Engine, admission: Admission, supervisor: Supervisor) -> APIRouter:
    router = APIRouter()

    @router.get("/version")
    async def version() -> dict[str, str]:
        return {"version": __version__}

    @router.get("/healthz")
    @router.get("/health")
    @router.get("/ping")
    @router.post("/ping")
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
        supervisor.check_ready()
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
