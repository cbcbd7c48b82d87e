"""The table of causes, on facts as Azure and the local cloud report them."""

from __future__ import annotations

import pytest

from remora.rollout.why.causes import NOTHING, UNKNOWN, Confidence, judge
from remora.rollout.why.facts import Fact, Facts, Source, in_order, plain_time, seconds_of, with_gaps
from remora.rollout.why.known_causes import KNOWN_CAUSES

CERTAIN, LIKELY, POSSIBLE = Confidence.CERTAIN, Confidence.LIKELY, Confidence.POSSIBLE
COMMAND, ARM, SYSTEM, CONSOLE = Source.COMMAND, Source.ARM, Source.SYSTEM, Source.CONSOLE

STOPPED = "Container 'a' was terminated with exit code '{}' and reason 'ManuallyStopped'"

# Name of the cause, how certain, what must be in the fix, and what was reported: (source, text).
REPORTED: tuple[tuple[str, Confidence, str, tuple[tuple[Source, str], ...]], ...] = (
    (
        "token_expired",
        CERTAIN,
        "az login",
        ((COMMAND, "up: sign_in_required: ExpiredAuthenticationToken: The access token expiry UTC time"),),
    ),
    (
        "token_expired",
        CERTAIN,
        "az login",
        ((COMMAND, "up: sign_in_required: nobody is signed in (tried X)"),),
    ),
    (
        "no_role",
        CERTAIN,
        "--role Contributor",
        (
            (
                COMMAND,
                "up: refused: AuthorizationFailed: Client 'x' does not have authorization to perform action"
                " 'Microsoft.Resources/deployments/write' over scope '/subscriptions/s'",
            ),
        ),
    ),
    (
        "policy_denied",
        CERTAIN,
        "administrator",
        ((ARM, "RequestDisallowedByPolicy: Resource 'st' was disallowed by policy."),),
    ),
    (
        "resource_lock",
        CERTAIN,
        "az lock list",
        ((ARM, "ScopeLocked: The scope '/subscriptions/s' cannot perform write operation"),),
    ),
    (
        "provider_not_registered",
        CERTAIN,
        "az provider register --wait --namespace Microsoft.App",
        (
            (
                COMMAND,
                "up: provisioning_failed: MissingSubscriptionRegistration: The subscription is not registered"
                " to use namespace 'Microsoft.App'. See https://aka.ms/rps-not-found",
            ),
        ),
    ),
    (
        "deployment_active",
        CERTAIN,
        "remora up",
        ((COMMAND, "up: locked: deploying: DeploymentActive: Unable to edit or replace deployment"),),
    ),
    (
        "too_many_deployments",
        CERTAIN,
        "az deployment group delete",
        (
            (
                COMMAND,
                "up: provisioning_failed: DeploymentQuotaExceeded: Creating the deployment would exceed the"
                " quota of '800'.",
            ),
        ),
    ),
    ("throttled", CERTAIN, "remora up", ((COMMAND, "up: provisioning_failed: TooManyRequests: slow down"),)),
    (
        "quota_family",
        CERTAIN,
        "--location",
        (
            (
                ARM,
                "managedEnvironments 'e': MaxRegionalQuotaExceeded: The subscription cannot have more than 1"
                " SubscriptionNCA100Gpus in region West US 3.",
            ),
        ),
    ),
    (
        "quota_family",
        CERTAIN,
        "maximumInstanceCount",
        (
            (
                COMMAND,
                "up: refused: 2 replicas of NC24-A100 need 2 GPUs; in 'westus3' quota SubscriptionNCA100Gpus"
                " has 1 of 1 left",
            ),
        ),
    ),
    (
        "quota_regional",
        CERTAIN,
        "--location",
        ((ARM, "MaxNumberOfRegionalEnvironmentsInSubExceeded: The subscription cannot have more than 50"),),
    ),
    (
        "region_without_profile",
        CERTAIN,
        "workloadProfile",
        ((COMMAND, "up: refused: region 'norwayeast' has no workload profile 'NC24-A100'; it has: none"),),
    ),
    (
        "name_taken",
        CERTAIN,
        "storageAccountName",
        ((ARM, "StorageAccountAlreadyTaken: The storage account named x is already taken."),),
    ),
    (
        "workspace_soft_deleted",
        CERTAIN,
        "workspace recover",
        ((ARM, "workspaces 'w': Conflict: The workspace name is reserved, it is in soft-delete state"),),
    ),
    (
        "shared_keys_forbidden",
        CERTAIN,
        "--allow-shared-key-access true",
        (
            (
                COMMAND,
                "deploy: refused: KeyBasedAuthenticationNotPermitted: Key based authentication is not"
                " permitted on this storage account.",
            ),
        ),
    ),
    (
        "uploader_role_missing",
        CERTAIN,
        "--assignee YOU --scope ACCOUNT",
        (
            (
                COMMAND,
                "deploy: refused: creating x on Share('a', 's'): This request is not authorized to perform"
                " this operation using this permission.",
            ),
        ),
    ),
    (
        "reader_role_missing",
        CERTAIN,
        "remora provision",
        ((CONSOLE, "cannot read release abc on the share: AuthorizationPermissionMismatch; trying again"),),
    ),
    (
        "replica_disk_full",
        CERTAIN,
        "cpu in inference.parameters.json",
        (
            (
                CONSOLE,
                "Error (disk_full): base needs 9000 MB, and the disk of this replica has 812 MB left; give"
                " the app more cpu",
            ),
        ),
    ),
    (
        "storage_firewall",
        CERTAIN,
        "network-rule add",
        (
            (
                COMMAND,
                "deploy: provisioning_failed: This request is not authorized to perform this operation.",
            ),
        ),
    ),
    (
        "clock_skew",
        CERTAIN,
        "timedatectl",
        ((COMMAND, "deploy: sign_in_required: AuthenticationFailed: Request date header too old: 'Sun'"),),
    ),
    (
        "share_full",
        CERTAIN,
        "share-rm update --quota",
        ((COMMAND, "deploy: disk_full: ShareSizeLimitReached: The share size limit is reached."),),
    ),
    (
        "share_locked",
        CERTAIN,
        "wait",
        ((COMMAND, "deploy: locked: the share is locked by olga on laptop (pid 3, 'remora deploy', since)"),),
    ),
    (
        "share_not_mounted",
        LIKELY,
        "remora provision",
        ((SYSTEM, "Warning FailedMount MountVolume.SetUp failed: mount error(13): Permission denied"),),
    ),
    (
        "image_pull_denied",
        CERTAIN,
        "registry",
        ((SYSTEM, "Warning ImagePullUnauthorized Container 'main' was not started: pulling was denied"),),
    ),
    (
        "image_pull_slow",
        LIKELY,
        "--timeout",
        ((SYSTEM, "Normal PullingImage Pulling image 'x'"),),
    ),
    (
        "no_room_beside",
        CERTAIN,
        "--strategy in-place",
        ((COMMAND, "deploy: refused: there is no room for one replica beside app--1"),),
    ),
    (
        "stuck_assigning",
        CERTAIN,
        "in-place",
        ((SYSTEM, "Warning AssigningReplicaFailed Replica 'a' waits to be assigned: no node is free."),),
    ),
    (
        "out_of_memory",
        CERTAIN,
        "memory",
        (
            (
                SYSTEM,
                "Warning ContainerTerminated Container 'a' was terminated with exit code '137', OOMKilled",
            ),
        ),
    ),
    (
        "out_of_memory",
        LIKELY,
        "memory",
        (
            (
                SYSTEM,
                "Warning ContainerTerminated Container 'a' was terminated with exit code '137' and reason"
                " 'ProcessExited'",
            ),
            (SYSTEM, "Warning ContainerBackOff Back-off 10 s before container 'a' is restarted."),
        ),
    ),
    (
        "wrong_port",
        CERTAIN,
        "targetPort",
        ((SYSTEM, "Warning TargetPort 80 does not match the listening port 8080."),),
    ),
    (
        "wrong_port",
        LIKELY,
        "PORT",
        ((SYSTEM, "Warning ReplicaUnhealthy Startup probe failed: connection refused"),),
    ),
    (
        "command_failed",
        CERTAIN,
        "remora logs",
        (
            (CONSOLE, "command 1 of 2, `pip install -r r.txt`, failed: ERROR: No matching distribution"),
            (SYSTEM, "Warning ContainerTerminated Container 'a' was terminated with exit code '1'"),
        ),
    ),
    (
        "crash_loop",
        LIKELY,
        "remora logs",
        ((COMMAND, "deploy: not_ready: revision 'r' cannot start: replica r-1 has ended 3 times"),),
    ),
    (
        "crash_loop",
        POSSIBLE,
        "remora logs",
        ((SYSTEM, "Warning ContainerTerminated Container 'a' was terminated with exit code '1'"),),
    ),
    (
        "slow_weights",
        POSSIBLE,
        "--timeout",
        (
            (CONSOLE, "loading weights 12 of 28"),
            (COMMAND, "deploy: not_ready: revision 'r' was not ready in 60 s (state Activating)"),
        ),
    ),
    (
        "slow_weights",
        POSSIBLE,
        "--timeout",
        (
            (CONSOLE, "loading weights 12 of 28"),
            (SYSTEM, f"since 1 s nothing is newer than: Normal ContainerTerminated {STOPPED.format(143)}"),
            (SYSTEM, f"since 1 s nothing is newer than: Normal ContainerTerminated {STOPPED.format(137)}"),
        ),
    ),
    (
        "slow_start",
        POSSIBLE,
        "--timeout",
        ((COMMAND, "deploy: not_ready: revision 'r' was not ready in 60 s (state Activating)"),),
    ),
    (
        "still_starting",
        POSSIBLE,
        "remora logs -f",
        ((SYSTEM, "since 4 s nothing is newer than: Normal ContainerStarted Started container 'a'"),),
    ),
    (
        "adapter_rejected",
        CERTAIN,
        "remora adapters list",
        ((COMMAND, "up: adapter_rejected: adapter 'tone' has no tensor that fits"),),
    ),
    (
        "verification_failed",
        CERTAIN,
        "remora golden check",
        ((COMMAND, "deploy: verification_failed: 1 of 3 golden prompts differ"),),
    ),
    (
        "name_not_resolved",
        LIKELY,
        "remora status",
        ((COMMAND, "up: not_ready: [Errno -2] Name or service not known"),),
    ),
    (
        "front_down",
        CERTAIN,
        "remora logs --front",
        ((Source.REVISION, "the front aiacaapp-front: Failed, does not run"),),
    ),
    (
        "front_down",
        LIKELY,
        "remora logs --front",
        ((COMMAND, "deploy: not_ready: the new release serves at http://x, but its front was not updated"),),
    ),
    ("ingress_timeout", LIKELY, "stream", ((COMMAND, "up: not_ready: stream timeout"),)),
    (
        "log_stream_refused",
        POSSIBLE,
        "remora logs",
        ((CONSOLE, "cannot be read: sign_in_required: the log stream answered 401"),),
    ),
    (
        "cloud_unavailable",
        CERTAIN,
        "remora cloud status",
        ((COMMAND, "up: cloud_unavailable: the local cloud is not running"),),
    ),
    (
        "refused",
        POSSIBLE,
        "its message",
        ((COMMAND, "up: refused: 3 replicas of Consumption in westus2 cost up to 1.50 USD an hour"),),
    ),
)


