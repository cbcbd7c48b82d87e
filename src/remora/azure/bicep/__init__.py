"""Bicep to ARM templates: with the user's own Bicep CLI, or with a compiler of ours where there is none."""

from remora.azure.bicep.command import OUR_COMPILER, Built, build
from remora.azure.bicep.compiler import compile_bicep, template_text

__all__ = ["OUR_COMPILER", "Built", "build", "compile_bicep", "template_text"]
