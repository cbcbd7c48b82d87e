"""The faults that exist: their names, what each does, and what ARM and Azure Files answer while one is on.

Owns the names and the answers. `faults.py` owns which are on. A fault that is not in one of the two tables of
answers takes effect in the code of its operation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Fault(StrEnum):
    """The value is the name; `MEANINGS` says what each does."""

    QUOTA = "quota"
    SLOW_ENVIRONMENT = "slow_environment"
    IMAGE_PULL_DENIED = "image_pull_denied"
    STUCK_REPLICA = "stuck_replica"
    SHARE_FULL = "share_full"
    SLOW_START = "slow_start"
    NO_ROLE = "no_role"
    POLICY_DENIED = "policy_denied"
    PROVIDER_NOT_REGISTERED = "provider_not_registered"
    RESOURCE_LOCK = "resource_lock"
    REGIONAL_QUOTA = "regional_quota"
    REGION_WITHOUT_PROFILE = "region_without_profile"
    NAME_TAKEN = "name_taken"
    WORKSPACE_SOFT_DELETED = "workspace_soft_deleted"
    SHARED_KEYS_FORBIDDEN = "shared_keys_forbidden"
    STORAGE_FIREWALL = "storage_firewall"
    CLOCK_SKEW = "clock_skew"
    IMAGE_PULL_SLOW = "image_pull_slow"
    OUT_OF_MEMORY = "out_of_memory"
    WRONG_PORT = "wrong_port"
    CRASH_LOOP = "crash_loop"
    SLOW_WEIGHTS = "slow_weights"
    LOG_STREAM_DENIED = "log_stream_denied"
    THROTTLED = "throttled"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a fault's name
    DEPLOYMENT_ACTIVE = "deployment_active"
    TOO_MANY_DEPLOYMENTS = "too_many_deployments"


MEANINGS: Final[Mapping[Fault, str]] = {
    Fault.QUOTA: "an environment or app exceeds the quota for GPUs",
    Fault.SLOW_ENVIRONMENT: "an environment is ready --seconds late",
    Fault.IMAGE_PULL_DENIED: "the registry refuses the image of a new revision",
    Fault.STUCK_REPLICA: "the replicas of a new revision get no node",
    Fault.SHARE_FULL: "the share takes no more content",
    Fault.SLOW_START: "the replicas of a new revision start --seconds late",
    Fault.NO_ROLE: "your account may not deploy a template",
    Fault.POLICY_DENIED: "a policy forbids the deployment",
    Fault.PROVIDER_NOT_REGISTERED: "the subscription does not have the provider Microsoft.App",
    Fault.RESOURCE_LOCK: "a lock forbids changes in the resource group",
    Fault.REGIONAL_QUOTA: "the region has as many environments as the subscription may have",
    Fault.REGION_WITHOUT_PROFILE: "the region has no workload profiles",
    Fault.NAME_TAKEN: "somebody else has a storage account of this name",
    Fault.WORKSPACE_SOFT_DELETED: "a Log Analytics workspace of this name was deleted lately",
    Fault.SHARED_KEYS_FORBIDDEN: "a policy forbids the keys of storage accounts, until it is switched off",
    Fault.STORAGE_FIREWALL: "the storage account's firewall refuses this machine",
    Fault.CLOCK_SKEW: "Azure Files finds the date of each request wrong",
    Fault.IMAGE_PULL_SLOW: "the image of a new revision takes --seconds",
    Fault.OUT_OF_MEMORY: "the containers of a new revision are killed as they start",
    Fault.WRONG_PORT: "the containers of a new revision listen on another port",
    Fault.CRASH_LOOP: "the containers of a new revision end with an error",
    Fault.SLOW_WEIGHTS: "the containers of a new revision load weights for --seconds",
    Fault.LOG_STREAM_DENIED: "the log stream refuses its tokens",
    Fault.THROTTLED: "ARM answers 429 with Retry-After to changes",
    Fault.TOKEN_EXPIRED: "ARM finds your token expired",
    Fault.DEPLOYMENT_ACTIVE: "another deployment is running",
    Fault.TOO_MANY_DEPLOYMENTS: "the resource group has 800 deployments",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What ARM answers to requests of these methods, to paths that match. A status below 400 has `body`."""

    methods: frozenset[str]
    path: re.Pattern[str]
    status: int
    code: str = ""
    message: str = ""
    headers: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None


_WRITE: Final = frozenset({"PUT", "PATCH", "POST", "DELETE"})
_DEPLOYING: Final = r"/providers/Microsoft\.Resources/deployments/[^/]+$"


def _on_deploying(status: int, code: str, message: str) -> Answer:
    return Answer(frozenset({"PUT"}), re.compile(_DEPLOYING, re.IGNORECASE), status, code, message)


def _on(methods: frozenset[str], path: str, status: int, **more: Any) -> Answer:
    return Answer(methods, re.compile(path, re.IGNORECASE), status, **more)


ARM_ANSWERS: Final[Mapping[Fault, Answer]] = {
    Fault.NO_ROLE: _on_deploying(
        403,
        "AuthorizationFailed",
        "The client 'you' does not have authorization to perform action"
        " 'Microsoft.Resources/deployments/write' over this scope, or the scope is invalid.",
    ),
    Fault.POLICY_DENIED: _on_deploying(
        403, "RequestDisallowedByPolicy", "A resource of the deployment was disallowed by policy."
    ),
    Fault.PROVIDER_NOT_REGISTERED: _on_deploying(
        409,
        "MissingSubscriptionRegistration",
        "The subscription is not registered to use namespace 'Microsoft.App'.",
    ),
    Fault.RESOURCE_LOCK: _on_deploying(
        409, "ScopeLocked", "The scope cannot perform write operation because it is locked."
    ),
    Fault.DEPLOYMENT_ACTIVE: _on_deploying(
        409, "DeploymentActive", "The deployment cannot be saved, because it is still active."
    ),
    Fault.TOO_MANY_DEPLOYMENTS: _on_deploying(
        409, "DeploymentQuotaExceeded", "The resource group's history has the most deployments: 800."
    ),
    Fault.THROTTLED: _on(
        _WRITE,
        "/providers/",
        429,
        code="TooManyRequests",
        message="The request is being throttled as the limit has been reached.",
        headers={"Retry-After": "1"},
    ),
    Fault.TOKEN_EXPIRED: _on(
        frozenset({"GET", *_WRITE}),
        "^/subscriptions",
        401,
        code="ExpiredAuthenticationToken",
        message="The access token expiry UTC time is earlier than the current UTC time.",
    ),
    Fault.REGION_WITHOUT_PROFILE: _on(
        frozenset({"GET"}), "/availableManagedEnvironmentsWorkloadProfileTypes$", 200, body={"value": []}
    ),
    Fault.NAME_TAKEN: _on(
        frozenset({"POST"}),
        r"/Microsoft\.Storage/checkNameAvailability$",
        200,
        body={
            "nameAvailable": False,
            "reason": "AlreadyExists",
            "message": "The storage account name is already taken.",
        },
    ),
}

FILES_ERRORS: Final[Mapping[Fault, tuple[str, str]]] = {
    Fault.STORAGE_FIREWALL: ("AuthorizationFailure", ""),
    Fault.CLOCK_SKEW: ("AuthenticationFailed", "Request date header too old."),
}
"""Fault to the error of the file service that every request gets: its code, and a detail."""
