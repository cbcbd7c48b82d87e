"""Compiles Bicep files to ARM templates: with the user's Bicep CLI, else with Remora's own compiler.

Owns the compiler. Rejects what it cannot translate, with line and name, instead of translating it wrongly.
Start with `compiler.py`, then `syntax/` and `translation/`.
"""

from remora.azure.bicep.command import OUR_COMPILER, Built, build, compile_file, find_cli, run_cli
from remora.azure.bicep.comparison import Difference, differences
from remora.azure.bicep.compiler import compile_bicep, template_text
from remora.azure.bicep.translation.naming import target_of

__all__ = [
    "OUR_COMPILER",
    "Built",
    "Difference",
    "build",
    "compile_bicep",
    "compile_file",
    "differences",
    "find_cli",
    "run_cli",
    "target_of",
    "template_text",
]
