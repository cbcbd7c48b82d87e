"""Torch's compiler, imported when something compiles. Nothing here does (decision 0010).

transformers marks functions that must not be compiled, and torch marks its own when they first run. Each mark
imports `torch._dynamo` and torch's distributed tensors, which costs every start time and memory. A stand-in
takes the marks. Whatever else is asked of it comes from the real compiler, which then takes its place.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
MASK_MODE = f"{COMPILER}._trace_wrapped_higher_order_op"  # transformers takes a class from there
MARKS = frozenset({"allow_in_graph", "assume_constant_result", "disable"})


def import_compiler_on_demand() -> None:
    """For the whole process. Has no effect where the compiler is imported already."""
    if COMPILER in sys.modules:
        return
    sys.modules[COMPILER] = _StandIn(COMPILER)
    sys.modules[MASK_MODE] = _StandInMode(MASK_MODE)
    _in_one_process()


class _StandIn(ModuleType):
    __path__: list[str] = []  # noqa: RUF012 - as a package has it; its modules are those of the real one

    def __getattr__(self, name: str) -> Any:
        if name in MARKS:
            return _marked
        if name.startswith("__"):  # what the import system asks of any module
            raise AttributeError(name)
        return getattr(_real(COMPILER), name)


class _StandInMode(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return functools.partial(_made, name)


def _marked(function: Callable[..., Any] | None = None, *_given: Any, **_named: Any) -> Any:
    """The function itself: what compiles nothing needs no mark."""
    return function if function is not None else _marked


def _made(name: str, *given: Any) -> Any:
    """An object of the real class."""
    return getattr(_real(MASK_MODE), name)(*given)


def _real(name: str) -> ModuleType:
    for stand_in in (COMPILER, MASK_MODE):
        if isinstance(sys.modules.get(stand_in), _StandIn | _StandInMode):
            del sys.modules[stand_in]
    return importlib.import_module(name)


def _in_one_process() -> None:
    """transformers keeps the first answer to whether torch is distributed, and then imports the tensors."""
    import torch.distributed
    from transformers.utils.import_utils import is_torch_distributed_available

    can_be = torch.distributed.is_available
    torch.distributed.is_available = lambda: False
    try:
        is_torch_distributed_available()
    finally:
        torch.distributed.is_available = can_be
