"""POST /v1/load_lora_adapter and /v1/unload_lora_adapter, with vLLM's names and words; for admins only.

They change one replica, until it stops: made for trying an adapter out. What every replica is to serve is
said by the share's aliases (`remora adapters push`). Paths are confined to the folders in the settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import PlainTextResponse

from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.peft.inspect import ADAPTER_FILES, inspect_adapter
from remora.adapters.text.text_files import text_files
from remora.errors import InvalidInput, NotFound
from remora.server.access.auth import admin_only
from remora.server.access.key_ring import KeyRing
from remora.server.api.schema.body import RequestBody
from remora.server.roster.roster import Roster


class LoadRequest(RequestBody):
    """vLLM's body. A relative path counts from each allowed folder in turn."""

    lora_name: Annotated[str, Field(min_length=1)]
    lora_path: Annotated[str, Field(min_length=1)]


class UnloadRequest(RequestBody):
    """vLLM's body."""

    lora_name: Annotated[str, Field(min_length=1)]
    lora_int_id: int | None = None


def adapter_routes(roster: Roster, keys: KeyRing, roots: Sequence[Path], base: BaseShape | None) -> APIRouter:
    """`roots` are the folders that adapters may be loaded from; `base` is what they must fit."""
    router = APIRouter(dependencies=[Depends(admin_only(keys))])

    @router.post("/v1/load_lora_adapter")
    async def load(body: LoadRequest) -> PlainTextResponse:
        folder = confined(body.lora_path, roots)
        await roster.add(body.lora_name, lambda: inspect_adapter(body.lora_name, folder, base))
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")

    @router.post("/v1/unload_lora_adapter")
    async def unload(body: UnloadRequest) -> PlainTextResponse:
        await roster.remove(body.lora_name)
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")

    return router


def confined(path: str, roots: Sequence[Path]) -> Path:
    """The folder that a path means, with links resolved. Raises InvalidInput outside of `roots`, NotFound.

    Whether something exists outside is not told.
    """
    if "\0" in path:
        raise InvalidInput("lora_path is no path", param="lora_path")
    inside = [found for root in roots if (found := _inside(root.resolve(), path)) is not None]
    if not inside:
        raise InvalidInput(
            f"{path!r} is outside of the folders that adapters may be loaded from",
            hint="give a folder of the share's adapters, or of the project that is served",
            param="lora_path",
        )
    existing = [found for found in inside if found.is_dir()]
    if not existing:
        raise NotFound(f"there is no folder {path!r}", hint="give the adapter's folder", param="lora_path")
    return existing[0]


def _inside(root: Path, path: str) -> Path | None:
    """The folder, if neither it nor the files that would be read in it lead out of `root`."""
    folder = (root / path).resolve()
    read = (folder, *((folder / name).resolve() for name in (*ADAPTER_FILES, *text_files(folder))))
    return folder if all(each.is_relative_to(root) for each in read) else None
