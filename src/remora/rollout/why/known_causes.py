"""The causes that users met, each with the signs by which it is known. A table; `causes.py` reads it.

Owns the texts. The codes are Azure's: learn.microsoft.com/azure/azure-resource-manager/troubleshooting,
learn.microsoft.com/azure/container-apps/troubleshooting. Of two equally certain causes the first wins.
"""

from __future__ import annotations

import re
from typing import Final

from remora.rollout.why.causes import Cause, Confidence, Sign
from remora.rollout.why.facts import Source

REFUSED: Final = "refused"
"""The message of the refusal is the cause."""
_CONTAINER = (Source.CONSOLE, Source.SYSTEM, Source.REPLICA, Source.REVISION, Source.COMMAND, Source.HISTORY)


def _sign(confidence: Confidence, pattern: str, *sources: Source) -> Sign:
    return Sign(confidence, re.compile(pattern, re.IGNORECASE), frozenset(sources))


def _certain(pattern: str, *sources: Source) -> Sign:
    return _sign(Confidence.CERTAIN, pattern, *sources)


def _likely(pattern: str, *sources: Source) -> Sign:
    return _sign(Confidence.LIKELY, pattern, *sources)


def _possible(pattern: str, *sources: Source) -> Sign:
    return _sign(Confidence.POSSIBLE, pattern, *sources)


_MORE_QUOTA: Final = "ask for more in Azure's portal"
# Not for a container that the platform has stopped, as it does when its revision is deactivated.
_BY_ITSELF: Final = r"(?!'? and reason 'ManuallyStopped')"
_TEMPLATE: Final = "infra/provision/inference.bicep"

_ACCOUNT: Final = (
    Cause(
        "token_expired",
        "your sign-in has expired, or nobody is signed in",
        "run: az login",
        (
            _certain(r"ExpiredAuthenticationToken|nobody is signed in|AADSTS(70043|700082|50173)"),
            _likely(r"InvalidAuthenticationToken\b|(?:access )?token (?:has |is )?expired"),
            _likely(r"\bsign_in_required\b", Source.COMMAND),
        ),
    ),
    Cause(
        "no_role",
        "your account has no role that allows {action} there",
        "ask an owner for it: az role assignment create --role Contributor --assignee YOU --scope SCOPE",
        (_certain(r"\b(?:Linked)?AuthorizationFailed\b(?:.*perform action '(?P<action>[^']+)')?"),),
        {"action": "the change"},
    ),
    Cause(
        "policy_denied",
        "a policy of the subscription forbids it",
        "ask its administrator for an exemption, or provision elsewhere: remora up --resource-group GROUP",
        (_certain(r"RequestDisallowedByPolicy"),),
    ),
    Cause(
        "resource_lock",
        "a lock on the resource or its group forbids the change",
        "find it with: az lock list --output table, and ask its owner to remove it",
        (_certain(r"\bScopeLocked\b"),),
    ),
    Cause(
        "provider_not_registered",
        "provider {provider} is not registered for the subscription",
        "run: az provider register --wait --namespace {provider}",
        (
            _certain(r"not registered to use namespace '(?P<provider>[\w.]+)'"),
            _certain(r"provider (?P<provider>Microsoft\.\w+) is not registered"),
            _certain(r"MissingSubscriptionRegistration"),
        ),
        {"provider": "Microsoft.App"},
    ),
    Cause(
        "deployment_active",
        "another deployment into the resource group is still running",
        "wait until it has ended, then run: remora up",
        (
            _certain(r"\bDeploymentActive\b"),
            _likely(r"AnotherOperationInProgress|ContainerAppOperationInProgress"),
        ),
    ),
    Cause(
        "too_many_deployments",
        "the resource group has 800 deployments in its history, and takes no other",
        "remove old ones: az deployment group delete --resource-group GROUP --name NAME",
        (_certain(r"\bDeploymentQuotaExceeded\b"),),
    ),
    Cause(
        "throttled",
        "the cloud limits the rate of requests of your account",
        "wait for a few minutes, then run: remora up",
        (
            _certain(r"TooManyRequests|SubscriptionRequestsThrottled|OperationNotAllowed.*throttl"),
            _likely(r"\b429\b", Source.ARM, Source.COMMAND, Source.HISTORY),
        ),
    ),
)

