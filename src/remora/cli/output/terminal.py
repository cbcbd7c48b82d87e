"""A terminal that shows text as it is: no markup, no emoji, and no control characters. Formats nothing.

Much of the text was written by others: names of tensors, model cards, an app's messages.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

_KEPT = "\n\t"
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in _KEPT}
"""The control characters of ASCII and Latin-1; ESC and CSI start sequences that a terminal executes."""


class Terminal(Console):
    """A rich console for untrusted text; what rich itself draws keeps its colours."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)

    def on_broken_pipe(self) -> None:
        """Called while the error is handled. Re-raises it, because rich would exit the program."""
        raise  # noqa: PLE0704

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


def visible(text: str) -> str:
    """The text with its control characters written out."""
    return text.translate(_VISIBLE)
