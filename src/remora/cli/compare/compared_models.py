"""Which endpoint serves the models of a comparison, and where their adapters' files are. Compares nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from remora.adapters.adapter import Adapter, Digest
from remora.adapters.peft.inspect import ADAPTER_FILES, inspect_adapter
from remora.adapters.peft.update_norms import norms_by_layer
from remora.adapters.store import adapter_folder
from remora.azure.share.files import Share
from remora.cli.context import Deployment, open_deployment
from remora.cli.local.local_engine import local_endpoint
from remora.cli.models.base_option import read_settings
from remora.cli.output.console import Output
from remora.errors import InvalidInput, RemoraError
from remora.project.settings import Settings
from remora.rollout.compare.contestants import Contestant, adapter_name, parse_models
from remora.rollout.compare.gathering import Gathered
from remora.rollout.compare.layers import Layer
from remora.rollout.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Served:
    """An endpoint, and the deployment that it belongs to, if it is one of this project."""

    endpoint: Endpoint
    deployment: Deployment | None = None


@contextmanager
def serving(folder: Path, url: str | None, out: Output, *, local: bool) -> Iterator[Served]:
    """The endpoint to ask: that of a URL, the engine on this machine, or the deployed one."""
    if url is not None and local:
        raise InvalidInput("--url and --local exclude each other", hint="leave out one", param="--url")
    if url is not None:
        with Endpoint(url.rstrip("/").removesuffix("/v1"), os.environ.get("REMORA_API_KEY", "")) as endpoint:
            yield Served(endpoint)
    elif local:
        with ExitStack() as stack:
            with out.step("starting the engine on this machine"):
                endpoint = stack.enter_context(local_endpoint(folder))
            yield Served(endpoint)
    else:
        deployment = open_deployment(folder, out)
        with deployment.api_endpoint("cannot be compared") as endpoint:
            yield Served(endpoint, deployment)


def contestants(served: Served, models: str) -> list[Contestant]:
    """The wanted models, the first as reference."""
    wanted = parse_models(models, [str(card["id"]) for card in served.endpoint.models()])
    return [Contestant(one.label, served.endpoint, one.model, one.scale) for one in wanted]


def layers_of(served: Served, folder: Path) -> Callable[[Gathered], Sequence[Layer]]:
    """A function that finds an adapter's files, in the folder or on the share, and measures its layers.

    Nothing where the files are not found or cannot be read: a report without this plot is still one.
    """
    here = {adapter.digest: adapter for adapter in _here(read_settings(folder))}
    known: dict[
        str, Mapping[int | None, float]
    ] = {}  # by digest: one version can be compared at several strengths

    def measure(one: Gathered) -> Sequence[Layer]:
        if not one.digest:
            return ()
        if one.digest not in known:
            with TemporaryDirectory() as scratch:
                adapter = here.get(Digest(one.digest)) or _there(served, one, Path(scratch))
                known[one.digest] = norms_by_layer(adapter) or {} if adapter else {}
        return [Layer(layer, norm * one.who.scale) for layer, norm in known[one.digest].items()]

    return measure


def _here(settings: Settings) -> Iterator[Adapter]:
    for name, path in settings.adapters.items():
        with suppress(RemoraError, OSError):
            yield inspect_adapter(name, path, None)


def _there(served: Served, one: Gathered, scratch: Path) -> Adapter | None:
    if served.deployment is None:
        return None
    return _fetched(served.deployment.share, one, scratch)


def _fetched(share: Share, one: Gathered, scratch: Path) -> Adapter | None:
    name = adapter_name(one.who.model)
    try:
        for file in ADAPTER_FILES:
            data = share.read(adapter_folder(name, Digest(one.digest)) / file)
            if data is not None:
                (scratch / file).write_bytes(data)
        return inspect_adapter(name, scratch, None)
    except (RemoraError, OSError):
        return None