_PLACE: Final = (
    Cause(
        "quota_family",
        "the quota {quota} of the region is used up",
        f"{_MORE_QUOTA}, lower maximumInstanceCount, or take another region: remora up --location REGION",
        (
            _certain(r"cannot have more than \d+ (?P<quota>\w*Gpus?\w*)"),
            _certain(r"quota (?P<quota>\w*Gpus\w*) has \d+ of \d+ left"),
        ),
        {"quota": "for GPUs"},
    ),
    Cause(
        "quota_regional",
        "a quota of the subscription in this region is used up",
        f"{_MORE_QUOTA}, or take another region: remora up --location REGION",
        (_certain(r"MaxRegionalQuotaExceeded|MaxNumberOf\w+Exceeded|\bQuotaExceeded\b"),),
    ),
    Cause(
        "region_without_profile",
        "the region does not offer what the template asks for",
        "take another region: remora up --location REGION, or another workloadProfile",
        (
            _certain(r"region '[^']*' has no (?:workload profile|Microsoft\.)"),
            _certain(r"WorkloadProfile\w*NotSupported|LocationNotAvailableForResourceType"),
        ),
    ),
    Cause(
        "name_taken",
        "the name of the storage account is taken by somebody else",
        "name another in storageAccountName of inference.parameters.json, then run: remora up",
        (
            _certain(
                r"StorageAccountAlready(?:Taken|Exists)|is already taken"
                r"|storage account '[^']*' cannot be created"
            ),
        ),
    ),
    Cause(
        "workspace_soft_deleted",
        "a Log Analytics workspace of this name was deleted lately, and Azure still keeps it",
        "restore it: az monitor log-analytics workspace recover --resource-group GROUP"
        " --workspace-name NAME, or name another in acaLogAnalyticsName",
        (_certain(r"workspace.*soft[- ]?delete|soft[- ]?delete.*workspace"),),
    ),
)

