"""Lets an identity in to a share: says which role is missing, or waits until a new one takes effect."""

from __future__ import annotations

import time
from collections.abc import Callable

from azure.core.exceptions import HttpResponseError

from remora.azure.failures import file_code
from remora.azure.profile import Clients
from remora.azure.roles import FILE_CONTRIBUTOR, assign_command, has_role, principal_id
from remora.errors import Refused, RemoraError

PATIENCE_SECONDS = 600.0
"""Azure says that a role assignment can take up to 10 minutes to take effect."""
_PAUSE_POLLS = 2
_NO_ROLE = "AuthorizationPermissionMismatch"


def enter(
    clients: Clients,
    account_id: str,
    ask: Callable[[], None],
    *,
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    """Call `ask`, which reads something of the share, until it is let in.

    Raises Refused with the command that assigns the missing role, at once if it is not assigned, and after
    `patience_seconds` if it is.
    """
    started = time.monotonic()
    while True:
        try:
            return ask()
        except HttpResponseError as error:
            if file_code(error) != _NO_ROLE:
                raise
            waited = time.monotonic() - started
            _check_assigned(clients, account_id, waited, patience_seconds)
            clients.say(f"waiting for the role {FILE_CONTRIBUTOR.name} to take effect, {waited:.0f} s so far")
            time.sleep(_PAUSE_POLLS * clients.profile.poll_seconds)


def _check_assigned(clients: Clients, account_id: str, waited: float, patience_seconds: float) -> None:
    principal, name = principal_id(clients), account_id.rpartition("/")[2]
    command = assign_command(account_id, FILE_CONTRIBUTOR, principal)
    try:
        assigned = bool(principal) and has_role(clients, account_id, principal, FILE_CONTRIBUTOR)
    except RemoraError:
        assigned = False  # who may not read assignments hears what is needed
    if not assigned:
        raise Refused(
            f"you may not write files to storage account {name!r}: the role {FILE_CONTRIBUTOR.name} is"
            f" missing ({_NO_ROLE})",
            hint=f"assign it, wait some minutes, and run the command again: {command}",
        )
    if waited > patience_seconds:
        raise Refused(
            f"the role {FILE_CONTRIBUTOR.name} on storage account {name!r} has no effect after {waited:.0f} s"
            f" ({_NO_ROLE})",
            hint="look for a condition or a deny assignment: az role assignment list --scope"
            f" {account_id} --include-inherited",
        )
