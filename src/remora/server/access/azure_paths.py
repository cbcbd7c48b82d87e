"""Azure OpenAI's addresses, as our own. Owns that translation; answers nothing.

    /openai/v1/…                     /v1/…
    /openai/deployments/{model}/…    /v1/…, where the model is the one in the path
    /openai/…                        /v1/…

`api-version` may be any: there is one version here.
"""

from __future__ import annotations

import json
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

DEPLOYMENT = "remora.deployment"  # in the scope of a request
PREFIX = "/openai/"
_DEPLOYMENT_PATH = re.compile(
    r"/openai/deployments/(?P<model>.+?)/(?P<rest>chat/completions|completions|responses|embeddings|info)"
)


class AzurePaths:
    """ASGI middleware: whatever comes after it sees only our own paths."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            # In place, so that the log and the figures of a request have the route that it came to.
            found = _DEPLOYMENT_PATH.fullmatch(scope["path"])
            if found is not None:
                scope[DEPLOYMENT] = found["model"]
                scope["path"] = f"/v1/{found['rest']}"
            else:
                scope["path"] = f"/v1/{scope['path'].removeprefix(PREFIX).removeprefix('v1/')}"
        await self.app(scope, receive, send)


class DeploymentModel:
    """ASGI middleware: a request to a deployment asks that model, whatever its body says. Behind `BodyLimit`,
    which gives bodies whole.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        model = scope.get(DEPLOYMENT)
        if model is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return

        async def named() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                message = {**message, "body": _with_model(message.get("body", b""), model)}
            return message

        await self.app(scope, named, send)


def _with_model(body: bytes, model: str) -> bytes:
    """The body with this model; one that is no JSON object stays as it is, to be refused as that."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return body
    return json.dumps({**fields, "model": model}).encode() if isinstance(fields, dict) else body
