"""Causes by which a replica does not start, or an endpoint does not answer."""

from __future__ import annotations

from typing import Final

from remora.rollout.why.causes import Cause
from remora.rollout.why.facts import Source
from remora.rollout.why.signs import BY_ITSELF, CONTAINER, REFUSED, TEMPLATE, certain, likely, possible

START: Final = (
    Cause(
        "image_pull_denied",
        "the container's image cannot be pulled: the registry refuses it",
        f"correct the image or the registry's credentials in {TEMPLATE}, then run: remora up",
        (
            certain(
                r"ImagePullUnauthorized|(?:image|registry).*(?:UNAUTHORIZED|denied|authentication required)",
                *CONTAINER,
            ),
            likely(r"ImagePullFailure|ErrImagePull|ImagePullBackOff|manifest unknown", *CONTAINER),
        ),
    ),
    Cause(
        "image_pull_slow",
        "the container's image is still being pulled",
        "wait with a longer limit: remora deploy --timeout 3600",
        (likely(r"\bPullingImage\b", Source.SYSTEM),),
    ),
    Cause(
        "no_room_beside",
        "there is no room for a new revision beside the serving one",
        "stop the serving one first: remora deploy --strategy in-place",
        (
            certain(r"no room for one replica beside"),
            likely(r"has no capacity next to the serving revision"),
        ),
    ),
    Cause(
        "stuck_assigning",
        "the platform finds no node for the replica",
        "free the serving revision's place with: remora deploy --strategy in-place; or take another region or"
        " profile",
        (
            certain(
                r"AssigningReplicaFailed|FailedScheduling", Source.SYSTEM, Source.COMMAND, Source.HISTORY
            ),
            likely(r"AssigningReplica\b|no node is free|Insufficient (?:cpu|memory|nvidia)"),
        ),
    ),
    Cause(
        "out_of_memory",
        "the container was killed because it used more memory than it has",
        f"give it more memory in {TEMPLATE}, or take a smaller base model; then run: remora up",
        (
            certain(r"OOMKilled|CUDA out of memory|std::bad_alloc|^MemoryError", *CONTAINER),
            likely(rf"exit code '?137'?{BY_ITSELF}|out of memory", *CONTAINER),
        ),
    ),
    Cause(
        "wrong_port",
        "the container does not listen on the port that the app's ingress and probes use",
        f"let it listen on the target port (it is in PORT), or correct targetPort in {TEMPLATE}; then run:"
        " remora up",
        (
            certain(r"TargetPort \d+ does not match the listening port|port \d+ is not the target port"),
            likely(r"probe failed: .*(?:refused|cannot connect|connection attempts failed)"),
        ),
    ),
    Cause(
        "command_failed",
        "{command} of the container failed",
        "correct it, then run: remora deploy; its messages are in: remora logs",
        (certain(r"(?P<command>command \d+ of \d+, `[^`]*`,) failed"),),
    ),
    Cause(
        "crash_loop",
        "the container ends again and again before it is ready",
        "read its last lines: remora logs",
        (
            likely(r"replica \S+ has ended \d+ times|CrashLoopBackOff|ContainerCrashing"),
            possible(
                r"ContainerBackOff|Persistent Failure to start"
                rf"|terminated with exit code '[1-9]\d*'{BY_ITSELF}"
            ),
        ),
    ),
    Cause(
        "slow_weights",
        "the weights are still being loaded",
        "wait with a longer limit: remora deploy --timeout 3600",
        (possible(r"loading (?:checkpoint |the )?(?:weights|shards)"),),
    ),
    Cause(
        "slow_start",
        "the revision starts more slowly than the command waits",
        "wait with a longer limit: remora deploy --timeout 3600",
        (possible(r"was not ready in \d+ s"),),
    ),
    Cause(
        "still_starting",
        "the revision is still starting",
        "wait, and see what it prints: remora logs -f",
        (possible(r"since \d+ s nothing is newer than"),),
    ),
)

ANSWER: Final = (
    Cause(
        "adapter_rejected",
        "an adapter cannot be served as it is",
        "see what is wrong with it: remora adapters list",
        (certain(r"\badapter_rejected\b"),),
    ),
    Cause(
        "verification_failed",
        "the new revision answers differently from what was recorded, or an adapter changes nothing",
        "compare the answers: remora golden check; the former revision still serves",
        (certain(r"\bverification_failed\b"),),
    ),
    Cause(
        "front_down",
        "the front, which has the endpoint's address, does not run; the model's own app may well do",
        "see what it prints: remora logs --front, then run: remora deploy",
        (
            certain(r"\bthe front \S+(?: has never been ready|: .*, does not run)", Source.REVISION),
            likely(r"\bits front was not updated\b|\bthe front at \S+ passes nothing on\b"),
        ),
    ),
    Cause(
        "name_not_resolved",
        "the name of the endpoint or of the cloud cannot be resolved yet",
        "wait for a few minutes, then run: remora status",
        (likely(r"Name or service not known|nodename nor servname|getaddrinfo|name resolution|NXDOMAIN"),),
    ),
    Cause(
        "ingress_timeout",
        "the ingress ended a request that took longer than its limit of 240 s",
        "stream long answers, or lower max_tokens; where the app slept, set front = true under [scale]",
        (
            likely(r"stream timeout|upstream request timeout"),
            likely(r"\b504\b", Source.SYSTEM, Source.COMMAND, Source.HISTORY),
        ),
    ),
    Cause(
        "log_stream_refused",
        "the log stream refused its token or broke, so that the reason cannot be read",
        "read it again: remora logs",
        (possible(r"the log stream (?:answered \d+|broke)"),),
    ),
    Cause(
        "cloud_unavailable",
        "the cloud does not answer",
        "see whether it runs: remora cloud status",
        (
            certain(r"the local cloud is not running|the local cloud did not start"),
            possible(r"\bcloud_unavailable\b"),
        ),
    ),
    Cause(
        REFUSED,
        "the command was refused before it changed anything",
        "correct what its message names, then run: remora up",
        (possible(r": refused: ", Source.COMMAND),),
    ),
)
