"""Memory straight from the system: for weights that are streamed, and for what may never be used."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterable

import torch

HUGE_PAGE_BYTES = 2 * 1024**2
ALIGNMENT_BYTES = 64
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


def in_huge_pages(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Copies of CPU tensors, one after the other in memory of their own; in huge pages where there are some.

    A step reads all weights once, and with pages of 4 KiB translating addresses
    is a part of it (docs/explanation/engine.md).
    """
    originals = list(tensors)
    sizes = [tensor.numel() * tensor.element_size() for tensor in originals]
    aligned = [-(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES for size in sizes]
    memory = reserved(sum(aligned), huge=True)
    copies, start = [], 0
    for tensor, size, step in zip(originals, sizes, aligned, strict=True):
        copy = memory[start : start + size].view(tensor.dtype).view(tensor.shape)
        copies.append(copy.copy_(tensor))
        start += step
    return copies


def reserved(byte_count: int, *, huge: bool = False) -> torch.Tensor:
    """So many zero bytes from the system itself: a page costs memory once it is written.

    What an allocator gives out may have been used before, and is then filled with zeros, all of it.
    """
    size = max(byte_count, 1)
    area = mmap.mmap(-1, size, **_PRIVATE)
    if huge and size >= HUGE_PAGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        area.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(area, dtype=torch.uint8)


def give_back_free_memory() -> None:
    """To the system, where glibc is the allocator (malloc_trim(3)): what was freed counts until then."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def forget_mapped(tensor: torch.Tensor) -> None:
    """Give the pages of a tensor that is mapped from a file back; nobody looks at it any more.

    They would count as this process's memory until all of the file is closed.
    """
    madvise = getattr(ctypes.CDLL(None), "madvise", None) if sys.platform == "linux" else None
    if madvise is None or tensor.device.type != "cpu":
        return
    first = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    size = (tensor.data_ptr() + tensor.nbytes - first) // mmap.PAGESIZE * mmap.PAGESIZE
    if size > 0:
        madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), mmap.MADV_DONTNEED)