_SHARE: Final = (
    Cause(
        "shared_keys_forbidden",
        "the storage account forbids access with its key, which a mounted share needs",
        "go without the key: remora up (Remora's own program needs no mount), or allow it: az storage account"
        " update --allow-shared-key-access true --resource-group GROUP --name ACCOUNT",
        (
            _certain(
                r"KeyBasedAuthenticationNotPermitted|Key[- ]based authentication is not permitted"
                r"|allowSharedKeyAccess"
            ),
        ),
    ),
    Cause(
        "uploader_role_missing",
        "you may not write files to the storage account: the role Storage File Data Privileged Contributor is"
        " missing, or does not take effect yet",
        "{command}",
        (
            _certain(r"(?P<command>az role assignment create --role \"Storage File Data Privileged Co.*)"),
            _certain(
                r"Storage File Data Privileged Contributor|to perform this operation using this permission",
                *(Source.COMMAND, Source.HISTORY),
            ),
        ),
        words={
            "command": 'az role assignment create --role "Storage File Data Privileged Contributor"'
            " --assignee YOU --scope ACCOUNT"
        },
    ),
    Cause(
        "reader_role_missing",
        "the app's managed identity may not read the share: the role Storage File Data Privileged Reader is"
        " missing, or does not take effect yet, which takes minutes",
        "wait some minutes; then let the template assign it again: remora provision",
        (
            _certain(r"managed identity may not read", *_CONTAINER),
            _certain(r"cannot read release \w+ on the share: AuthorizationPermissionMismatch", *_CONTAINER),
        ),
    ),
    Cause(
        "replica_disk_full",
        "the disk of a replica has no room for the models that it pulls",
        "give it more cores, with which its disk grows to at most 8 GiB: cpu in inference.parameters.json,"
        " then: remora up",
        (_certain(r"the disk of this replica has \d+ MB left", *_CONTAINER),),
    ),
    Cause(
        "storage_firewall",
        "the storage account's firewall does not let this machine in",
        "allow your address: az storage account network-rule add --ip-address ADDRESS --resource-group GROUP"
        " --account-name ACCOUNT",
        (_certain(r"not authorized to perform this operation(?! using this)|\bAuthorizationFailure\b"),),
    ),
    Cause(
        "clock_skew",
        "the clock of this machine is wrong, so that Azure refuses its signatures",
        "set it: sudo timedatectl set-ntp true, then run: remora up",
        (
            _certain(r"Request date header|RequestTimeTooSkewed|x-ms-date.*(?:too old|not within)"),
            _likely(r"AuthenticationFailed.*\bdate\b"),
        ),
    ),
    Cause(
        "share_full",
        "the share is full",
        "raise its quota: az storage share-rm update --quota GIB --resource-group GROUP --name SHARE"
        " --storage-account ACCOUNT; or remove what the folder does not have: remora up --prune",
        (
            _certain(r"ShareSizeLimitReached"),
            _likely(r"the quota of the share|No space left on device|disk_full"),
        ),
    ),
    Cause(
        "share_locked",
        "another command is changing this endpoint",
        "wait until it has ended, then run: remora up",
        (_certain(r"the share is locked by (?P<who>.+)"), _certain(r"took over the share's lock")),
    ),
    Cause(
        "share_not_mounted",
        "the container cannot mount the share: its key was renewed, or a firewall is in the way",
        "give the environment the account's present key again: remora provision",
        (
            _likely(
                r"mount error|FailedMount|VolumeMountFailure|MountVolume",
                Source.SYSTEM,
                Source.REPLICA,
                Source.REVISION,
            ),
        ),
    ),
)

_START: Final = (
    Cause(
        "image_pull_denied",
        "the container's image cannot be pulled: the registry refuses it",
        f"correct the image or the registry's credentials in {_TEMPLATE}, then run: remora up",
        (
            _certain(
                r"ImagePullUnauthorized|(?:image|registry).*(?:UNAUTHORIZED|denied|authentication required)",
                *_CONTAINER,
            ),
            _likely(r"ImagePullFailure|ErrImagePull|ImagePullBackOff|manifest unknown", *_CONTAINER),
        ),
    ),
    Cause(
        "image_pull_slow",
        "the container's image is still being pulled",
        "wait with a longer limit: remora deploy --timeout 3600",
        (_likely(r"\bPullingImage\b", Source.SYSTEM),),
    ),
    Cause(
        "no_room_beside",
        "there is no room for a new revision beside the serving one",
        "stop the serving one first: remora deploy --strategy in-place",
        (
            _certain(r"no room for one replica beside"),
            _likely(r"has no capacity next to the serving revision"),
        ),
    ),
    Cause(
        "stuck_assigning",
        "the platform finds no node for the replica",
        "free the serving revision's place with: remora deploy --strategy in-place; or take another region or"
        " profile",
        (
            _certain(
                r"AssigningReplicaFailed|FailedScheduling", Source.SYSTEM, Source.COMMAND, Source.HISTORY
            ),
            _likely(r"AssigningReplica\b|no node is free|Insufficient (?:cpu|memory|nvidia)"),
        ),
    ),
    Cause(
        "out_of_memory",
        "the container was killed because it used more memory than it has",
        f"give it more memory in {_TEMPLATE}, or take a smaller base model; then run: remora up",
        (
            _certain(r"OOMKilled|CUDA out of memory|std::bad_alloc|^MemoryError", *_CONTAINER),
            _likely(rf"exit code '?137'?{_BY_ITSELF}|out of memory", *_CONTAINER),
        ),
    ),
    Cause(
        "wrong_port",
        "the container does not listen on the port that the app's ingress and probes use",
        f"let it listen on the target port (it is in PORT), or correct targetPort in {_TEMPLATE}; then run:"
        " remora up",
        (
            _certain(r"TargetPort \d+ does not match the listening port|port \d+ is not the target port"),
            _likely(r"probe failed: .*(?:refused|cannot connect|connection attempts failed)"),
        ),
    ),
    Cause(
        "command_failed",
        "{command} of the container failed",
        "correct it, then run: remora deploy; its messages are in: remora logs",
        (_certain(r"(?P<command>command \d+ of \d+, `[^`]*`,) failed"),),
    ),
    Cause(
        "crash_loop",
        "the container ends again and again before it is ready",
        "read its last lines: remora logs",
        (
            _likely(r"replica \S+ has ended \d+ times|CrashLoopBackOff|ContainerCrashing"),
            _possible(
                r"ContainerBackOff|Persistent Failure to start"
                rf"|terminated with exit code '[1-9]\d*'{_BY_ITSELF}"
            ),
        ),
    ),
    Cause(
        "slow_weights",
        "the weights are still being loaded",
        "wait with a longer limit: remora deploy --timeout 3600",
        (_possible(r"loading (?:checkpoint |the )?(?:weights|shards)"),),
    ),
    Cause(
        "slow_start",
        "the revision starts more slowly than the command waits",
        "wait with a longer limit: remora deploy --timeout 3600",
        (_possible(r"was not ready in \d+ s"),),
    ),
    Cause(
        "still_starting",
        "the revision is still starting",
        "wait, and see what it prints: remora logs -f",
        (_possible(r"since \d+ s nothing is newer than"),),
    ),
)

