"""Remora turns a folder of LoRA adapters into an inference endpoint."""

__version__ = "0.1.0"
