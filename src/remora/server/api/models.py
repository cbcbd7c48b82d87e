"""GET /v1/models. Owns how the base and its adapters are listed."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from remora.adapters.adapter import Adapter
from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.registry import AdapterRegistry
from remora.adapters.text.text_files import generation_defaults
from remora.engine.base import Tokenizer
from remora.server.generation.answering import Answerer
from remora.server.roster.roster import Roster

_FINGERPRINT_CHARACTERS = 12
_PROBE = ({"role": "user", "content": "Remora 1, 2, 3"},)


def model_routes(roster: Roster, base: BaseShape | None, answerer: Answerer) -> APIRouter:
    """`base` is the model's folder, for what it says of itself; `answerer` knows how models get tools."""
    router = APIRouter()
    models, engine = roster.models, roster.engine
    started_seconds = int(time.time())
    stack = {**asdict(engine.stack), "template": _template_fingerprint(engine.tokenizer)}
    told = {"stack": stack, "generation_defaults": generation_defaults(base.path) if base else {}}

    def card(adapter: Adapter | None) -> dict[str, Any]:
        tools = {"tools": str(answerer.tool_form_of(adapter).told)}
        if adapter is None:
            return _base_card(models, told, started_seconds) | tools
        return _adapter_card(roster, adapter, started_seconds) | tools

    @router.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        cards = [card(None), *map(card, models.adapters)]
        return {"object": "list", "data": cards, "remora": _changes(roster)}

    @router.get("/v1/models/{model:path}")
    async def show(model: str) -> dict[str, Any]:
        await answerer.bring(model)
        return card(models.resolve(model))

    return router


def _base_card(models: AdapterRegistry, told: dict[str, Any], created_seconds: int) -> dict[str, Any]:
    """`stack` is what answers are computed with: it tells how closely two of them should agree.

    `generation_defaults` are what the checkpoint asks for and a request gets only where it asks itself.
    """
    name = models.base_name
    card = _card(name, created_seconds)
    return {**card, "root": name, "parent": None, "adapter": None, **told}


def _adapter_card(roster: Roster, adapter: Adapter, created_seconds: int) -> dict[str, Any]:
    """`root` is the folder's name only: where it lies on this machine is nobody's business."""
    problem = roster.problems.get(adapter.name)
    detail = {
        "digest": adapter.digest,
        "rank": adapter.settings.rank,
        "modules": len(adapter.modules),
        "size_bytes": adapter.size_bytes,
        "template": _template_fingerprint(roster.engine.tokenizer_of(adapter.digest)),
        "generation_defaults": dict(adapter.generation_defaults),
        "state": "outdated" if problem else "serving",
        "problem": problem.reason if problem else None,
        "proof": roster.prover.told(adapter.digest),
    }
    card = _card(adapter.name, created_seconds)
    return {**card, "root": adapter.path.name, "parent": roster.models.base_name, "adapter": detail}


def _changes(roster: Roster) -> dict[str, Any]:
    """Which generation of the aliases this replica has come to, and what of it is not served."""
    failed = [
        {"name": name, "digest": problem.digest, "problem": problem.reason}
        for name, problem in roster.problems.items()
    ]
    return {"generation": roster.generation, "failed": failed}


def _template_fingerprint(tokenizer: Tokenizer) -> str:
    """Identifies tokenizer and chat template by what they make of a message."""
    ids = tokenizer.render_chat(_PROBE)
    return hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()[:_FINGERPRINT_CHARACTERS]


def _card(name: str, created_seconds: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created_seconds, "owned_by": "remora"}
