"""vLLM's own OpenAI front end over an engine that computes nothing. Run with the Python of an installed vLLM.

Its routes, request and answer models, middlewares and serving classes are vLLM's, put together by the
functions that `vllm serve` uses. In the engine's place stands one that gives the same letter as often as is
asked for, a token at a time, as the echo engine does. Prints its port.

    python vllm_front_end.py MODEL_FOLDER
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator
from typing import Any

import uvicorn
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.engine.protocol import EngineClient
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.renderers import renderer_from_config
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.engine.input_processor import InputProcessor

TASKS = ("generate",)
LETTER = "x"


class LetterEngine(EngineClient):
    """Keeps as much of vLLM's contract as its completions route asks for."""

    is_running = True
    is_stopped = errored = False
    dead_error = RuntimeError()

    def __init__(self, arguments: Any) -> None:
        self.vllm_config = AsyncEngineArgs.from_cli_args(arguments).create_engine_config()
        self.model_config = self.vllm_config.model_config
        self.renderer = renderer_from_config(self.vllm_config)
        self.input_processor = InputProcessor(self.vllm_config, self.renderer)
        (self._letter_id,) = self.renderer.tokenizer.encode(LETTER, add_special_tokens=False)

    async def generate(
        self, prompt: Any, sampling_params: Any, request_id: str, **_: Any
    ) -> AsyncGenerator[RequestOutput, None]:
        prompt_ids = prompt["prompt_token_ids"]
        count = sampling_params.max_tokens
        for number in range(1, count + 1):
            await asyncio.sleep(0)
            last = number == count
            piece = CompletionOutput(
                index=0,
                text=LETTER,
                token_ids=[self._letter_id],
                cumulative_logprob=None,
                logprobs=None,
                finish_reason="length" if last else None,
            )
            yield RequestOutput(request_id, None, prompt_ids, None, [piece], finished=last)


LetterEngine.__abstractmethods__ = frozenset()  # the rest of the contract is never asked for


async def main() -> None:
    parser = make_arg_parser(FlexibleArgumentParser())
    arguments = parser.parse_args(
        ["--model", sys.argv[1], "--served-model-name", "base", "--disable-log-stats"]
    )
    engine = LetterEngine(arguments)
    app = build_app(arguments, TASKS, engine.model_config)
    await init_app_state(engine, app.state, arguments, TASKS)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        await server.serve(sockets=[listener])


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
