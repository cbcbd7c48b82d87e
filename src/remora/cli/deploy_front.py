"""The front's part of a deploy: once the model's release serves, the front follows. Prints through steps."""

from __future__ import annotations

from dataclasses import replace

from remora.cli.context import Deployment
from remora.cli.output.console import Output
from remora.errors import DeploymentNotFound, InvalidInput, NotReady, RemoraError
from remora.rollout.deploy import Deployed
from remora.rollout.front import FrontRollout
from remora.rollout.share.lock import HeldLock


def with_front(
    deployment: Deployment, deployed: Deployed, lock: HeldLock, out: Output, *, timeout_seconds: float
) -> Deployed:
    """The same, with the front's address if there is a front. Raises NotReady where the front cannot follow.

    Then the model's new release serves, and so does the former front.
    """
    front = deployment.front
    if front is None:
        return deployed
    rollout = FrontRollout(
        front,
        deployment.app,
        lock,
        endpoint_scheme=deployment.clients.profile.endpoint_scheme,
        wait_seconds=deployment.settings.scale.front_wait_seconds,
        timeout_seconds=timeout_seconds,
        steps=out.step,
    )
    try:
        updated = rollout.run(deployed.checked[0].answer.model)
    except RemoraError as error:
        raise NotReady(
            f"the new release serves at {deployed.url}, but its front was not updated: {error.message}",
            hint=error.hint or "see: remora logs --front",
        ) from error
    return replace(deployed, url=updated.url, front=updated.revision)


def check_no_front(deployment: Deployment) -> None:
    """Raises InvalidInput for a program of the user's own, which the front does not know."""
    if deployment.config.front or deployment.settings.scale.front:
        raise InvalidInput(
            "scale.front is for Remora's endpoint, and the app runs a program of your own",
            hint="set front = false under [scale], and run: remora provision",
            param="scale.front",
        )


def check_front_made(deployment: Deployment) -> None:
    """Raises DeploymentNotFound if the settings ask for a front that nothing has made yet."""
    if deployment.settings.scale.front and deployment.front is None:
        raise DeploymentNotFound(
            "scale.front is true, and there is no front yet", hint="make it with: remora up"
        )
