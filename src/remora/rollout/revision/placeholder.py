"""Puts to sleep the revision that a deployment of the template creates before there is a release.

It has nothing to run, and on a GPU profile it would occupy a node, which costs money, until the first deploy.
ARM can only create a running revision, so the template's commands wait if they find no release, and this
stops it. Starts nothing, and never touches a serving revision.
"""

from __future__ import annotations

from collections.abc import Iterator

from remora.azure.app.apps import ContainerApp
from remora.azure.app.state import Revision
from remora.errors import DeploymentNotFound
from remora.project.toolkit.command_steps import script_of
from remora.project.toolkit.commands import Program, program_of
from remora.rollout.revision.candidate import RELEASE_VARIABLE, Before, look


def placeholders(app: ContainerApp) -> tuple[str, ...]:
    """Names of the revisions that run without a release and have never served.

    There are none in an app in Single revision mode, or with the user's own program.
    """
    try:
        before = look(app)
    except DeploymentNotFound:
        return ()
    return tuple(revision.name for revision in _placeholders(before))


def put_to_sleep(app: ContainerApp) -> tuple[str, ...]:
    """Stop all `placeholders`; returns their names."""
    names = placeholders(app)
    for name in names:
        app.deactivate(name)
    return names


def _placeholders(before: Before) -> Iterator[Revision]:
    """If nothing has ever served, all revisions that run without a release; else only the latest, if it does.

    Older revisions are not considered: one may be the program that served before the switch.
    """
    state = before.state
    if not state.traffic.multiple or program_of([script_of(state.command)]) is not Program.REMORA:
        return
    for revision in before.revisions:
        may_go = not before.serving or revision.name == state.latest_revision != before.serving
        if may_go and revision.active and RELEASE_VARIABLE not in revision.environment:
            yield revision
