"""The app of a deployment for a command that changes it: only while it holds the lock of the share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from remora.azure.app.apps import ContainerApp
from remora.cli.context import Deployment
from remora.cli.output.console import Output
from remora.errors import Locked, RemoraError
from remora.rollout.share.lock import locked


@contextmanager
def held_app(deployment: Deployment, command: str, out: Output) -> Iterator[ContainerApp]:
    """`held_apps` for the model's app alone."""
    with held_apps(deployment, command, out) as apps:
        yield apps[0]


@contextmanager
def held_apps(deployment: Deployment, command: str, out: Output) -> Iterator[tuple[ContainerApp, ...]]:
    """Hold the share's lock while the block runs; the apps are changed only through it, the model's first.

    Raises Locked, naming the holder, if another command changes the endpoint. What ends the costs of an app
    must not depend on its share: if that is gone or cannot be reached, warn, and go on without its lock.
    """
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(locked(deployment.share, command))
        except Locked:
            raise
        except RemoraError as error:
            out.warn(f"continuing without the lock of the share: {error.message}")
            apps = deployment.apps
        else:
            apps = tuple(map(lock.fence, deployment.apps))
        yield apps