def facts(*reported: tuple[Source, str]) -> Facts:
    rows = [
        Fact(f"2026-11-29T10:00:{number:02}Z", source, text, wrong=source is not CONSOLE)
        for number, (source, text) in enumerate(reported)
    ]
    return Facts(in_order(rows))


@pytest.mark.parametrize(
    ("cause", "confidence", "fix", "reported"), REPORTED, ids=[f"{row[0]}-{row[1]}" for row in REPORTED]
)
def test_the_cause_comes_first_with_its_evidence(
    cause: str, confidence: Confidence, fix: str, reported: tuple[tuple[Source, str], ...]
) -> None:
    noise = (
        (ARM, "Microsoft.App/containerApps app: Succeeded"),
        (CONSOLE, '{"level": "info", "message": "started"}'),
    )
    verdict = judge(facts(*noise, *reported), KNOWN_CAUSES)
    assert (verdict.cause, verdict.confidence) == (cause, confidence)
    assert fix in verdict.fix
    assert {(fact.source, fact.what) for fact in verdict.evidence} <= set(reported)
    assert verdict.evidence
    assert "{" not in verdict.says + verdict.fix


def test_every_cause_has_a_recorded_case() -> None:
    assert {row[0] for row in REPORTED} == {cause.name for cause in KNOWN_CAUSES}