_ANSWER: Final = (
    Cause(
        "adapter_rejected",
        "an adapter cannot be served as it is",
        "see what is wrong with it: remora adapters list",
        (_certain(r"\badapter_rejected\b"),),
    ),
    Cause(
        "verification_failed",
        "the new revision answers differently from what was recorded, or an adapter changes nothing",
        "compare the answers: remora golden check; the former revision still serves",
        (_certain(r"\bverification_failed\b"),),
    ),
    Cause(
        "front_down",
        "the front, which has the endpoint's address, does not run; the model's own app may well do",
        "see what it prints: remora logs --front, then run: remora deploy",
        (
            _certain(r"\bthe front \S+(?: has never been ready|: .*, does not run)", Source.REVISION),
            _likely(r"\bits front was not updated\b|\bthe front at \S+ passes nothing on\b"),
        ),
    ),
    Cause(
        "name_not_resolved",
        "the name of the endpoint or of the cloud cannot be resolved yet",
        "wait for a few minutes, then run: remora status",
        (_likely(r"Name or service not known|nodename nor servname|getaddrinfo|name resolution|NXDOMAIN"),),
    ),
    Cause(
        "ingress_timeout",
        "the ingress ended a request that took longer than its limit of 240 s",
        "stream long answers, or lower max_tokens; where the app slept, set front = true under [scale]",
        (
            _likely(r"stream timeout|upstream request timeout"),
            _likely(r"\b504\b", Source.SYSTEM, Source.COMMAND, Source.HISTORY),
        ),
    ),
    Cause(
        "log_stream_refused",
        "the log stream refused its token or broke, so that the reason cannot be read",
        "read it again: remora logs",
        (_possible(r"the log stream (?:answered \d+|broke)"),),
    ),
    Cause(
        "cloud_unavailable",
        "the cloud does not answer",
        "see whether it runs: remora cloud status",
        (
            _certain(r"the local cloud is not running|the local cloud did not start"),
            _possible(r"\bcloud_unavailable\b"),
        ),
    ),
    Cause(
        REFUSED,
        "the command was refused before it changed anything",
        "correct what its message names, then run: remora up",
        (_possible(r": refused: ", Source.COMMAND),),
    ),
)

KNOWN_CAUSES: Final[tuple[Cause, ...]] = (*_ACCOUNT, *_PLACE, *_SHARE, *_START, *_ANSWER)
