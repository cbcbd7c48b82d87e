"""The former version of an adapter, served beside the current one while it is compared.

Owns loading and dropping it by hand, with the admin key: this changes one replica and no alias.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx

from remora.adapters.adapter import Digest, short
from remora.errors import NotReady, said
from remora.rollout.endpoint import CONNECT_SECONDS, problem_of

_LOAD_SECONDS = 200.0
_BESIDE = "-compared-"


def adapter_name(model: str) -> str:
    """The adapter's name in a model's: without a version, and without what a former one is served by."""
    return model.partition("@")[0].partition(_BESIDE)[0]


@contextmanager
def served_beside(url: str, admin_key: str, name: str, digest: Digest) -> Iterator[str]:
    """Serve this version, which is on the share, while the block runs. Yields its name at the endpoint."""
    own_name = f"{name}{_BESIDE}{short(digest)}"
    headers = {"Authorization": f"Bearer {admin_key}"}
    timeout = httpx.Timeout(_LOAD_SECONDS, connect=CONNECT_SECONDS)
    with httpx.Client(base_url=url, headers=headers, timeout=timeout) as http:
        wanted = {"lora_name": own_name, "lora_path": f"{name}/{digest}"}
        try:
            _load(http, wanted)
            yield own_name
        finally:
            with suppress(httpx.HTTPError):  # a replica that has stopped has forgotten it too
                http.post("/v1/unload_lora_adapter", json={"lora_name": own_name})


def _load(http: httpx.Client, wanted: dict[str, str]) -> None:
    try:
        response = http.post("/v1/load_lora_adapter", json=wanted)
    except httpx.HTTPError as error:
        raise NotReady(
            f"the endpoint did not load {wanted['lora_path']}: {said(error)}", hint="run: remora status"
        ) from error
    if not response.is_success:
        raise problem_of(response)
