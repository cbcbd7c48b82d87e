"""A program of its own: an adapter's pickled weights as safetensors. Run as a child; imported by nothing.

A pickle can run code when it is opened. torch reads tensors alone of it (`weights_only`), and what a fault in
that could reach is this process, which has no settings, keys or connections of Remora's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file


def convert(pickled: Path, target: Path) -> int:
    """Write the tensors, copied so that none shares its memory with another; returns how many there are."""
    loaded = torch.load(pickled, map_location="cpu", weights_only=True)
    if not isinstance(loaded, dict) or not loaded:
        raise TypeError(f"it holds {type(loaded).__name__}, not a dictionary of tensors")
    others = [str(name) for name, value in loaded.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise TypeError(f"{others[0]} is no tensor")
    tensors = {str(name): value.detach().clone().contiguous() for name, value in loaded.items()}
    save_file(tensors, target, metadata={"format": "pt"})
    return len(tensors)


if __name__ == "__main__":
    try:
        print(convert(Path(sys.argv[1]), Path(sys.argv[2])))  # noqa: T201 - what the parent reads
    except Exception as error:  # whatever a file of anybody's makes of it, the parent is told in one line
        sys.exit(" ".join(str(error).split())[:300])
