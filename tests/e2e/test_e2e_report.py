"""The report of a comparison in headless Chromium, from disk: keyboard, widths, colour schemes, axe-core."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Browser, Page
from tests.api.endpoint_builder import BASE, KEY, KEYS, RunningEndpoint
from tests.e2e.axe import serious_findings

from remora.rollout.compare.comparison import compare
from remora.rollout.compare.contestants import Contestant
from remora.rollout.compare.document import document_of
from remora.rollout.compare.gathering import Gathered, Limits, SwitchedOff, gather
from remora.rollout.compare.layers import Layer
from remora.rollout.compare.report import html_of
from remora.rollout.endpoint import Endpoint
from remora.rollout.evaluation.questions import Question
from remora.server.settings import ServerSettings

pytestmark = pytest.mark.browser

QUESTIONS = [
    Question("yes", "yes"),
    Question("a <b>bold</b> prompt\nof two lines"),
    Question("नमस्ते", "مرحبا"),
]
SEEN_AS = ((1280, 800, "light"), (390, 844, "dark"))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a report on disk."""
    with ThreadPoolExecutor(1) as thread:  # in this one runs the browser's event loop
        found = thread.submit(_gathered).result()
    layers = [Layer(number, number + 0.5) for number in range(30)]
    without = {number: (1 - (number - 3) / 40,) for number in range(30)}  # some shares are negative
    found[1].switched_off = SwitchedOff(1, (1.0,), without)
    found[2].switched_off = SwitchedOff(refusal="it is applied as it was trained")
    made = compare(QUESTIONS, found, layers=lambda one: layers if one.digest else ())
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html_of(document_of(made, Limits(), source="mine.jsonl")))
    return path.as_uri()


def _gathered() -> list[Gathered]:
    settings = ServerSettings(api_keys=KEYS, chat_page=False)
    with RunningEndpoint(settings) as running, Endpoint(running.url, KEY) as at:
        models = {"base": BASE, "tone": "tone", "pirate": "pirate"}
        asked = [Contestant(label, at, model) for label, model in models.items()]
        return gather(asked, QUESTIONS, Limits())


@pytest.fixture(params=SEEN_AS, ids=str)
def page(request: pytest.FixtureRequest, browser: Browser, report: str) -> Iterator[Page]:
    width, height, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    tab = context.new_page()
    problems: list[str] = []
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda asked: None if asked.url == report else problems.append(asked.url))
    tab.goto(report)
    yield tab
    context.close()
    assert problems == []


def test_the_verdict_is_seen_first_and_nothing_is_cut_off(page: Page) -> None:
    box = page.locator(".verdicts li").first.bounding_box()
    assert box is not None
    assert box["y"] < 200
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("svg").count() == 6
    assert page.locator("bold").count() == 0


def test_prompts_are_chosen_with_the_keyboard(page: Page) -> None:
    cards = page.locator("#answers .card")
    assert [cards.nth(index).is_visible() for index in range(3)] == [True, True, True]
    page.locator('input[value="all"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert [cards.nth(index).is_visible() for index in range(3)] == [True, False, True]
    assert page.locator("#shown-count").text_content() == "2 of 3 prompts shown"


def test_every_token_is_in_a_table_too(page: Page) -> None:
    table = page.locator("#tokens").locator("..").locator("details").first
    table.locator("summary").focus()
    page.keyboard.press("Enter")
    assert table.locator("tbody tr").first.is_visible()
    assert page.locator(".heat span").first.get_attribute("title")


def test_axe_finds_nothing_serious(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert serious_findings(page) == []
