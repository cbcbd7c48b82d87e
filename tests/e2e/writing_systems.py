"""Texts in other scripts than Latin, and where a page begins them."""

from __future__ import annotations

from playwright.sync_api import Page

ARABIC = "مرحبا بالعالم، كيف حالك اليوم؟"
HINDI = "मुझे आख़िरकार वह नौकरी मिल गई"

_STARTS_RIGHT = """(place) => {
  const element = document.querySelector(place);
  const first = document.createRange();
  const text = document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode();
  first.setStart(text, 0);
  first.setEnd(text, 1);
  const [box, character] = [element.getBoundingClientRect(), first.getBoundingClientRect()];
  return character.left + character.right > box.left + box.right;
}"""


def starts_right(page: Page, place: str) -> bool:
    """Whether the first character of this element's text is in the right half of it."""
    return bool(page.evaluate(_STARTS_RIGHT, place))