def test_an_unknown_cause_is_called_unknown_and_the_newest_problems_are_shown() -> None:
    reported = [(SYSTEM, f"Warning Strange{number} something else") for number in range(5)]
    verdict = judge(facts(*reported), KNOWN_CAUSES)
    assert (verdict.cause, verdict.is_known) == (UNKNOWN, False)
    assert [fact.what[8:16] for fact in verdict.evidence] == ["Strange4", "Strange3", "Strange2"]


def test_progress_is_no_evidence_and_what_serves_has_no_problem() -> None:
    row = Fact("", SYSTEM, "Normal PulledImage after ImagePullUnauthorized", wrong=False)
    verdict = judge(Facts((row,), serves="revision r serves"), KNOWN_CAUSES)
    assert (verdict.cause, verdict.says) == (NOTHING, "nothing is wrong: revision r serves")


def test_times_of_all_sources_sort_and_have_gaps() -> None:
    assert plain_time("2026-11-29T10:00:01.1234567+00:00") == plain_time("2026-11-29T11:00:01.123+01:00")
    assert seconds_of("PT1M2.5S") == 62.5
    assert seconds_of("1 minute") is None
    rows = in_order(
        [Fact("", SYSTEM, "now"), Fact("2026-11-29T10:00:02", ARM, "b"), Fact("2026-11-29", ARM, "a")]
    )
    assert [row.what for row in rows] == ["a", "b", "now"]
    start, end = Fact("2026-11-29T10:00:00Z", SYSTEM, "a"), Fact("2026-11-29T10:25:00Z", SYSTEM, "b")
    assert [fact.seconds for fact in with_gaps([start, end], "")] == [1500.0, None]
