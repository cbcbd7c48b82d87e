"""Turns exceptions of the Azure SDKs into Remora's errors: by ARM's own codes, else by exception type."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)

from remora.azure.credentials import attempts_of
from remora.errors import (
    CannotWrite,
    CloudUnavailable,
    DamagedState,
    DeploymentNotFound,
    DiskFull,
    Locked,
    ProvisioningFailed,
    Refused,
    RemoraError,
    SignInRequired,
)

_OTHER_ACCOUNT = (
    "sign in with an account that sees it: az login --tenant TENANT, or correct SUBSCRIPTION_ID in"
    " infra/inference.config.json and run: remora provision"
)
_MORE_ROOM = "free some space (df -h), or raise the quota of the share, then run the command again"
_CODES: Mapping[str, tuple[type[RemoraError], str]] = {
    "SubscriptionNotFound": (SignInRequired, _OTHER_ACCOUNT),
    "InvalidSubscriptionId": (SignInRequired, _OTHER_ACCOUNT),
    "InvalidAuthenticationTokenTenant": (SignInRequired, _OTHER_ACCOUNT),
    "AuthorizationFailed": (Refused, "ask for the role Contributor there, or use another account: az login"),
    "LinkedAuthorizationFailed": (Refused, "ask for the role Contributor there, or use another account"),
    "RequestDisallowedByPolicy": (Refused, "a policy of the subscription forbids it: ask its administrator"),
    "KeyBasedAuthenticationNotPermitted": (
        Refused,
        "run: remora up, which reads and writes the share without keys where an account forbids them",
    ),
    "AuthorizationPermissionMismatch": (
        Refused,
        "you need the role Storage File Data Privileged Contributor on the storage account (az role"
        " assignment create), which takes minutes to take effect",
    ),
    "ShareNotFound": (
        DeploymentNotFound,
        "FILE_SHARE_NAME of infra/inference.config.json names it: create it again with: remora provision, or"
        " correct the name; a share that was deleted within 7 days can be restored in the portal",
    ),
    **dict.fromkeys(("DiskFull", "ShareSizeLimitReached"), (DiskFull, _MORE_ROOM)),
    "CannotWrite": (CannotWrite, "make the folder of the local cloud writable: ls -ld ~/.remora/cloud"),
    "DamagedState": (DamagedState, "start again: remora cloud reset --keep-shares"),
    "DeploymentActive": (Locked, "wait for it, or run the command again later"),
}
_TYPES: tuple[tuple[type[AzureError], type[RemoraError], str], ...] = (
    (ClientAuthenticationError, SignInRequired, "sign in with: az login"),
    (ResourceNotFoundError, DeploymentNotFound, "run: remora up"),
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
        "the cloud's message is above; correct its cause, then run the command again",
    ),
)
_TEXT_CHARACTERS = 400


@contextmanager
def explained(what: str, *, but: Container[str] = ()) -> Iterator[None]:
    """Turn an SDK exception inside the block into a RemoraError that says what was being done.

    Errors of the file service with a code in `but` pass unchanged: the caller expects them.
    """
    try:
        yield
    except AzureError as error:
        if file_code(error) in but:
            raise
        ours, hint = _CODES.get(_code(error)) or _by_type(error)
        raise ours(f"{what}: {_reason(error)}", hint=hint) from error


def file_code(error: AzureError) -> str:
    """The file service's code of an error, "" if it has none; the SDK returns a text or an enum."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def described(error: Mapping[str, Any]) -> str:
    """An error document of ARM on one line: the code and message of every informative level."""
    details = [described(item) for item in error.get("details") or () if isinstance(item, dict)]
    own = f"{error.get('code') or 'Error'}: {error.get('message') or 'no message'}"
    # The outermost levels of a failed deployment say only that it failed.
    if details and str(error.get("code")) in ("DeploymentFailed", "ResourceDeploymentFailure"):
        return "; ".join(details)
    return " ".join("; ".join([own, *details]).split())


def _code(error: AzureError) -> str:
    document = error.error if isinstance(error, HttpResponseError) else None
    return str(getattr(document, "code", None) or file_code(error))


def _by_type(error: AzureError) -> tuple[type[RemoraError], str]:
    return next(
        ((ours, hint) for sdk_error, ours, hint in _TYPES if isinstance(error, sdk_error)),
        (ProvisioningFailed, ""),
    )


def _reason(error: AzureError) -> str:
    """Azure's own code and message, on one line, without the text that the SDK adds."""
    if attempts := attempts_of(str(error.message)):
        return f"nobody is signed in ({attempts})"
    if isinstance(error, HttpResponseError) and error.error is not None and _code(error):
        return described(_document(error.error))
    first_line = str(error.message).split("\n", 1)[0]
    body = _body(error)
    return f"{first_line}: {body}" if body and body not in first_line else first_line


def _document(error: Any) -> dict[str, Any]:
    """The error document of ARM, from the SDK's object."""
    return {
        "code": error.code,
        "message": error.message,
        "details": [_document(item) for item in error.details or ()],
    }


def _body(error: AzureError) -> str:
    """The response body if it is not an error document of ARM, such as a proxy's page or plain text."""
    response = error.response if isinstance(error, HttpResponseError) else None
    try:
        text = response.text() if response is not None else ""
    except Exception:
        return ""  # a streamed body that was never read has no text
    return " ".join(str(text).split())[:_TEXT_CHARACTERS]
