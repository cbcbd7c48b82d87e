"""A program for an environment with a wheel: asks a model by native layers and by its modules."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

import remora
from remora.engine.base import GenerationRequest, SamplingParams
from remora.engine.torch.engine import TorchEngine


async def main(base: Path) -> None:
    engines = [TorchEngine.load(base, device="cpu", native=native) for native in ("always", "never")]
    answers = [await answer(engine) for engine in engines]
    stack = engines[0].stack.engine
    json.dump({"package": remora.__file__, "stack": stack, "equal": answers[0] == answers[1]}, sys.stdout)
    for engine in engines:
        engine.close()


async def answer(engine: TorchEngine) -> list[int]:
    request = GenerationRequest(
        request_id="a", prompt_ids=tuple(range(9)), sampling=SamplingParams(max_tokens=8, temperature=0)
    )
    return [event.token_id async for event in engine.submit(request)]


if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    asyncio.run(main(Path(sys.argv[1])))
