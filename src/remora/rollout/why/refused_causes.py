"""Causes by which Azure or the share refuses something: the account, the place, the files."""

from __future__ import annotations

from typing import Final

from remora.rollout.why.causes import Cause
from remora.rollout.why.facts import Source
from remora.rollout.why.signs import CONTAINER, MORE_QUOTA, certain, likely

ACCOUNT: Final = (
    Cause(
        "token_expired",
        "your sign-in has expired, or nobody is signed in",
        "run: az login",
        (
            certain(r"ExpiredAuthenticationToken|nobody is signed in|AADSTS(70043|700082|50173)"),
            likely(r"InvalidAuthenticationToken\b|(?:access )?token (?:has |is )?expired"),
            likely(r"\bsign_in_required\b", Source.COMMAND),
        ),
    ),
    Cause(
        "no_role",
        "your account has no role that allows {action} there",
        "ask an owner for it: az role assignment create --role Contributor --assignee YOU --scope SCOPE",
        (certain(r"\b(?:Linked)?AuthorizationFailed\b(?:.*perform action '(?P<action>[^']+)')?"),),
        {"action": "the change"},
    ),
    Cause(
        "policy_denied",
        "a policy of the subscription forbids it",
        "ask its administrator for an exemption, or provision elsewhere: remora up --resource-group GROUP",
        (certain(r"RequestDisallowedByPolicy"),),
    ),
    Cause(
        "resource_lock",
        "a lock on the resource or its group forbids the change",
        "find it with: az lock list --output table, and ask its owner to remove it",
        (certain(r"\bScopeLocked\b"),),
    ),
    Cause(
        "provider_not_registered",
        "provider {provider} is not registered for the subscription",
        "run: az provider register --wait --namespace {provider}",
        (
            certain(r"not registered to use namespace '(?P<provider>[\w.]+)'"),
            certain(r"provider (?P<provider>Microsoft\.\w+) is not registered"),
            certain(r"MissingSubscriptionRegistration"),
        ),
        {"provider": "Microsoft.App"},
    ),
    Cause(
        "deployment_active",
        "another deployment into the resource group is still running",
        "wait until it has ended, then run: remora up",
        (
            certain(r"\bDeploymentActive\b"),
            likely(r"AnotherOperationInProgress|ContainerAppOperationInProgress"),
        ),
    ),
    Cause(
        "too_many_deployments",
        "the resource group has 800 deployments in its history, and takes no other",
        "remove old ones: az deployment group delete --resource-group GROUP --name NAME",
        (certain(r"\bDeploymentQuotaExceeded\b"),),
    ),
    Cause(
        "throttled",
        "the cloud limits the rate of requests of your account",
        "wait for a few minutes, then run: remora up",
        (
            certain(r"TooManyRequests|SubscriptionRequestsThrottled|OperationNotAllowed.*throttl"),
            likely(r"\b429\b", Source.ARM, Source.COMMAND, Source.HISTORY),
        ),
    ),
)

PLACE: Final = (
    Cause(
        "quota_family",
        "the quota {quota} of the region is used up",
        f"{MORE_QUOTA}, lower maximumInstanceCount, or take another region: remora up --location REGION",
        (
            certain(r"cannot have more than \d+ (?P<quota>\w*Gpus?\w*)"),
            certain(r"quota (?P<quota>\w*Gpus\w*) has \d+ of \d+ left"),
        ),
        {"quota": "for GPUs"},
    ),
    Cause(
        "quota_regional",
        "a quota of the subscription in this region is used up",
        f"{MORE_QUOTA}, or take another region: remora up --location REGION",
        (certain(r"MaxRegionalQuotaExceeded|MaxNumberOf\w+Exceeded|\bQuotaExceeded\b"),),
    ),
    Cause(
        "region_without_profile",
        "the region does not offer what the template asks for",
        "take another region: remora up --location REGION, or another workloadProfile",
        (
            certain(r"region '[^']*' has no (?:workload profile|Microsoft\.)"),
            certain(r"WorkloadProfile\w*NotSupported|LocationNotAvailableForResourceType"),
        ),
    ),
    Cause(
        "name_taken",
        "the name of the storage account is taken by somebody else",
        "name another in storageAccountName of inference.parameters.json, then run: remora up",
        (
            certain(
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
        (certain(r"workspace.*soft[- ]?delete|soft[- ]?delete.*workspace"),),
    ),
)

SHARE: Final = (
    Cause(
        "shared_keys_forbidden",
        "the storage account forbids access with its key, which a mounted share needs",
        "go without the key: remora up (Remora's own program needs no mount), or allow it: az storage account"
        " update --allow-shared-key-access true --resource-group GROUP --name ACCOUNT",
        (
            certain(
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
            certain(r"(?P<command>az role assignment create --role \"Storage File Data Privileged Co.*)"),
            certain(
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
            certain(r"managed identity may not read", *CONTAINER),
            certain(r"cannot read release \w+ on the share: AuthorizationPermissionMismatch", *CONTAINER),
        ),
    ),
    Cause(
        "replica_disk_full",
        "the disk of a replica has no room for the models that it pulls",
        "give it more cores, with which its disk grows to at most 8 GiB: cpu in inference.parameters.json,"
        " then: remora up",
        (certain(r"the disk of this replica has \d+ MB left", *CONTAINER),),
    ),
    Cause(
        "storage_firewall",
        "the storage account's firewall does not let this machine in",
        "allow your address: az storage account network-rule add --ip-address ADDRESS --resource-group GROUP"
        " --account-name ACCOUNT",
        (certain(r"not authorized to perform this operation(?! using this)|\bAuthorizationFailure\b"),),
    ),
    Cause(
        "clock_skew",
        "the clock of this machine is wrong, so that Azure refuses its signatures",
        "set it: sudo timedatectl set-ntp true, then run: remora up",
        (
            certain(r"Request date header|RequestTimeTooSkewed|x-ms-date.*(?:too old|not within)"),
            likely(r"AuthenticationFailed.*\bdate\b"),
        ),
    ),
    Cause(
        "share_full",
        "the share is full",
        "raise its quota: az storage share-rm update --quota GIB --resource-group GROUP --name SHARE"
        " --storage-account ACCOUNT; or remove what the folder does not have: remora up --prune",
        (
            certain(r"ShareSizeLimitReached"),
            likely(r"the quota of the share|No space left on device|disk_full"),
        ),
    ),
    Cause(
        "share_locked",
        "another command is changing this endpoint",
        "wait until it has ended, then run: remora up",
        (certain(r"the share is locked by (?P<who>.+)"), certain(r"took over the share's lock")),
    ),
    Cause(
        "share_not_mounted",
        "the container cannot mount the share: its key was renewed, or a firewall is in the way",
        "give the environment the account's present key again: remora provision",
        (
            likely(
                r"mount error|FailedMount|VolumeMountFailure|MountVolume",
                Source.SYSTEM,
                Source.REPLICA,
                Source.REVISION,
            ),
        ),
    ),
)
