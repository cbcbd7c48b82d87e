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
        "by June 2024 the service had changed its first response to a PUT; for the versions of that time ours"
        " is the former one",
        "mount_azurefile",
        r"^PUT .*/containerApps/\*$",
        r"exposedPort|eventStreamEndpoint|fqdn|latest\w*Revision|runningStatus|revisionSuffix|template\.scale:",
    ),
    Reason(
        "a replica that a restart has replaced is gone here when it has ended; Azure listed it longer",
        "scale_revision_copy",
        r"/revisions/\*/replicas$",
        r"1 items, recorded 2",
    ),
    Reason(
        "the recorded app did not listen on its ingress's port; here an app listens on the port that it"
        " is given",
        "containerapp_exec",
        r"^GET \{app\}",
        r"^status: 200, recorded 50[23]",
    ),
    Reason(
        "this machine is inside every environment, so an internal app answers",
        "containerapp_exec",
        r"^GET \{app\}",
        r"^status: 200, recorded 403",
    ),
    Reason(
        "a change of configuration replaces no replica here; Azure had both the old and the new one",
        "containerapp_exec",
        r"/replicas",
        r"items, recorded 2|runningState",
    ),
    Reason(
        "Azure has added workload profiles since",
        "workload_profiles",
        r"availableManagedEnvironmentsWorkloadProfileTypes$",
        r"items, recorded",
    ),
    Reason(
        "Azure cuts an account in a preview to the api-version of the template, here one of 2019",
        "what_if",
        r"/operationresults/",
        r"changes\[\]\.(after|before)\.properties\.(allow\w+|minimumTlsVersion)",
    ),
    Reason(
        "Azure's default was TLS 1.0 until it stopped accepting TLS 1.0 and 1.1 in February 2026",
        "mount_azurefile",
        r"/Microsoft.Storage/",
        r'minimumTlsVersion: "TLS1_2", recorded "TLS1_0"',
    ),
)


def reason_for(outcome: Outcome, difference: str) -> str | None:
    """The first that explains a difference."""
    return next((reason.text for reason in REASONS if reason.explains(outcome, difference)), None)


def unexplained(outcome: Outcome) -> list[str]:
    """The differences of an outcome that no reason explains."""
    return [text for text in outcome.notes if reason_for(outcome, text) is None]
