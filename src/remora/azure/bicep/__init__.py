"""Compiles Bicep files to ARM templates: with the user's Bicep CLI, else with Remora's own compiler.

Owns the compiler. Rejects what it cannot translate, with line and name, instead of translating it wrongly.
Start with `compiler.py`, then `syntax/` and `translation/`.
"""

from remora.azure.bicep.command import OUR_COMPILER, Built, build
from remora.azure.bicep.compiler import compile_bicep, template_text
from remora.azure.bicep.translation.naming import target_of

__all__ = ["OUR_COMPILER", "Built", "build", "compile_bicep", "target_of", "template_text"]
