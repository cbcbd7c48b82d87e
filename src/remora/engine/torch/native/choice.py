"""Whether a model's layers run in native code here. Owns the rule, and that compiling holds nothing up."""

from __future__ import annotations

import ctypes
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import torch

from remora.engine.torch.native.build import native_library
from remora.engine.torch.native.layers import is_llama_like
from remora.engine.torch.weights import has_amx
from remora.errors import InvalidInput

CHOICES = ("auto", "always", "never")


class NativeChoice:
    """While a checkpoint is read, the compiler runs beside it.

    `auto` is where native code is faster: models of the Llama family in bfloat16 or int8 on a CPU with AMX.
    `always` is everywhere where it computes right: all CPUs, and float32 too. Raises InvalidInput for others.
    """

    def __init__(
        self, native: str, config: Any, dtype: torch.dtype, place: torch.device, *, quantize: str
    ) -> None:
        if native not in CHOICES:
            raise InvalidInput(f"native {native!r} is none of {', '.join(CHOICES)}", param="serve.native")
        able = place.type == "cpu" and dtype in (torch.float32, torch.bfloat16) and is_llama_like(config)
        fast = has_amx() and (dtype == torch.bfloat16 or quantize == "int8")
        self._wanted = able and (native == "always" or (native == "auto" and fast))
        self._library: Future[ctypes.CDLL | None] | None = None

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="remora-compile")
        if self._wanted:
            self._library = self._thread.submit(native_library)
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown()

    def library(self) -> ctypes.CDLL | None:
        """The compiled code, waited for; None where it is not wanted or cannot be made."""
        return None if self._library is None else self._library.result()
