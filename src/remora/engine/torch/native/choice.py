"""Whether a model's layers run in native code here. Owns the rule, and that compiling holds nothing up."""

from __future__ import annotations

import ctypes
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import torch

from remora.engine.torch.native.build import native_library
from remora.engine.torch.native.layers import has_native_layers
from remora.engine.torch.native.levels import Level, level_here
from remora.errors import InvalidInput, listed

CHOICES = ("auto", "always", "never")


class NativeChoice:
    """While a checkpoint is read, the compiler runs beside it.

    `auto` is where native code is faster: models of a known family in 16 bits or fewer on a CPU with AVX2 or
    more. `always` is everywhere where it computes right: all CPUs, and float32 too. Raises InvalidInput
    for others.
    """

    def __init__(self, native: str, config: Any, place: torch.device, *, quantize: str) -> None:
        if native not in CHOICES:
            raise InvalidInput(f"native {native!r} is none of {listed(CHOICES)}", param="serve.native")
        self._always = native == "always"
        self._quantize = quantize
        self._possible = (
            native != "never"
            and place.type == "cpu"
            and has_native_layers(config)
            and (self._always or level_here() >= Level.AVX2)
        )
        self._library: Future[ctypes.CDLL | None] | None = None

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="remora-compile")
        if self._possible:
            self._library = self._thread.submit(native_library)
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown()

    def library(self, dtype: torch.dtype) -> ctypes.CDLL | None:
        """The compiled code, waited for; None where it is not wanted for this precision or cannot be made."""
        fast = dtype == torch.bfloat16 or (dtype == torch.float32 and self._quantize != "none")
        able = dtype in (torch.float32, torch.bfloat16)
        wanted = fast or (self._always and able)
        return self._library.result() if wanted and self._library is not None else None
