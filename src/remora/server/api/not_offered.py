"""OpenAI's other services, which this endpoint does not have. Owns the list, and what to use instead."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request

from remora.errors import NotOffered

INSTEAD: Mapping[str, str] = {
    "/v1/embeddings": "an embedding model, such as text-embedding-3-small, or one served by"
    " text-embeddings-inference",
    "/v1/moderations": "omni-moderation-latest, or a classifier of your own",
    "/v1/images/generations": "an image model",
    "/v1/audio/speech": "a speech model",
    "/v1/audio/transcriptions": "a speech model, such as whisper-1",
    "/v1/rerank": "a reranking model served by text-embeddings-inference",
}


def refused_services() -> APIRouter:
    """501 in OpenAI's shape for each."""
    router = APIRouter()

    async def refuse(request: Request) -> None:
        path: str = request.scope["path"]
        raise NotOffered(
            f"{path} is not offered: the models of this endpoint generate text",
            hint=f"use {INSTEAD[path]}",
        )

    for path in INSTEAD:
        router.post(path, include_in_schema=False)(refuse)
    return router
