"""A terminal that shows text as it is: no markup, no emoji, and no control character that it would obey.

Much of what is shown was written by others: names of tensors, model cards, an app's messages.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

_KEPT = "\n\t"
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in _KEPT}
"""The control characters of ASCII and Latin-1: with ESC or CSI begins what moves, hides and answers."""


class Terminal(Console):
    """A rich console for text of any origin; what rich itself draws keeps its colours."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(text.translate(_VISIBLE), **options)
