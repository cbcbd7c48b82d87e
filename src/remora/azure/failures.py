"""What the Azure SDKs raise, in Remora's words. One table, most specific first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)

from remora.errors import (
    CloudUnavailable,
    DeploymentNotFound,
    ProvisioningFailed,
    RemoraError,
    SignInRequired,
)

_TABLE: tuple[tuple[type[AzureError], type[RemoraError], str], ...] = (
    (ClientAuthenticationError, SignInRequired, "sign in with: az login"),
    (ResourceNotFoundError, DeploymentNotFound, "run: remora provision"),
    (
        ServiceRequestError,
        CloudUnavailable,
        "run the command again; the local cloud's own state: remora cloud status",
    ),
    (
        ServiceResponseError,
        CloudUnavailable,
        "nothing is lost; run the command again",
    ),
    (
        HttpResponseError,
        ProvisioningFailed,
        "what the cloud says is above; run the command again after mending it",
    ),
)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn an SDK exception inside the block into a RemoraError that says what was being done."""
    try:
        yield
    except AzureError as error:
        for sdk_error, ours, hint in _TABLE:
            if isinstance(error, sdk_error):
                raise ours(f"{what}: {_reason(error)}", hint=hint) from error
        raise ProvisioningFailed(f"{what}: {_reason(error)}") from error


def _reason(error: AzureError) -> str:
    """Azure's own code and message, on one line, without the SDK's decoration."""
    if isinstance(error, HttpResponseError):
        body = error.error
        if body is not None and getattr(body, "code", None):
            details = "; ".join(f"{item.code}: {item.message}" for item in body.details or ())
            return " ".join(f"{body.code}: {body.message} {details}".split())
    return str(error.message).split("\n", 1)[0]
