"""A replica starts without torch's compiler, and who compiles gets it. In processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BASE = Path(__file__).parents[2] / "examples" / "tone" / "base"
HEAVY = ("torch._dynamo.utils", "torch._inductor", "torch.distributed.tensor")
ANSWERS = """
import asyncio, sys
from pathlib import Path
from remora.engine.base import GenerationRequest, SamplingParams
from remora.server.engines import EngineSettings, load_engine

async def tokens(engine):
    request = GenerationRequest("1", (1, 2, 3), SamplingParams(max_tokens=3, temperature=0))
    return [event async for event in engine.submit(request)]

engine = load_engine(Path(sys.argv[1]), EngineSettings())
assert asyncio.run(tokens(engine))
engine.close()
print(*[name for name in sys.argv[2:] if name in sys.modules])
"""
COMPILES = """
from remora.engine.torch.compiler_on_demand import import_compiler_on_demand
import_compiler_on_demand()
import torch
from transformers.masking_utils import TransformGetItemToIndex

with TransformGetItemToIndex():
    pass
double = torch.compile(lambda x: x * 2, backend="eager", fullgraph=True)
assert double(torch.ones(2)).tolist() == [2, 2]
assert torch.compiler.disable(double) is not double
print(torch._dynamo.config.cache_size_limit > 0, torch.distributed.is_available())
"""


def python(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout.strip()


def test_an_engine_loads_and_answers_without_the_compiler() -> None:
    assert python(ANSWERS, str(BASE), *HEAVY) == ""


def test_who_compiles_gets_the_compiler() -> None:
    assert python(COMPILES) == "True True"
