"""Why an answer of the local cloud differs from the recorded one, where it does. A difference that is not
in this table is a defect: the replay's test fails on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tests.conformance.replay import Outcome


@dataclass(frozen=True, slots=True)
class Reason:
    """Applies to the differences that match `difference` in the scenarios and operations that match."""

    text: str
    scenario: str
    operation: str
    difference: str

    def explains(self, outcome: Outcome, difference: str) -> bool:
        return bool(
            re.search(self.scenario, outcome.scenario)
            and re.search(self.operation, outcome.operation)
            and re.search(self.difference, difference)
        )


REASONS: Final = (
    Reason(
        "the address is known once the app's listener is open, a moment after the first answer",
        "",
        r"^PUT .*/containerApps/\*$",
        r"ingress\.fqdn: null",
    ),
    Reason(
        "the service filled in the first answer in three ways between April and June 2024; ours is the"
        " commonest",
        "mount_azurefile|ingress_traffic",
        r"^PUT .*/containerApps/\*$",
        r"exposedPort|eventStreamEndpoint|latest\w*Revision|runningStatus|revisionSuffix|template\.scale:",
    ),
    Reason(
        "an app without ingress has no address here; Azure shows one that does not answer",
        "",
        r"/revisions/\*$",
        r'properties\.fqdn: ""',
    ),
    Reason(
        "the former revision is gone here as soon as its requests are done; Azure showed it a while longer",
        "mount_azurefile|scale_revision_copy",
        r"/revisions|logstream",
        r"active|healthState|provisioningState|replicas|runningState|0 items|^status: 40[04], recorded 200",
    ),
    Reason(
        "Azure's revisions show less of an HTTP scale rule than its apps do; ours show it whole",
        "scale_revision_copy",
        r"/revisions",
        r"rules\[\]\.http\.(auth|metadata\.key)",
    ),
    Reason(
        "the recorded app listened on another port than its ingress named; here an app listens on the port"
        " that it is given",
        "containerapp_exec",
        r"^GET \{app\}",
        r"^status: 200, recorded 50[23]",
    ),
    Reason(
        "this machine is inside of every environment, so an internal app answers",
        "containerapp_exec",
        r"^GET \{app\}",
        r"^status: 200, recorded 403",
    ),
    Reason(
        "a change of configuration replaces no replica here; in Azure the old and the new were both there",
        "containerapp_exec",
        r"/replicas",
        r"items, recorded 2|runningState",
    ),
    Reason(
        "ARM's share carries its ETag as a header there; ours are versioned on the data plane only",
        "",
        r"^PUT .*/shares/\*$",
        r"etag|lastModifiedTime",
    ),
    Reason(
        "Azure has had more workload profiles since",
        "workload_profiles_list_supported",
        r"availableManagedEnvironmentsWorkloadProfileTypes$",
        r"items, recorded",
    ),
    Reason(
        "Azure's preview shows fewer of an account's properties",
        "what_if",
        r"/operationresults/",
        r"changes\[\]\.(after|before)\.",
    ),
    Reason(
        "a new account is 201 here; Azure's deployment noted the 200 of its last poll",
        "crossrg",
        r"/operations$",
        r"statusCode",
    ),
    Reason(
        "there is no second region to replicate to",
        "",
        r"storageAccounts/\*$",
        r"secondary|statusOfSecondary",
    ),
)


def reason_for(outcome: Outcome, difference: str) -> str | None:
    """The first that explains a difference."""
    return next((reason.text for reason in REASONS if reason.explains(outcome, difference)), None)


def unexplained(outcome: Outcome) -> list[str]:
    """The differences of an outcome that no reason explains."""
    return [text for text in outcome.notes if reason_for(outcome, text) is None]
