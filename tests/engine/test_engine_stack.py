"""What an engine says it computes with: equal for equal models, and another dtype is another stack."""

from __future__ import annotations

import torch

from remora.engine.torch.stack import stack_of

CPU = torch.device("cpu")


def test_the_stack_names_engine_dtype_and_processor() -> None:
    stack = stack_of(torch.float32, CPU)
    assert stack == stack_of(torch.float32, CPU)
    assert stack.engine == f"torch {torch.__version__}"
    assert stack.dtype == "float32"
    assert stack.device.startswith("cpu ")
    assert stack != stack_of(torch.bfloat16, CPU)
    assert stack != stack_of(torch.float32, CPU, "int8")
