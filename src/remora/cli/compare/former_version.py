"""The previous version of an adapter, by the name `NAME@previous`. Owns finding it on the share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from remora.azure.app.keys import AppKeys
from remora.cli.context import Deployment
from remora.errors import NotFound, Refused
from remora.project.api_keys import ADMIN
from remora.rollout.compare.contestants import PREVIOUS
from remora.rollout.compare.former import served_beside
from remora.rollout.endpoint import Endpoint
from remora.rollout.revision.candidate import ADAPTERS_VARIABLE, look
from remora.rollout.share.alias_sets import served_aliases


def wants_previous(model: str) -> bool:
    """Whether a model is named as the previous version of an adapter."""
    return model.endswith(f"@{PREVIOUS}")


@contextmanager
def former_version(deployment: Deployment, endpoint: Endpoint, model: str) -> Iterator[str]:
    """Serve `NAME@previous` while the block runs. Yields its name at the endpoint.

    Raises Refused where other replicas would not serve it, and NotFound where there is no previous version.
    """
    name = model.partition("@")[0]
    candidate = look(deployment.app)
    if candidate.scale.max_replicas > 1:
        raise Refused(
            f"{model!r} would be served by one replica, and the app may have several",
            hint="set [scale] max_replicas = 1, or ask a deployment of its own",
        )
    alias = served_aliases(deployment.share, candidate.environment.get(ADAPTERS_VARIABLE, "")).require(name)
    if alias.previous is None:
        raise NotFound(f"{name!r} has no previous version", hint="see: remora adapters history")
    key = AppKeys(deployment.app).secret_of(ADMIN)
    with served_beside(endpoint.url, key, name, alias.previous) as own_name:
        yield own_name
